"""Pipelines deployed into a local cloud, and performed as they declare it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from kit import local_cloud, pipelines, registries
from kit.pipelines import QUEUE, action, build, change_set, execute, good_at
from kit.rehearsals import Rehearsed, push, settled

from ci.errors import PipelineError
from ci.local.codepipeline.execution import Execution, Trigger
from ci.local.codepipeline.service import Service
from ci.local.codepipeline.world import World

TREE = {
    "build.sh": "echo building\n",
    "template.yaml": QUEUE,
    "parameters.json": json.dumps({"Parameters": {"pName": "from-file"}, "Tags": {"a": "b"}}),
}
TESTS = Path(__file__).parents[3]


def stages(rehearsed: Rehearsed, **overrides: str) -> dict[str, list[dict[str, Any]]]:
    """A queue, by a name of the test's own."""
    found = good_at(rehearsed.name)
    given = {
        "TemplateConfiguration": "Built::parameters.json",
        "ParameterOverrides": json.dumps({"pName": f"{rehearsed.name}-queue"}),
    } | overrides
    found["Deploy"][0]["Configuration"] |= given
    return found


def queues(rehearsed: Rehearsed) -> list[str]:
    found = rehearsed.cloud.client("sqs").list_queues(QueueNamePrefix=f"{rehearsed.name}-")
    return [url.rpartition("/")[2] for url in found.get("QueueUrls", [])]


def error(execution: Execution) -> str:
    [problem] = execution.failures
    return str(problem)


def test_a_push_leads_to_a_stack(rehearsed: Rehearsed) -> None:
    rehearsed.declare(stages(rehearsed))
    [execution] = rehearsed.pushed(TREE)
    assert (execution.status, execution.failures) == ("succeeded", [])
    assert queues(rehearsed) == [f"{rehearsed.name}-queue"]
    stack = f"{rehearsed.name}-stack"
    [found] = rehearsed.cloud.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    assert found["Tags"] == [{"Key": "a", "Value": "b"}]
    assert found["RoleARN"].endswith(f"{rehearsed.name}-role")
    assert [place for place, _, _ in rehearsed.heard.actions] == [
        "Source / Source", "Build / Build", "Deploy / ChangeSet", "Deploy / Execute",
    ]  # fmt: skip
    outcome = execution.actions[-1].stack
    assert outcome is not None
    assert (outcome.status, outcome.outputs) == ("created", {"oQueue": f"{rehearsed.name}-queue"})
    assert [change.logical_id for change in outcome.changes] == ["rQueue"]


def test_artifacts_are_in_the_bucket_encrypted(rehearsed: Rehearsed) -> None:
    rehearsed.declare(stages(rehearsed))
    [execution] = rehearsed.pushed(TREE)
    s3 = rehearsed.cloud.client("s3")
    for name in ("Code", "Built"):
        artifact = execution.artifacts[name]
        assert artifact.bucket == f"{rehearsed.name}-artifacts"
        assert artifact.key.startswith(f"{rehearsed.name}/{name}/")
        head = s3.head_object(Bucket=artifact.bucket, Key=artifact.key)
        assert head["ServerSideEncryption"] == "aws:kms"
        assert artifact.revision == execution.revisions["Source"]


def test_the_same_again_is_no_change_and_passes(rehearsed: Rehearsed) -> None:
    rehearsed.declare(stages(rehearsed))
    rehearsed.pushed(TREE)
    [execution] = rehearsed.released()
    assert execution.status == "succeeded"
    told = [done.told for done in execution.actions]
    assert told[-2:] == [
        f"change set of {rehearsed.name}-stack: no changes", f"{rehearsed.name}-stack: no changes",
    ]  # fmt: skip
    outcome = execution.actions[-1].stack
    assert outcome is not None
    assert outcome.status == "unchanged"


