"""What CodePipeline would refuse, or find out too late: told before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kit import pipelines
from kit.pipelines import action, build, change_set, execute, source

from ci.errors import PipelineError
from ci.local.codepipeline import declaration, judgement
from ci.local.codepipeline.action_rules import Surroundings

AROUND = Surroundings(frozenset({"project"}), frozenset({"code"}), frozenset({"layer"}))
Stages = dict[str, list[dict[str, Any]]]


def problems(stages: Stages, **more: Any) -> list[PipelineError]:
    found: list[PipelineError] = []
    pipeline = declaration.read(pipelines.pipeline(stages, **more), found)
    return found + judgement.problems(pipeline, AROUND)


def changed(change: Callable[[Stages], Any]) -> Stages:
    stages = pipelines.good()
    change(stages)
    return stages


def test_a_good_declaration_has_no_problem() -> None:
    assert problems(pipelines.good()) == []


def test_actions_run_in_groups_by_their_order() -> None:
    stages = {"S": [source()], "T": [execute(order=3), change_set(order=1), build(order=1)]}
    pipeline = declaration.read(pipelines.pipeline(stages), [])
    assert [[each.name for each in group] for group in pipeline.stages[1].groups()] == [
        ["ChangeSet", "Build"],
        ["Execute"],
    ]


@pytest.mark.parametrize(
    ("change", "where", "what", "fix"),
    [
        # Artifacts
        (lambda s: s["Build"][0].update(InputArtifacts=[{"Name": "Cod"}]),
         "stage Build, action Build", "takes the artifact Cod, which no action makes", "Code?"),
        (lambda s: s.update(Build=[build(takes=["Late"]), build(takes=["Code"], gives=["Late"])]),
         "stage Build, action Build", "takes the artifact Late, which stage Build, action Build, "
         "makes, no earlier than it runs", "RunOrder"),
        (lambda s: s.update(Again=[build()]),
         "stage Again, action Build", "makes the artifact Built, as stage Build, action Build does",
         "rename one"),
        (lambda s: s["Source"][0].update(OutputArtifacts=[{"Name": "no spaces"}]),
         "stage Source, action Source", "names the artifact 'no spaces'", "rename it"),
        (lambda s: s["Source"][0].update(InputArtifacts=[{"Name": "Code"}]),
         "stage Source, action Source", "has 1 input artifacts; CodeCommit takes 0", "mend"),
        (lambda s: s["Deploy"][0].update(OutputArtifacts=[{"Name": "Out"}]),
         "stage Deploy, action ChangeSet", "has an output artifact, and nothing", "OutputFileName"),
        # Stages
        (lambda s: s.update({"Source": [], "Build": [build()]}),
         "stage Source", "has no action", "give it one"),
        (lambda s: s["Source"].append(build(order=2)),
         "stage Source, action Build", "is no source (Build CodeBuild), but stands in the first",
         "later stage"),
        (lambda s: s["Build"].append(source(gives=["More"], namespace="Other")),
         "stage Build, action Source", "is a source, but does not stand in the first stage",
         "stage Source"),
        (lambda s: s["Build"].append(build(gives=["More"])),
         "stage Build", "has two actions of the name Build", "rename one"),
        (lambda s: s.update({"a stage": [execute()]}),
         "stage a stage", "has a name that CodePipeline does not take", "letters"),
        (lambda s: s["Build"][0].update(Name="a/b"),
         "action a/b", "has a name that CodePipeline does not take", "letters"),
        (lambda s: [s.pop("Build"), s.pop("Deploy")],
         "pipeline pipeline", "has 1 stage; CodePipeline wants two", "add one"),
        # Providers
        (lambda s: s["Build"][0]["ActionTypeId"].update(Provider="CodeBuid"),
         "action Build", "is Build by AWS/CodeBuid, version 1, which CodePipeline does not know",
         "did you mean CodeBuild?"),
        (lambda s: s["Build"][0]["ActionTypeId"].update(Provider="Jenkins", Owner="Custom"),
         "action Build", "which the rehearsal does not perform", "it performs"),
        (lambda s: s["Build"][0]["ActionTypeId"].update(Category="Deploy"),
         "action Build", "is Deploy by AWS/CodeBuild, version 1", ""),
        # Configuration
        (lambda s: s["Deploy"][0]["Configuration"].pop("TemplatePath"),
         "action ChangeSet", "lacks TemplatePath in its configuration", "CloudFormation needs it"),
        (lambda s: s["Deploy"][0]["Configuration"].pop("RoleArn"),
         "action ChangeSet", "lacks RoleArn", "needs it"),
        (lambda s: s["Deploy"][0]["Configuration"].update(TemplatPath="x"),
         "action ChangeSet", "has TemplatPath in its configuration, which CloudFormation does not",
         "did you mean TemplatePath?"),
        (lambda s: s["Deploy"][0]["Configuration"].update(ActionMode="CHANGE_SET_RUN"),
         "action ChangeSet", "has ActionMode CHANGE_SET_RUN", "CHANGE_SET_"),
        (lambda s: s["Deploy"][0]["Configuration"].update(TemplatePath="template.yaml"),
         "action ChangeSet", "has TemplatePath 'template.yaml'", "Artifact::path"),
        (lambda s: s["Deploy"][0]["Configuration"].update(TemplateConfiguration="Biult::x.json"),
         "action ChangeSet", "Biult is none of its input artifacts", "did you mean Built?"),
        (lambda s: s["Deploy"][0]["Configuration"].update(ParameterOverrides="{pName: 1}"),
         "action ChangeSet", "has ParameterOverrides that are no JSON", '{"pName": "value"}'),
        (lambda s: s["Deploy"][0]["Configuration"].update(ParameterOverrides="[]"),
         "action ChangeSet", "has ParameterOverrides that are no JSON object", "pName"),
        (lambda s: s["Deploy"][0]["Configuration"].update(ParameterOverrides="{}" + " " * 999),
         "action ChangeSet", "has 1001 characters in ParameterOverrides; CodePipeline takes 1000",
         "file"),
        (lambda s: s["Build"][0]["Configuration"].update(EnvironmentVariables="NAME=value"),
         "action Build", "has EnvironmentVariables that are no JSON", "PLAINTEXT"),
        (lambda s: s["Build"][0]["Configuration"].update(
            EnvironmentVariables='[{"name": "A", "value": "/a", "type": "PARAMETER_STORE"}]'),
         "action Build", "have the type PARAMETER_STORE", "PLAINTEXT"),
        (lambda s: s["Build"][0]["Configuration"].update(EnvironmentVariables='[{"name": "A"}]'),
         "action Build", "are no list of objects with a name, a value", "value"),
        (lambda s: s["Source"][0]["Configuration"].update(
            OutputArtifactFormat="CODEBUILD_CLONE_REF"),
         "action Source", "has OutputArtifactFormat CODEBUILD_CLONE_REF", "CODE_ZIP"),
        (lambda s: s["Build"][0].update(RunOrder=0),
         "action Build", "has RunOrder 0; CodePipeline takes whole numbers", "such a number"),
        (lambda s: s["Build"][0].update(RunOrder="1.5"),
         "action Build", "has RunOrder 1.5; CodePipeline takes whole numbers", "such a number"),
        (lambda s: s["Build"][0].update(Region="eu-west-1"),
         "action Build", "is for the region eu-west-1", "Region"),
        (lambda s: s["Build"][0].update(TimeoutInMinutes=5),
         "action Build", "has TimeoutInMinutes, which the rehearsal does not do", "leave it out"),
        # What is not there
        (lambda s: s["Build"][0]["Configuration"].update(ProjectName="projekt"),
         "action Build", "names the CodeBuild project projekt, which is not there",
         "did you mean project?"),
        (lambda s: s["Source"][0]["Configuration"].update(RepositoryName="other"),
         "action Source", "names the CodeCommit repository other", "there are code"),
        (lambda s: s["Source"].append(action("Image", "Source", "ECR", gives=["I"],
                                             RepositoryName="lair")),
         "action Image", "names the ECR repository lair", "did you mean layer?"),
        # Several inputs
        (lambda s: s["Source"].append(source(gives=["More"], namespace="Other") | {"Name": "More"})
         or s["Build"][0].update(InputArtifacts=[{"Name": "Code"}, {"Name": "More"}]),
         "action Build", "has 2 input artifacts, and does not say which is the source",
         "PrimarySource"),
        (lambda s: s["Build"][0]["Configuration"].update(PrimarySource="Cod"),
         "action Build", "has PrimarySource Cod, which is no input of it", "did you mean Code?"),
        # Variables
        (lambda s: s["Build"][0]["Configuration"].update(
            EnvironmentVariables='[{"name": "A", "value": "#{Sauce.CommitId}"}]'),
         "action Build", "refers to #{Sauce.CommitId}; no action has the namespace Sauce", ""),
        (lambda s: s["Build"][0]["Configuration"].update(
            EnvironmentVariables='[{"name": "A", "value": "#{Source.Commit}"}]'),
         "action Build", "refers to #{Source.Commit}; Source gives AuthorDate, BranchName", ""),
        (lambda s: s["Build"][0]["Configuration"].update(
            EnvironmentVariables='[{"name": "A", "value": "#{Deployed.oName}"}]')
         or s["Deploy"][1].update(Namespace="Deployed"),
         "action Build", "refers to #{Deployed.oName}; Execute gives it, no earlier", ""),
        (lambda s: s["Build"][0].update(Namespace="Source"),
         "action Build", "has the namespace Source, which is taken", "another"),
        (lambda s: s["Build"][0]["Configuration"].update(
            EnvironmentVariables='[{"name": "A", "value": "#{codepipeline.Nothing}"}]'),
         "action Build", "codepipeline gives PipelineExecutionId", ""),
        # Order
        (lambda s: s["Deploy"][1].update(RunOrder=1) or s["Deploy"][0].update(RunOrder=2),
         "action Execute", "executes the change set pipeline of stack, which stage Deploy, action "
         "ChangeSet, makes later", "RunOrder"),
        (lambda s: s.update(Build=[build()], Early=[s["Deploy"].pop()], Deploy=s.pop("Deploy")),
         "stage Early, action Execute", "makes later", "swap the stages"),
    ],
)  # fmt: skip
def test_a_bad_declaration_is_told(
    change: Callable[[Stages], Any], where: str, what: str, fix: str
) -> None:
    stages = changed(change)
    found = problems(stages)
    matching = [each for each in found if where in each.where and what in each.what]
    assert matching, [str(each) for each in found]
    assert fix in matching[0].fix


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"ExecutionMode": "PARALLEL"}, "has the execution mode PARALLEL"),
        ({"ArtifactStore": {}}, "has no artifact store"),
        ({"Triggers": []}, "has Triggers, which the rehearsal does not do"),
    ],
)
def test_a_bad_pipeline_is_told(more: dict[str, Any], what: str) -> None:
    [problem] = problems(pipelines.good(), **more)
    assert problem.where == "pipeline pipeline"
    assert what in problem.what


def test_only_sources_are_no_pipeline() -> None:
    other = source(gives=["More"], namespace="Other") | {"Name": "Other"}
    found = problems({"One": [source()], "Two": [other]})
    assert "has only sources" in [each.what for each in found]


def test_two_stages_of_one_name_are_told() -> None:
    properties = pipelines.pipeline(pipelines.good())
    properties["Stages"].append({"Name": "Build", "Actions": [execute()]})
    pipeline = declaration.read(properties, [])
    assert "has two stages of the name Build" in [
        each.what for each in judgement.problems(pipeline, AROUND)
    ]


def test_all_problems_are_told_at_once() -> None:
    def change(stages: Stages) -> None:
        stages["Build"][0]["Configuration"].update(ProjectName="none")
        stages["Deploy"][0]["Configuration"].pop("RoleArn")

    assert len(problems(changed(change))) == 2


def test_variables_of_the_pipeline_and_of_builds_may_be_used() -> None:
    stages = changed(
        lambda s: (
            s["Build"][0].update(Namespace="Build"),
            s["Deploy"][0]["Configuration"].update(
                ParameterOverrides='{"pA": "#{Build.anything}", "pB": "#{variables.given}"}'
            ),
        )
    )
    assert problems(stages, Variables=[{"Name": "given", "DefaultValue": "x"}]) == []
