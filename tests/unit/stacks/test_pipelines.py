"""The two pipelines as declared: stages, actions, artifacts, variables, triggers."""

from __future__ import annotations

import itertools
import json
import re

import pytest
from kit import local_cloud
from kit.templates import (
    INFRASTRUCTURE,
    ROOT,
    STACKS,
    branches,
    parameters,
    resources,
    template,
)

from ci.local.codepipeline import deployed

PIPELINES = ("rCommonLayerCodePipeline", "rAppCodePipeline")
DOCUMENT = template(INFRASTRUCTURE)
OUTPUTS = {
    "CodeCommit": {"AuthorDate", "BranchName", "CommitId", "CommitMessage", "RepositoryName"},
    "CodeStarSourceConnection": {"AuthorDate", "BranchName", "CommitId", "FullRepositoryName"},
    "ECR": {"ImageDigest", "ImageTag", "ImageURI", "RegistryId", "RepositoryName"},
}
"""Variables of source actions. Source: AWS CodePipeline User Guide, "Variables reference"."""


def variants(stages: list) -> list[list]:
    """The stages under each choice of conditions, conditions of one name chosen alike."""
    names = sorted(_conditions(stages))
    chosen = []
    for values in itertools.product((True, False), repeat=len(names)):
        chosen.append(_chosen(stages, dict(zip(names, values, strict=True))))
    return chosen


def _conditions(node: object) -> set[str]:
    if isinstance(node, dict):
        own = {node["Fn::If"][0]} if "Fn::If" in node else set()
        return own.union(*map(_conditions, node.values()))
    return set().union(*map(_conditions, node)) if isinstance(node, list) else set()


def _chosen(node: object, holds: dict[str, bool]) -> object:
    if isinstance(node, dict):
        if "Fn::If" in node:
            condition, yes, no = node["Fn::If"]
            return _chosen(yes if holds[condition] else no, holds)
        return {key: _chosen(value, holds) for key, value in node.items()}
    if isinstance(node, list):
        items = (_chosen(each, holds) for each in node)
        return [each for each in items if each != {"Ref": "AWS::NoValue"}]
    return node


def ordered(stages: list) -> list[list[dict]]:
    """Actions in the groups in which they run."""
    groups = []
    for stage in stages:
        orders = sorted({action["RunOrder"] for action in stage["Actions"]})
        for order in orders:
            groups.append([each for each in stage["Actions"] if each["RunOrder"] == order])
    return groups


ALL = [
    (pipeline, stages)
    for pipeline in PIPELINES
    for stages in variants(DOCUMENT["Resources"][pipeline]["Properties"]["Stages"])
]


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_pipelines_are_queued_v2_and_encrypted(pipeline):
    about = DOCUMENT["Resources"][pipeline]["Properties"]
    assert (about["PipelineType"], about["ExecutionMode"]) == ("V2", "QUEUED")
    assert about["ArtifactStore"]["EncryptionKey"]["Type"] == "KMS"


@pytest.mark.parametrize(("pipeline", "stages"), ALL)
def test_artifacts_are_made_before_they_are_used(pipeline, stages):
    made: set[str] = set()
    for group in ordered(stages):
        new = []
        for action in group:
            for artifact in action.get("InputArtifacts", []):
                assert artifact["Name"] in made, f"{pipeline}: {action['Name']}"
            new += [artifact["Name"] for artifact in action.get("OutputArtifacts", [])]
        assert len(set(new)) == len(new)
        assert not set(new) & made
        made |= set(new)


@pytest.mark.parametrize(("pipeline", "stages"), ALL)
def test_variables_come_from_actions_before(pipeline, stages):
    known: dict[str, set[str]] = {}
    for group in ordered(stages):
        for action in group:
            for namespace, name in re.findall(r"#\{(\w+)\.(\w+)\}", json.dumps(action)):
                assert name in known.get(namespace, ()), f"{pipeline}: {namespace}.{name}"
        for action in group:
            if "Namespace" in action:
                known[action["Namespace"]] = OUTPUTS[action["ActionTypeId"]["Provider"]]


@pytest.mark.parametrize(("pipeline", "stages"), ALL)
def test_names_are_unique_and_legal(pipeline, stages):
    assert len({stage["Name"] for stage in stages}) == len(stages)
    for stage in stages:
        names = [action["Name"] for action in stage["Actions"]]
        assert len(set(names)) == len(names)
        assert all(re.fullmatch(r"[A-Za-z0-9.@_-]{1,100}", name) for name in names)
        sources = {action["ActionTypeId"]["Category"] for action in stage["Actions"]} == {"Source"}
        assert sources == (stage is stages[0])