def test_builds_get_variables_and_give_some(rehearsed: Rehearsed) -> None:
    declared = stages(rehearsed)
    variables = [
        {"name": "COMMIT", "value": "#{Source.CommitId}"},
        {"name": "BRANCH", "value": "#{Source.BranchName}"},
        {"name": "EXECUTION", "value": "#{codepipeline.PipelineExecutionId}"},
        {"name": "OWN", "value": "#{variables.own}"},
    ]
    declared["Build"][0]["Configuration"]["EnvironmentVariables"] = json.dumps(variables)
    declared["Deploy"][1]["Namespace"] = "Deployed"
    declared["After"] = [
        build(
            ProjectName=f"{rehearsed.name}-project", takes=["Code"], gives=["More"],
            EnvironmentVariables='[{"name": "QUEUE", "value": "#{Deployed.oQueue}"}]',
        )
    ]  # fmt: skip
    rehearsed.declare(declared, Variables=[{"Name": "own", "DefaultValue": "value"}])
    tree = TREE | {"build.sh": "echo $COMMIT $BRANCH $EXECUTION $OWN $OF_PROJECT $QUEUE\n"}
    [execution] = rehearsed.pushed(tree)
    assert execution.status == "succeeded", execution.failures
    commit = execution.revisions["Source"]
    logs = rehearsed.directory / "out/logs"
    told = (logs / f"{rehearsed.name}-Build-Build.log").read_text()
    assert f"\n{commit} main {execution.id} value given\n" in told
    after = (logs / f"{rehearsed.name}-After-Build.log").read_text()
    assert f"\ngiven {rehearsed.name}-queue\n" in after


def test_a_variable_that_no_build_exports_fails_the_action(rehearsed: Rehearsed) -> None:
    declared = stages(rehearsed, ParameterOverrides='{"pName": "#{Build.name}"}')
    declared["Build"][0]["Namespace"] = "Build"
    rehearsed.declare(declared)
    [execution] = rehearsed.pushed(TREE)
    assert error(execution).startswith(
        f"pipeline {rehearsed.name}, stage Deploy, action ChangeSet: refers to #{{Build.name}}, "
        "which has no value"
    )


def test_actions_of_one_order_run_side_by_side(rehearsed: Rehearsed) -> None:
    declared = stages(rehearsed)
    project = f"{rehearsed.name}-project"
    declared["Build"] = [
        build(ProjectName=project), build(ProjectName=project, gives=["Other"]) | {"Name": "Other"},
    ]  # fmt: skip
    rehearsed.declare(declared)
    # Each waits for the other.
    meeting = rehearsed.directory / "meeting"
    script = (
        f"touch {meeting}-$CODEBUILD_BUILD_NUMBER; n=0\n"
        f"until [ -e {meeting}-1 ] && [ -e {meeting}-2 ]; do\n"
        "  n=$((n+1)); [ $n -lt 200 ] || exit 1; sleep 0.05\ndone\n"
    )
    [execution] = rehearsed.pushed(TREE | {"build.sh": script})
    assert execution.status == "succeeded", execution.failures


def test_a_failure_lets_its_neighbours_end_and_stops_the_rest(rehearsed: Rehearsed) -> None:
    declared = stages(rehearsed)
    project = f"{rehearsed.name}-project"
    variables = '[{"name": "FAIL", "value": "yes"}]'
    declared["Build"] = [
        build(ProjectName=project, EnvironmentVariables=variables),
        build(ProjectName=project, gives=["Other"]) | {"Name": "Other"},
    ]
    rehearsed.declare(declared)
    script = '[ -z "$FAIL" ] || { echo it went wrong; exit 3; }\nsleep 0.5\necho done\n'
    [execution] = rehearsed.pushed(TREE | {"build.sh": script})
    assert execution.status == "failed"
    statuses = {done.name: done.status for done in execution.actions}
    assert statuses == {"Source": "succeeded", "Build": "failed", "Other": "succeeded"}
    assert queues(rehearsed) == []


