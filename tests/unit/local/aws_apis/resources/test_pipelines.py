"""Rules, alarms, state machines, repositories, builds, pipelines, the Glue catalogue."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kit.local_cloud import LocalCloud, change_set, changed, delete, deploy, events, execute


def trusted(service: str) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    return {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": document}}


def test_a_rule(cloud: LocalCloud) -> None:
    def template(*targets: str, **properties: Any) -> dict[str, Any]:
        queue = "arn:aws:sqs:us-east-1:123456789012:"
        given = {"Name": "made", "Targets": [{"Id": each, "Arn": queue + each} for each in targets],
                 **properties}  # fmt: skip
        return {"Resources": {"rIt": {"Type": "AWS::Events::Rule", "Properties": given}}}

    client = cloud.client("events")
    pattern = {"source": ["aws.ecr"], "detail": {"image-tag": ["latest"]}}
    tags = [{"Key": "team", "Value": "one"}]
    deploy(cloud, "rule", template("a", "b", EventPattern=pattern, Description="d"), Tags=tags)
    found = client.describe_rule(Name="made")
    assert json.loads(found["EventPattern"]) == pattern
    assert (found["State"], found["Description"]) == ("ENABLED", "d")
    assert client.list_tags_for_resource(ResourceARN=found["Arn"])["Tags"] == tags
    template_2 = template("b", "c", ScheduleExpression="rate(5 minutes)", State="DISABLED")
    assert changed(change_set(cloud, "rule", template_2)) == {"rIt": "Modify"}
    execute(cloud, "rule")
    targets = client.list_targets_by_rule(Rule="made")["Targets"]
    assert sorted(each["Id"] for each in targets) == ["b", "c"]
    found = client.describe_rule(Name="made")
    assert (found["State"], found["ScheduleExpression"]) == ("DISABLED", "rate(5 minutes)")
    assert "EventPattern" not in found
    assert delete(cloud, "rule")["StackStatus"] == "DELETE_COMPLETE"
    assert client.list_rules(NamePrefix="made")["Rules"] == []


def test_an_alarm(cloud: LocalCloud) -> None:
    def template(threshold: Any) -> dict[str, Any]:
        given = {
            "AlarmName": "made", "Namespace": "AWS/SQS", "Statistic": "Maximum", "Period": "300",
            "MetricName": "ApproximateNumberOfMessagesVisible", "EvaluationPeriods": 1,
            "Dimensions": [{"Name": "QueueName", "Value": "q"}], "Threshold": threshold,
            "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "notBreaching",
            "AlarmActions": ["arn:aws:sns:us-east-1:123456789012:t"],
        }  # fmt: skip
        return {"Resources": {"rIt": {"Type": "AWS::CloudWatch::Alarm", "Properties": given}}}

    def found() -> dict[str, Any]:
        [alarm] = cloud.client("cloudwatch").describe_alarms(AlarmNames=["made"])["MetricAlarms"]
        return dict(alarm)

    deploy(cloud, "alarm", template("0"))
    assert (found()["Threshold"], found()["Period"], found()["TreatMissingData"]) == (
        0.0, 300, "notBreaching"
    )  # fmt: skip
    deploy(cloud, "alarm", template(5))
    assert found()["Threshold"] == 5.0
    delete(cloud, "alarm")
    assert cloud.client("cloudwatch").describe_alarms(AlarmNames=["made"])["MetricAlarms"] == []


def test_a_state_machine_by_object_and_substitutions(cloud: LocalCloud) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="definitions")
    text = '{"StartAt": "A", "States": {"A": {"Type": "Pass", "Result": "${What}", "End": true}}}'
    s3.put_object(Bucket="definitions", Key="a.json", Body=text)

    def template(what: str, **given: Any) -> dict[str, Any]:
        made = {"StateMachineName": "made", "RoleArn": {"Fn::GetAtt": "rRole.Arn"},
                "DefinitionSubstitutions": {"What": what}, **given}  # fmt: skip
        machine = {"Type": "AWS::StepFunctions::StateMachine", "Properties": made}
        return {"Resources": {"rRole": trusted("states.amazonaws.com"), "rIt": machine}}

    states = cloud.client("stepfunctions")
    arn = "arn:aws:states:us-east-1:123456789012:stateMachine:made"
    place = {"DefinitionS3Location": {"Bucket": "definitions", "Key": "a.json"}}
    for what in ("one", 'a "quoted" one'):
        deploy(cloud, "machine", template(what, **place), Tags=[{"Key": "t", "Value": "1"}])
        definition = json.loads(states.describe_state_machine(stateMachineArn=arn)["definition"])
        assert definition["States"]["A"]["Result"] == what
    assert states.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "t", "value": "1"}]

    change_set(cloud, "machine", template("x", DefinitionString=text.replace("What", "Other")))
    assert execute(cloud, "machine")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    reasons = [r for n, s, r in events(cloud, "machine") if (n, s) == ("rIt", "UPDATE_FAILED")]
    assert "The definition has ${Other}, which DefinitionSubstitutions does not" in reasons[0]
    change_set(cloud, "machine", template("x", DefinitionString="{}"))
    assert execute(cloud, "machine")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    definition = json.loads(states.describe_state_machine(stateMachineArn=arn)["definition"])
    assert definition["States"]["A"]["Result"] == 'a "quoted" one'


def test_sources_builds_and_pipelines(cloud: LocalCloud) -> None:
    def template(image: str, description: str) -> dict[str, Any]:
        repository = {"RepositoryName": "made", "RepositoryDescription": description}
        environment = {"Type": "LINUX_CONTAINER", "Image": image, "PrivilegedMode": "true",
                       "ComputeType": "BUILD_GENERAL1_LARGE",
                       "EnvironmentVariables": [{"Name": "A", "Value": "1"}]}  # fmt: skip
        project = {"Name": "made", "ServiceRole": {"Fn::GetAtt": "rBuildRole.Arn"},
                   "Source": {"Type": "CODEPIPELINE", "BuildSpec": "b.yaml"},
                   "Artifacts": {"Type": "CODEPIPELINE"}, "Environment": environment,
                   "Cache": {"Type": "LOCAL", "Modes": ["LOCAL_SOURCE_CACHE"]}}  # fmt: skip
        kind = {"Owner": "AWS", "Version": "1"}
        source = {"Name": "Source", "OutputArtifacts": [{"Name": "Code"}], "RunOrder": "1",
                  "Namespace": "Source",
                  "ActionTypeId": {"Category": "Source", "Provider": "CodeCommit", **kind},
                  "Configuration": {"RepositoryName": {"Fn::GetAtt": "rCode.Name"},
                                    "BranchName": "main"}}  # fmt: skip
        build = {"Name": "Build", "InputArtifacts": [{"Name": "Code"}],
                 "ActionTypeId": {"Category": "Build", "Provider": "CodeBuild", **kind},
                 "Configuration": {"ProjectName": {"Ref": "rBuild"}}}  # fmt: skip
        pipeline = {"Name": "made", "PipelineType": "V2", "ExecutionMode": "QUEUED",
                    "RoleArn": {"Fn::GetAtt": "rPipelineRole.Arn"},
                    "ArtifactStore": {"Type": "S3", "Location": "store"},
                    "Stages": [{"Name": "Source", "Actions": [source]},
                               {"Name": "Build", "Actions": [build]}]}  # fmt: skip
        return {
            "Resources": {
                "rBuildRole": trusted("codebuild.amazonaws.com"),
                "rPipelineRole": trusted("codepipeline.amazonaws.com"),
                "rCode": {"Type": "AWS::CodeCommit::Repository", "Properties": repository},
                "rBuild": {"Type": "AWS::CodeBuild::Project", "Properties": project},
                "rIt": {"Type": "AWS::CodePipeline::Pipeline", "Properties": pipeline},
            },
            "Outputs": {"oUrl": {"Value": {"Fn::GetAtt": "rCode.CloneUrlHttp"}}},
        }

    [output] = deploy(cloud, "code", template("image:1", "d"))["Outputs"]
    assert output["OutputValue"].startswith("https://git-codecommit.us-east-1.amazonaws.com/")
    assert cloud.client("codecommit").get_repository(repositoryName="made")
    builds = cloud.client("codebuild")
    [project] = builds.batch_get_projects(names=["made"])["projects"]
    assert project["environment"]["image"] == "image:1"
    assert project["source"]["buildspec"] == "b.yaml"
    pipelines = cloud.client("codepipeline")
    found = pipelines.get_pipeline(name="made")["pipeline"]
    assert (found["pipelineType"], found["executionMode"]) == ("V2", "QUEUED")
    action = found["stages"][0]["actions"][0]
    assert (action["namespace"], action["configuration"]["RepositoryName"]) == ("Source", "made")

    tags = [{"Key": "t", "Value": "1"}]
    deploy(cloud, "code", template("image:1", "d"), Tags=tags)
    arn = "arn:aws:codepipeline:us-east-1:123456789012:made"
    assert pipelines.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "t", "value": "1"}]
    made = change_set(cloud, "code", template("image:2", "d"), Tags=tags)
    assert changed(made) == {"rBuild": "Modify"}
    execute(cloud, "code")
    [project] = builds.batch_get_projects(names=["made"])["projects"]
    assert project["environment"]["image"] == "image:2"
    assert delete(cloud, "code")["StackStatus"] == "DELETE_COMPLETE"
    assert builds.list_projects()["projects"] == []
    assert pipelines.list_pipelines()["pipelines"] == []
    sources = cloud.client("codecommit")
    with pytest.raises(sources.exceptions.RepositoryDoesNotExistException):
        sources.get_repository(repositoryName="made")
    with pytest.raises(sources.exceptions.ClientError, match="does not know ListRepositories"):
        sources.list_repositories()


def test_the_glue_catalogue_and_a_job(cloud: LocalCloud) -> None:
    def template(description: str, workers: Any, name: str = "made") -> dict[str, Any]:
        database = {"CatalogId": {"Ref": "AWS::AccountId"},
                    "DatabaseInput": {"Name": name, "Description": description}}  # fmt: skip
        job = {"Name": "made", "Role": {"Ref": "rRole"}, "NumberOfWorkers": workers,
               "WorkerType": "G.1X", "GlueVersion": "5.0",
               "Command": {"Name": "glueetl", "ScriptLocation": "s3://b/k"}}  # fmt: skip
        return {
            "Resources": {
                "rRole": trusted("glue.amazonaws.com"),
                "rDatabase": {"Type": "AWS::Glue::Database", "Properties": database},
                "rJob": {"Type": "AWS::Glue::Job", "Properties": job},
            }
        }

    glue = cloud.client("glue")
    deploy(cloud, "glue", template("one", "2"))
    deploy(cloud, "glue", template("two", 3))
    assert glue.get_database(Name="made")["Database"]["Description"] == "two"
    job = glue.get_job(JobName="made")["Job"]
    assert (job["NumberOfWorkers"], job["Command"]["ScriptLocation"]) == (3, "s3://b/k")
    made = change_set(cloud, "glue", template("two", 3, "other"))
    assert changed(made) == {"rDatabase": "Modify True"}
    execute(cloud, "glue")
    assert [each["Name"] for each in glue.get_databases()["DatabaseList"]] == ["other"]
    assert delete(cloud, "glue")["StackStatus"] == "DELETE_COMPLETE"