@pytest.mark.parametrize(("pipeline", "stages"), ALL)
def test_stacks_exist_and_are_deployed_in_order(pipeline, stages):
    if pipeline != "rAppCodePipeline":
        return
    created: dict[str, dict] = {}
    executed: list[set[str]] = []
    for group in ordered(stages):
        deploying = [each for each in group if each["ActionTypeId"]["Category"] == "Deploy"]
        done = set()
        for action in deploying:
            given = action["Configuration"]
            if given["ActionMode"] == "CHANGE_SET_REPLACE":
                created[given["StackName"]] = given
                continue
            assert given["ActionMode"] == "CHANGE_SET_EXECUTE"
            assert given["ChangeSetName"] == created[given["StackName"]]["ChangeSetName"]
            done.add(given["StackName"])
        executed += [done] if done else []
    assert executed == [
        {"common-cloudformation"},
        {"stagea", "stageb"},
        {"sdlf-engineering-meteorites"},
    ]
    assert sorted(created) == STACKS
    for stack, given in created.items():
        path = f"BuildOutput::cfn/{stack}/"
        assert given["TemplatePath"] == f"{path}packaged-template.yaml"
        assert given["TemplateConfiguration"] == f"{path}parameters.json"
        assert (ROOT / "cfn" / stack / "template.yaml").is_file()
        overrides = json.loads(given["ParameterOverrides"]["Fn::Sub"])
        # CloudFormation rejects parameters that a template lacks.
        assert overrides.keys() <= template(stack)["Parameters"].keys()
        assert overrides.keys() <= parameters(stack)["Parameters"].keys()
        assert len(given["ParameterOverrides"]["Fn::Sub"]) <= 1000
        roles = resources(template(stack), "AWS::IAM::Role")
        assert not any("RoleName" in about for about in roles.values())
        assert not roles or given["Capabilities"] == "CAPABILITY_IAM"


def test_an_approval_stands_between_each_change_set_and_its_execution():
    stages = DOCUMENT["Resources"]["rAppCodePipeline"]["Properties"]["Stages"]
    holds = dict.fromkeys(_conditions(stages), True)
    for wanted in (True, False):
        for stage in _chosen(stages, {**holds, "IsApproved": wanted}):
            kinds = {
                each["ActionTypeId"]["Category"]: each["RunOrder"] for each in stage["Actions"]
            }
            if "Deploy" not in kinds:
                assert "Approval" not in kinds
                continue
            assert ("Approval" in kinds) == wanted
            orders = {
                each["Configuration"]["ActionMode"]: each["RunOrder"]
                for each in stage["Actions"]
                if each["ActionTypeId"]["Category"] == "Deploy"
            }
            if wanted:
                assert orders["CHANGE_SET_REPLACE"] < kinds["Approval"]
                assert kinds["Approval"] < orders["CHANGE_SET_EXECUTE"]


@pytest.mark.parametrize(("pipeline", "stages"), ALL)
def test_builds_take_the_code_only_and_get_commit_and_digest(pipeline, stages):
    [build] = [a for s in stages for a in s["Actions"] if a["Name"] == "Build"]
    source = {"rCommonLayerCodePipeline": "CommonLayerSource", "rAppCodePipeline": "AppSource"}
    assert [each["Name"] for each in build["InputArtifacts"]] == [source[pipeline]]
    variables = {
        each["name"]: each["value"]
        for each in json.loads(build["Configuration"]["EnvironmentVariables"])
    }
    assert variables.pop("PIPELINE_COMMIT") == f"#{{{source[pipeline]}.CommitId}}"
    digest = {"PIPELINE_LAYER_DIGEST": "#{LayerImage.ImageDigest}"}
    assert variables == (digest if pipeline == "rAppCodePipeline" else {})


@pytest.mark.parametrize(("pipeline", "stages"), ALL)
def test_sources_are_not_polled(pipeline, stages):
    for action in stages[0]["Actions"]:
        if action["ActionTypeId"]["Provider"] == "CodeCommit":
            assert action["Configuration"]["PollForSourceChanges"] == "false"


def test_builds_find_their_buildspecs():
    projects = resources(DOCUMENT, "AWS::CodeBuild::Project")
    assert len(projects) == 3
    for about in projects.values():
        assert (ROOT / about["Source"]["BuildSpec"]).is_file()
        assert about["Artifacts"]["Type"] == about["Source"]["Type"] == "CODEPIPELINE"
    used = {
        action["Configuration"]["ProjectName"]["Ref"]
        for pipeline in PIPELINES
        for stage in DOCUMENT["Resources"][pipeline]["Properties"]["Stages"]
        for each in stage["Actions"]
        for action in branches(each)
        if action["ActionTypeId"]["Provider"] == "CodeBuild"
    }
    assert used == projects.keys()