def test_a_failing_build_is_shown_and_told(rehearsed: Rehearsed) -> None:
    rehearsed.declare(stages(rehearsed))
    sqs, sns = rehearsed.cloud.client("sqs"), rehearsed.cloud.client("sns")
    inbox = sqs.create_queue(QueueName=f"inbox-{rehearsed.name}")["QueueUrl"]
    arn = f"arn:aws:sqs:us-east-1:123456789012:inbox-{rehearsed.name}"
    topic = f"arn:aws:sns:us-east-1:123456789012:{rehearsed.name}-told"
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    [execution] = rehearsed.pushed(TREE | {"build.sh": "echo these are the last words\nexit 4\n"})
    assert execution.status == "failed"
    told = error(execution)
    assert told.startswith(
        f"pipeline {rehearsed.name}, stage Build, action Build: build {rehearsed.name}-project: "
        "failed in BUILD: `sh build.sh` ended with exit code 4; its last lines:\n"
        "  │ these are the last words"
    )
    assert f"{rehearsed.name}-Build.log" in told
    [message] = sqs.receive_message(QueueUrl=inbox, WaitTimeSeconds=2)["Messages"]
    assert f"Pipeline {rehearsed.name} failed" in message["Body"]


@pytest.mark.parametrize(
    ("tree", "overrides", "what"),
    [
        ({}, {"TemplatePath": "Built::cfn/template.yaml"},
         "Built::cfn/template.yaml: is not there: the artifact holds build.sh, parameters.json, "
         "template.yaml"),
        ({}, {"TemplateConfiguration": "Built::none.json"}, "Built::none.json: is not there"),
        ({"parameters.json": "{"}, {}, "Built::parameters.json: is no JSON"),
        ({"parameters.json": '{"Parameters": {}}'}, {"ParameterOverrides": "{}"},
         "TemplateConfiguration and ParameterOverrides, for Built::template.yaml: lacks pName, "
         "which the template requires"),
        ({}, {"ParameterOverrides": '{"pNmae": "x"}'},
         "TemplateConfiguration and ParameterOverrides, for Built::template.yaml: has pNmae, "
         "which the template does not declare"),
        ({}, {"ParameterOverrides": '{"pName": ["x"]}'},
         'ParameterOverrides, pName: is ["x"], which is no value'),
        ({}, {"ParameterOverrides": '{"pName": {"Fn::GetParam": ["Built", "parameters.json", '
                                    '"none"]}}'},
         "takes none from Built::parameters.json, which does not have it"),
        ({"template.yaml": "Resources: ["}, {}, "Built::template.yaml:1: is no template"),
        ({"template.yaml": QUEUE.replace("AWS::SQS::Queue", "AWS::SQS::Kew")}, {},
         "AWS::SQS::Kew"),
        ({"template.yaml": QUEUE + "  oX: {Value: {Fn::ImportValue: nobody-exports-it}}\n"}, {},
         "nobody-exports-it"),
        ({}, {"RoleArn": "arn:aws:iam::123456789012:role/nobody"},
         "RoleArn: arn:aws:iam::123456789012:role/nobody is not there"),
    ],
)  # fmt: skip
def test_a_change_set_that_cannot_be_made_is_told(
    rehearsed: Rehearsed, tree: dict[str, str], overrides: dict[str, str], what: str
) -> None:
    rehearsed.declare(stages(rehearsed, **overrides))
    [execution] = rehearsed.pushed(TREE | tree)
    assert execution.status == "failed"
    told = error(execution)
    assert f"pipeline {rehearsed.name}, stage Deploy, action " in told
    assert what in told
    assert "\n  → " in told
    assert queues(rehearsed) == []


def test_a_capability_that_lacks_is_told(rehearsed: Rehearsed) -> None:
    rehearsed.declare(stages(rehearsed))
    policy = "{Version: '2012-10-17', Statement: []}"
    role = (
        f"  rRole: {{Type: AWS::IAM::Role, Properties: {{AssumeRolePolicyDocument: {policy}}}}}\n"
    )
    template = QUEUE.replace("Outputs:", f"{role}Outputs:")
    [execution] = rehearsed.pushed(TREE | {"template.yaml": template})
    assert "CAPABILITY_IAM" in error(execution)


def test_a_stack_that_fails_tells_its_first_failure(rehearsed: Rehearsed) -> None:
    rehearsed.declare(stages(rehearsed))
    rehearsed.cloud.client("sqs").create_queue(QueueName=f"{rehearsed.name}-queue")
    [execution] = rehearsed.pushed(TREE)
    told = error(execution)
    assert (
        f"stack {rehearsed.name}-stack: ended in ROLLBACK_COMPLETE; the first failure: rQueue"
        in (told)
    )
    outcome = execution.actions[-1].stack
    assert outcome is not None
    assert outcome.status == "failed"
    # And the pipeline cannot go on with such a stack.
    [again] = rehearsed.released()
    assert "is in ROLLBACK_COMPLETE" in error(again)


def test_a_change_set_that_nobody_made_cannot_be_executed(rehearsed: Rehearsed) -> None:
    declared = stages(rehearsed)
    declared["Deploy"] = [execute(StackName=f"{rehearsed.name}-stack")]
    rehearsed.declare(declared)
    [execution] = rehearsed.pushed(TREE)
    assert f"stack {rehearsed.name}-stack: has no change set pipeline" in error(execution)


def test_a_change_set_made_by_hand_is_executed(rehearsed: Rehearsed) -> None:
    declared = stages(rehearsed)
    stack = f"{rehearsed.name}-stack"
    declared["Deploy"] = [execute(StackName=stack)]
    rehearsed.declare(declared)
    local_cloud.change_set(
        rehearsed.cloud, stack, QUEUE, {"pName": f"{rehearsed.name}-queue"}, "pipeline",
        ChangeSetType="CREATE",
    )  # fmt: skip
    [execution] = rehearsed.pushed(TREE)
    assert execution.status == "succeeded", execution.failures
    assert queues(rehearsed) == [f"{rehearsed.name}-queue"]


def test_other_modes(rehearsed: Rehearsed) -> None:
    stack = f"{rehearsed.name}-stack"
    declared = good_at(rehearsed.name)
    role = {"Fn::GetAtt": ["rRole", "Arn"]}
    given = {"StackName": stack, "RoleArn": role, "ActionMode": "CREATE_UPDATE"}
    overrides = {"ParameterOverrides": json.dumps({"pName": f"{rehearsed.name}-queue"})}
    making = change_set(**given, **overrides, gives=["Made"], OutputFileName="outputs.json")
    declared["Deploy"] = [making]
    declared["Again"] = [
        change_set(
            **(given | {"ActionMode": "REPLACE_ON_FAILURE"}), takes=["Built", "Made"],
            ParameterOverrides='{"pName": {"Fn::GetParam": ["Made", "outputs.json", "oQueue"]}}',
        )
    ]  # fmt: skip
    for each in (declared["Deploy"][0], declared["Again"][0]):
        del each["Configuration"]["ChangeSetName"]
    rehearsed.declare(declared)
    [execution] = rehearsed.pushed(TREE)
    assert execution.status == "succeeded", execution.failures
    assert [done.told for done in execution.actions[-2:]] == [
        f"{stack} created", f"{stack}: no changes",
    ]  # fmt: skip
    assert queues(rehearsed) == [f"{rehearsed.name}-queue"]

    del declared["Again"]
    deleting = {"ActionMode": "DELETE_ONLY", "StackName": stack, "RoleArn": role}
    declared["Deploy"] = [action("Delete", **deleting)]
    declared["Build"][0].pop("OutputArtifacts")
    rehearsed.declare(declared)
    told = [rehearsed.released()[0].actions[-1].told for _ in range(2)]
    assert told == [f"{stack} deleted", f"{stack} is not there"]
    assert queues(rehearsed) == []


def test_replace_on_failure_begins_anew(rehearsed: Rehearsed) -> None:
    declared = stages(rehearsed)
    given = declared["Deploy"][0]["Configuration"]
    given["ActionMode"] = "REPLACE_ON_FAILURE"
    del given["ChangeSetName"]
    declared["Deploy"] = declared["Deploy"][:1]
    rehearsed.declare(declared)
    sqs = rehearsed.cloud.client("sqs")
    taken = sqs.create_queue(QueueName=f"{rehearsed.name}-queue")["QueueUrl"]
    [failed] = rehearsed.pushed(TREE)
    assert failed.status == "failed"
    sqs.delete_queue(QueueUrl=taken)
    [execution] = rehearsed.released()
    assert execution.actions[-1].told == f"{rehearsed.name}-stack created", execution.failures