def test_builds_have_docker_and_the_seeds_variables():
    for name in ("rCommonLayerCodeBuildServer", "rAppCodeBuildServer"):
        about = DOCUMENT["Resources"][name]["Properties"]["Environment"]
        assert about["PrivilegedMode"] is True
        variables = {
            each["Name"]
            for item in about["EnvironmentVariables"]
            for each in branches(item)
            if "Name" in each
        }
        assert {"RESOURCE_PREFIX", "ECR_COMMON_DATALAKE_REPO_URL"} <= variables
        assert ("S3_BUCKET" in variables) == (name == "rAppCodeBuildServer")
        # A run is never sent to an account by its surroundings: the buildspecs say so themselves.
        assert "PIPELINE_TARGET" not in variables


def test_pushes_start_their_pipeline_with_the_revision():
    rules = resources(DOCUMENT, "AWS::Events::Rule")
    found = {}
    for name, about in rules.items():
        for target in about["Targets"]:
            if "codepipeline" in json.dumps(target["Arn"]):
                transformer = target["InputTransformer"]
                for path in transformer["InputPathsMap"]:
                    assert f"<{path}>" in transformer["InputTemplate"]
                [revision] = json.loads(transformer["InputTemplate"])["sourceRevisions"]
                pipeline = re.search(r"\$\{(r\w+Pipeline)\}", target["Arn"]["Fn::Sub"])[1]
                actions = {
                    action["Name"]
                    for each in DOCUMENT["Resources"][pipeline]["Properties"]["Stages"][0][
                        "Actions"
                    ]
                    for action in branches(each)
                }
                assert revision["actionName"] in actions
                found[name] = (pipeline, revision["revisionType"])
    assert found == {
        "rCommonLayerPushRule": ("rCommonLayerCodePipeline", "COMMIT_ID"),
        "rAppPushRule": ("rAppCodePipeline", "COMMIT_ID"),
        "rLayerImageRule": ("rAppCodePipeline", "IMAGE_DIGEST"),
    }
    pattern = rules["rLayerImageRule"]["EventPattern"]
    assert pattern["detail"] == {
        "action-type": ["PUSH"],
        "result": ["SUCCESS"],
        "repository-name": [{"Fn::Sub": "${pPrefix}-common-datalake-library"}],
        "image-tag": ["latest"],
    }


def test_a_failure_of_either_pipeline_is_told():
    rule = resources(DOCUMENT, "AWS::Events::Rule")["rFailureRule"]
    assert rule["EventPattern"]["detail"]["state"] == ["FAILED"]
    assert rule["EventPattern"]["detail"]["pipeline"] == [{"Ref": name} for name in PIPELINES]
    assert rule["Targets"][0]["Arn"] == {"Ref": "rTopic"}


def test_connections_are_checked_before_anything_is_made():
    [rule] = DOCUMENT["Rules"].values()
    asserted = json.dumps(rule["Assertions"])
    for name in ("pConnectionArn", "pAppRepositoryId", "pCommonLayerRepositoryId"):
        assert name in asserted


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with local_cloud.running(tmp_path_factory.mktemp("home")) as found:
        yield found


@pytest.mark.parametrize(
    ("prefix", "given"),
    [
        ("dev", {}),
        ("stg", {"pApproval": "true"}),
        (
            "prod",
            {
                "pApproval": "true",
                "pSourceProvider": "CodeConnections",
                "pConnectionArn": "arn:aws:codeconnections:us-east-1:123456789012:connection/c",
                "pAppRepositoryId": "owner/app",
                "pCommonLayerRepositoryId": "owner/layer",
            },
        ),
    ],
)
def test_every_choice_of_parameters_gives_pipelines_that_can_be_performed(cloud, prefix, given):
    stack = f"infrastructure-{prefix}"
    text = (ROOT / INFRASTRUCTURE).read_text()
    local_cloud.deploy(cloud, stack, text, {"pPrefix": prefix, **given})
    resources = deployed.resources(cloud.cloud, stack)
    there = deployed.read(resources, stack, "123456789012", "us-east-1")
    assert sorted(there.pipelines) == [f"{prefix}-app", f"{prefix}-common-layer"]
    approvals = [
        action.name
        for _, action in there.pipelines[f"{prefix}-app"].actions
        if action.provider == "Manual"
    ]
    assert len(approvals) == (3 if given else 0)
    assert len(there.rules) == (2 if "pConnectionArn" in given else 4)