def test_an_approval_is_told_and_given(rehearsed: Rehearsed) -> None:
    declared = stages(rehearsed)
    topic = f"arn:aws:sns:us-east-1:123456789012:{rehearsed.name}-told"
    approval = action(
        "Approve", "Approval", "Manual", order=2, CustomData="Look", NotificationArn=topic
    )
    declared["Deploy"] = [declared["Deploy"][0], approval, execute(
        StackName=f"{rehearsed.name}-stack", order=3)]  # fmt: skip
    rehearsed.declare(declared)
    sqs = rehearsed.cloud.client("sqs")
    inbox = sqs.create_queue(QueueName=f"inbox-{rehearsed.name}")["QueueUrl"]
    arn = f"arn:aws:sqs:us-east-1:123456789012:inbox-{rehearsed.name}"
    rehearsed.cloud.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    [execution] = rehearsed.pushed(TREE)
    assert execution.status == "succeeded", execution.failures
    assert execution.actions[3].told.startswith("approved by the rehearsal itself")
    [message] = sqs.receive_message(QueueUrl=inbox, WaitTimeSeconds=2)["Messages"]
    assert '\\"actionName\\": \\"Approve\\"' in message["Body"]
    declared["Deploy"][1]["Configuration"]["NotificationArn"] = f"{topic}-of-nobody"
    rehearsed.declare(declared)
    [execution] = rehearsed.released()
    assert execution.status == "failed"
    assert execution.actions[-1].name == "Approve"


def image_source(name: str) -> dict[str, Any]:
    return action(
        "Image", "Source", "ECR", gives=["Image"], namespace="Image", RepositoryName=f"{name}-layer"
    )


def test_an_absent_image_fails_its_source(rehearsed: Rehearsed) -> None:
    declared = stages(rehearsed)
    declared["Source"].append(image_source(rehearsed.name))
    rehearsed.declare(declared)
    [execution] = rehearsed.pushed(TREE)
    told = error(execution)
    assert told.startswith(
        f"pipeline {rehearsed.name}, stage Source, action Image: ECR repository "
        f"{rehearsed.name}-layer: holds no image latest"
    )


def test_a_pushed_image_starts_the_pipeline_with_its_digest(rehearsed: Rehearsed) -> None:
    """The build pushes an image; the rule hands its digest on; the pipeline builds from it."""
    declared = stages(rehearsed)
    declared["Source"].append(image_source(rehearsed.name))
    variables = '[{"name": "DIGEST", "value": "#{Image.ImageDigest}"}]'
    declared["Build"][0]["Configuration"]["EnvironmentVariables"] = variables
    rehearsed.declare(declared)
    layer = f"{rehearsed.name}-layer"
    first = registries.push_image(rehearsed.registry, layer, "latest", content="first")
    rehearsed.latest[layer] = first
    push_second = (
        "from kit import registries; import os; "
        f"registries.push_image(os.environ['REGISTRY'], '{layer}', 'latest', content='second')"
    )
    script = (
        "echo builds on $DIGEST\n"
        f'[ "$DIGEST" != {first} ] || PYTHONPATH={TESTS} {sys.executable} -c "{push_second}"\n'
    )
    done = rehearsed.pushed(TREE | {"build.sh": script})
    assert [execution.status for execution in done] == ["succeeded", "succeeded"]
    second = registries.digest(rehearsed.registry, layer, "latest")
    assert [execution.revisions["Image"] for execution in done] == [first, second]
    assert done[1].trigger.text == f"push of {layer}:latest ({second[:19]})"
    detail = json.loads(_text(rehearsed, done[1], "Image", "imageDetail.json"))
    assert detail["ImageURI"].endswith(f".amazonaws.com/{layer}@{second}")


def _text(rehearsed: Rehearsed, execution: Execution, artifact: str, name: str) -> str:
    from io import BytesIO
    from zipfile import ZipFile

    place = execution.artifacts[artifact]
    body = rehearsed.cloud.client("s3").get_object(Bucket=place.bucket, Key=place.key)["Body"]
    with ZipFile(BytesIO(body.read())) as files:
        return files.read(name).decode()


def test_an_execution_takes_the_commit_of_its_trigger(rehearsed: Rehearsed) -> None:
    rehearsed.declare(stages(rehearsed))

    async def scenario(service: Service, world: World) -> list[Execution]:
        push(world, rehearsed, TREE)
        push(world, rehearsed, TREE | {"more.txt": "more"})
        await service.deliver()
        return await settled(service)

    first, second = rehearsed.perform(scenario)
    assert first.revisions["Source"] != second.revisions["Source"]
    assert first.trigger.revisions == first.revisions
    assert second.trigger.text.startswith(f"push of {second.revisions['Source'][:7]} to ")


def test_the_same_sources_are_not_built_twice_in_a_row(rehearsed: Rehearsed) -> None:
    declared = stages(rehearsed)
    rehearsed.declare(declared)

    async def scenario(service: Service, world: World) -> list[Execution]:
        commit = push(world, rehearsed, TREE)
        await service.deliver()
        service.start(rehearsed.name, Trigger("once more", {"Source": commit}))
        service.start(rehearsed.name, Trigger("by hand", by_hand=True))
        return await settled(service)

    done = rehearsed.perform(scenario)
    assert [execution.status for execution in done] == ["succeeded", "repeated", "succeeded"]
    assert any("not repeated" in line for line in rehearsed.heard.said)


def test_superseded_mode_lets_the_newest_go_first(rehearsed: Rehearsed) -> None:
    rehearsed.declare(stages(rehearsed), ExecutionMode="SUPERSEDED")

    async def scenario(service: Service, world: World) -> list[Execution]:
        push(world, rehearsed, TREE)
        push(world, rehearsed, TREE | {"more.txt": "more"})
        await service.deliver()
        await settled(service)
        return service.executions

    assert [each.status for each in rehearsed.perform(scenario)] == ["superseded", "succeeded"]


def test_what_waits_behind_a_failure_waits_on(rehearsed: Rehearsed) -> None:
    rehearsed.declare(stages(rehearsed))

    async def scenario(service: Service, world: World) -> list[Execution]:
        push(world, rehearsed, TREE | {"build.sh": "exit 1\n"})
        push(world, rehearsed, TREE)
        await service.deliver()
        await service.perform()
        return service.executions

    assert [each.status for each in rehearsed.perform(scenario)] == ["failed", "waiting"]


def test_a_connection_starts_its_pipelines_by_itself(rehearsed: Rehearsed) -> None:
    declared = stages(rehearsed)
    declared["Source"] = [
        action(
            "Source", "Source", "CodeStarSourceConnection", gives=["Code"], namespace="Source",
            ConnectionArn="arn:connection", FullRepositoryId="owner/name", BranchName="main",
        )
    ]  # fmt: skip
    variables = '[{"name": "NAME", "value": "#{Source.FullRepositoryName}"}]'
    declared["Build"][0]["Configuration"]["EnvironmentVariables"] = variables
    rehearsed.declare(declared)

    async def scenario(service: Service, world: World) -> list[Execution]:
        from ci.rehearsal import developer

        tree = rehearsed.directory / "tree"
        for name, text in (TREE | {"build.sh": "echo from $NAME\n"}).items():
            tree.mkdir(exist_ok=True)
            (tree / name).write_text(text)
        repository = world.repository("owner/name")
        made = developer.push(repository, "main", {name: tree / name for name in TREE})
        assert made
        service.pushed("owner/name", "other-branch", made.commit)
        service.pushed("owner/name", "main", made.commit)
        return await settled(service)

    [execution] = rehearsed.perform(scenario)
    assert execution.status == "succeeded", execution.failures
    log = rehearsed.directory / "out/logs" / f"{rehearsed.name}-Build.log"
    assert "\nfrom owner/name\n" in log.read_text()


def test_build_numbers_count_up_in_one_cloud(rehearsed: Rehearsed) -> None:
    rehearsed.declare(stages(rehearsed))
    rehearsed.pushed(TREE)
    [execution] = rehearsed.released()
    build_of = next(done for done in execution.actions if done.name == "Build")
    assert build_of.told.startswith(f"build 2 of {rehearsed.name}-project")


def test_the_report_of_a_command_that_a_build_runs_is_kept(rehearsed: Rehearsed) -> None:
    rehearsed.declare(stages(rehearsed))
    script = (
        "mkdir -p out/logs\necho the log >out/logs/function.log\n"
        'echo \'{"functions": [], "bases": {}}\' >out/report.json\necho "✓ function built, 1 s"\n'
    )
    [execution] = rehearsed.pushed(TREE | {"build.sh": script})
    assert execution.actions[1].report == {"functions": [], "bases": {}}
    assert (rehearsed.directory / "out/logs/function.log").read_text() == "the log\n"
    assert "Build / Build: ✓ function built, 1 s" in rehearsed.heard.said


def test_a_build_that_hands_on_nothing_is_told(rehearsed: Rehearsed) -> None:
    declared = stages(rehearsed)
    rehearsed.declare(declared)
    template = pipelines.infrastructure(declared, rehearsed.name)
    spec = "version: 0.2\nphases: {build: {commands: ['true']}}\n"
    template["Resources"]["rProject"]["Properties"]["Source"]["BuildSpec"] = spec
    local_cloud.deploy(rehearsed.cloud, f"{rehearsed.name}-infrastructure", template)
    [execution] = rehearsed.pushed(TREE)
    assert "declares the artifact Built, and its buildspec has no artifacts" in error(execution)


def test_a_buildspec_that_the_repository_lacks_is_told(rehearsed: Rehearsed) -> None:
    declared = stages(rehearsed)
    rehearsed.declare(declared)
    template = pipelines.infrastructure(declared, rehearsed.name)
    spec = "codepipeline/buildspec.yaml"
    template["Resources"]["rProject"]["Properties"]["Source"]["BuildSpec"] = spec
    local_cloud.deploy(rehearsed.cloud, f"{rehearsed.name}-infrastructure", template)
    [execution] = rehearsed.pushed(TREE)
    assert "Code::codepipeline/buildspec.yaml: is not there" in error(execution)


def revision(**more: str) -> str:
    named = {"actionName": "Source", "revisionType": "COMMIT_ID", "revisionValue": "<revision>"}
    return json.dumps({"sourceRevisions": [named | more]})


@pytest.mark.parametrize(
    ("target", "what"),
    [
        ({"RoleArn": None}, "starts PIPELINE without a role: EventBridge may not"),
        ({"Arn": "arn:aws:codepipeline:us-east-1:123456789012:another"},
         "starts another, which is no pipeline"),
        ({"InputTransformer": revision(actionName="Sauce")},
         "names the source action Sauce, which PIPELINE does not have"),
        ({"InputTransformer": revision(revisionType="IMAGE_DIGEST")},
         "gives Source a revision of the type IMAGE_DIGEST"),
        ({"InputTransformer": '"<revision>"'}, "with an input that it does not take"),
        ({"InputTransformer": "<commit>"}, "has <commit> in its InputTemplate"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_start_its_pipeline_is_told(
    rehearsed: Rehearsed, target: dict[str, Any], what: str
) -> None:
    template = pipelines.infrastructure(stages(rehearsed), rehearsed.name)
    [declared] = template["Resources"]["rPushRule"]["Properties"]["Targets"]
    for key, value in target.items():
        if key == "InputTransformer":
            declared[key]["InputTemplate"] = value
        elif value is None:
            del declared[key]
        else:
            declared[key] = value
    local_cloud.deploy(rehearsed.cloud, f"{rehearsed.name}-infrastructure", template)
    with pytest.raises(PipelineError, match="rule ") as problem:
        rehearsed.pushed(TREE)
    assert what.replace("PIPELINE", rehearsed.name) in problem.value.what


def test_a_target_that_is_not_rehearsed_is_named(rehearsed: Rehearsed) -> None:
    template = pipelines.infrastructure(stages(rehearsed), rehearsed.name)
    queue = "arn:aws:sqs:us-east-1:123456789012:queue"
    targets = template["Resources"]["rPushRule"]["Properties"]["Targets"]
    targets.append({"Id": "queue", "Arn": queue})
    local_cloud.deploy(rehearsed.cloud, f"{rehearsed.name}-infrastructure", template)
    [execution] = rehearsed.pushed(TREE)
    assert execution.status == "succeeded"
    assert any(f"{queue} would hear of it" in line for line in rehearsed.heard.said)


def test_an_execution_is_quick(rehearsed: Rehearsed) -> None:
    rehearsed.declare(stages(rehearsed))
    began = time.monotonic()
    rehearsed.pushed(TREE)
    assert time.monotonic() - began < 10
