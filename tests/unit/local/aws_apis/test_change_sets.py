"""What change sets tell before anything is done, and their own course of life."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kit import local_cloud
from kit.local_cloud import LocalCloud, change_set, changed, deploy, execute

NO_CHANGES = (
    "The submitted information didn't contain changes. "
    "Submit different information to create a change set."
)


def queue(name: str, **properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name, **properties}}


def parameter(value: Any, name: str = "", **more: Any) -> dict[str, Any]:
    properties = {"Type": "String", "Value": value} | ({"Name": name} if name else {})
    return {"Type": "AWS::SSM::Parameter", "Properties": properties, **more}


def refused(call: Any, code: str = "ValidationError") -> str:
    """The words in which a call is refused."""
    from botocore.exceptions import ClientError

    with pytest.raises(ClientError) as raised:
        call()
    assert raised.value.response["Error"]["Code"] == code
    return str(raised.value.response["Error"]["Message"])


def test_a_first_one_adds_everything_and_makes_a_stack_in_review(cloud: LocalCloud) -> None:
    template = {"Resources": {"rA": queue("first"), "rB": parameter({"Ref": "rA"})}}
    made = change_set(cloud, "first", template, ChangeSetType="CREATE", Description="the first")
    assert (made["Status"], made["ExecutionStatus"]) == ("CREATE_COMPLETE", "AVAILABLE")
    assert changed(made) == {"rA": "Add", "rB": "Add"}
    assert made["Description"] == "the first"
    assert local_cloud.after(cloud, "first")["StackStatus"] == "REVIEW_IN_PROGRESS"
    assert cloud.client("sqs").list_queues(QueueNamePrefix="first").get("QueueUrls", []) == []

    assert execute(cloud, "first")["StackStatus"] == "CREATE_COMPLETE"
    assert len(cloud.client("sqs").list_queues(QueueNamePrefix="first")["QueueUrls"]) == 1


def test_one_without_changes_fails_in_awss_words(cloud: LocalCloud) -> None:
    template = {"Resources": {"rA": queue("same", VisibilityTimeout=30)}}
    deploy(cloud, "same", template)
    again = {"Resources": {"rA": queue("same", VisibilityTimeout="30")}}
    made = change_set(cloud, "same", again)
    assert (made["Status"], made["ExecutionStatus"]) == ("FAILED", "UNAVAILABLE")
    assert made["StatusReason"] == NO_CHANGES
    said = refused(lambda: execute(cloud, "same"), "InvalidChangeSetStatus")
    assert "cannot be executed in its current status of [FAILED]" in said


def test_the_same_in_other_words_is_no_change(cloud: LocalCloud) -> None:
    declared = {"pName": {"Type": "String", "Default": "worded"}}
    deploy(cloud, "worded", {"Parameters": declared, "Resources": {"rA": queue("worded-q")}})
    other = {"Parameters": declared, "Resources": {"rA": queue({"Fn::Sub": "${pName}-q"})}}
    assert change_set(cloud, "worded", other)["StatusReason"] == NO_CHANGES


def test_a_parameter_changes_what_uses_it_and_nothing_else(cloud: LocalCloud) -> None:
    template = {
        "Parameters": {"pValue": {"Type": "String"}},
        "Resources": {"rA": parameter({"Ref": "pValue"}), "rB": parameter("constant")},
    }
    deploy(cloud, "one-of-two", template, {"pValue": "1"})
    made = change_set(cloud, "one-of-two", None, {"pValue": "2"}, UsePreviousTemplate=True)
    assert changed(made) == {"rA": "Modify"}
    [detail] = made["Changes"][0]["ResourceChange"]["Details"]
    assert detail["ChangeSource"] == "ParameterReference"
    assert detail["Target"] == {
        "Attribute": "Properties",
        "Name": "Value",
        "RequiresRecreation": "Never",
        "BeforeValue": "1",
        "AfterValue": "2",
    }
    assert execute(cloud, "one-of-two")["Parameters"] == [
        {"ParameterKey": "pValue", "ParameterValue": "2"}
    ]


def test_replacement_and_what_hangs_on_it(cloud: LocalCloud) -> None:
    def template(name: str) -> dict[str, Any]:
        return {
            "Resources": {
                "rA": queue(name),
                "rValue": parameter({"Ref": "rA"}),
                "rName": parameter("x", {"Fn::Sub": "/hangs/${rA.QueueName}"}),
                "rOther": parameter("y"),
            }
        }  # fmt: skip

    deploy(cloud, "hangs", template("hangs-1"))
    made = change_set(cloud, "hangs", template("hangs-2"))
    assert changed(made) == {"rA": "Modify True", "rValue": "Modify", "rName": "Modify Conditional"}
    by_id = {each["ResourceChange"]["LogicalResourceId"]: each["ResourceChange"]
             for each in made["Changes"]}  # fmt: skip
    assert by_id["rA"]["PolicyAction"] == "ReplaceAndDelete"
    assert by_id["rValue"]["Details"][0]["Evaluation"] == "Dynamic"
    assert by_id["rValue"]["Details"][0]["CausingEntity"] == "rA"

    assert execute(cloud, "hangs")["StackStatus"] == "UPDATE_COMPLETE"
    ssm = cloud.client("ssm")
    assert ssm.get_parameter(Name="/hangs/hangs-2")["Parameter"]["Value"] == "x"
    with pytest.raises(ssm.exceptions.ParameterNotFound):
        ssm.get_parameter(Name="/hangs/hangs-1")
    urls = cloud.client("sqs").list_queues(QueueNamePrefix="hangs")["QueueUrls"]
    assert [url.rpartition("/")[2] for url in urls] == ["hangs-2"]


def test_removed_and_retained(cloud: LocalCloud) -> None:
    kept = {**queue("goes-kept"), "DeletionPolicy": "Retain"}
    template = {"Resources": {"rA": queue("goes-a"), "rB": queue("goes-b"), "rKept": kept}}
    deploy(cloud, "goes", template)
    made = change_set(cloud, "goes", {"Resources": {"rA": queue("goes-a")}})
    assert changed(made) == {"rB": "Remove", "rKept": "Remove"}
    actions = [each["ResourceChange"]["PolicyAction"] for each in made["Changes"]]
    assert actions == ["Delete", "Retain"]
    execute(cloud, "goes")
    urls = cloud.client("sqs").list_queues(QueueNamePrefix="goes")["QueueUrls"]
    assert sorted(url.rpartition("/")[2] for url in urls) == ["goes-a", "goes-kept"]
    told = [(name, status) for name, status, _ in local_cloud.events(cloud, "goes")]
    assert ("rKept", "DELETE_SKIPPED") in told
    assert ("rB", "DELETE_COMPLETE") in told


def test_tags_and_outputs_are_changes_too(cloud: LocalCloud) -> None:
    template: dict[str, Any] = {"Resources": {"rA": queue("tagged"), "rB": parameter("x")}}
    deploy(cloud, "tagged", template, Tags=[{"Key": "team", "Value": "one"}])
    made = change_set(cloud, "tagged", template, Tags=[{"Key": "team", "Value": "two"}])
    assert changed(made) == {"rA": "Modify", "rB": "Modify"}
    assert made["Changes"][0]["ResourceChange"]["Scope"] == ["Tags"]
    assert execute(cloud, "tagged")["Tags"] == [{"Key": "team", "Value": "two"}]
    url = cloud.client("sqs").get_queue_url(QueueName="tagged")["QueueUrl"]
    assert cloud.client("sqs").list_queue_tags(QueueUrl=url)["Tags"] == {"team": "two"}

    template["Outputs"] = {"oUrl": {"Value": {"Ref": "rA"}}}
    made = change_set(cloud, "tagged", template)
    assert (made["Status"], made["Changes"]) == ("CREATE_COMPLETE", [])
    [output] = execute(cloud, "tagged")["Outputs"]
    assert output == {"OutputKey": "oUrl", "OutputValue": url}


def test_what_only_the_stack_keeps_is_changed_without_a_call(cloud: LocalCloud) -> None:
    resource = queue("metadata")
    deploy(cloud, "metadata", {"Resources": {"rA": resource}})
    more = {**resource, "Metadata": {"a": 1}, "DeletionPolicy": "Retain"}
    made = change_set(cloud, "metadata", {"Resources": {"rA": more}})
    assert made["Changes"][0]["ResourceChange"]["Scope"] == ["Metadata", "DeletionPolicy"]
    execute(cloud, "metadata")
    described = cloud.client("cloudformation").describe_stack_resource(
        StackName="metadata", LogicalResourceId="rA"
    )["StackResourceDetail"]
    assert json.loads(described["Metadata"]) == {"a": 1}
    assert local_cloud.delete(cloud, "metadata")["StackStatus"] == "DELETE_COMPLETE"
    assert cloud.client("sqs").get_queue_url(QueueName="metadata")


def test_executing_one_makes_the_others_obsolete(cloud: LocalCloud) -> None:
    deploy(cloud, "obsolete", {"Resources": {"rA": parameter("1")}})
    change_set(cloud, "obsolete", {"Resources": {"rA": parameter("2")}}, name="two")
    change_set(cloud, "obsolete", {"Resources": {"rA": parameter("3")}}, name="three")
    execute(cloud, "obsolete", "three")
    cloudformation = cloud.client("cloudformation")
    summaries = cloudformation.list_change_sets(StackName="obsolete")["Summaries"]
    assert [(each["ChangeSetName"], each["ExecutionStatus"]) for each in summaries] == [
        ("two", "OBSOLETE")
    ]
    executed = cloudformation.describe_change_set(StackName="obsolete", ChangeSetName="three")
    assert executed["ExecutionStatus"] == "EXECUTE_COMPLETE"
    said = refused(lambda: execute(cloud, "obsolete", "two"), "InvalidChangeSetStatus")
    assert "current status of [OBSOLETE]" in said


def test_one_that_is_deleted_is_gone_and_may_be_deleted_again(cloud: LocalCloud) -> None:
    cloudformation = cloud.client("cloudformation")
    change_set(cloud, "dropped", {"Resources": {"rA": parameter("1")}}, ChangeSetType="CREATE")
    for _ in range(2):
        cloudformation.delete_change_set(StackName="dropped", ChangeSetName="c")
    ask = {"StackName": "dropped", "ChangeSetName": "c"}
    said = refused(lambda: cloudformation.describe_change_set(**ask), "ChangeSetNotFound")
    assert said == "ChangeSet [c] does not exist"
    cloudformation.delete_stack(StackName="dropped")
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName="dropped", WaiterConfig={"Delay": 1}
    )


def test_boto3s_waiters_and_names_by_arn(cloud: LocalCloud) -> None:
    cloudformation = cloud.client("cloudformation")
    made = cloudformation.create_change_set(
        StackName="waited", ChangeSetName="w", ChangeSetType="CREATE",
        TemplateBody=json.dumps({"Resources": {"rA": parameter("1")}}),
    )  # fmt: skip
    fast = {"Delay": 1, "MaxAttempts": 20}
    cloudformation.get_waiter("change_set_create_complete").wait(
        ChangeSetName=made["Id"], WaiterConfig=fast
    )
    cloudformation.execute_change_set(ChangeSetName=made["Id"])
    waiter = cloudformation.get_waiter("stack_create_complete")
    waiter.wait(StackName=made["StackId"], WaiterConfig=fast)


def test_an_import_that_nobody_exports_fails_the_change_set(cloud: LocalCloud) -> None:
    template = {"Resources": {"rA": parameter({"Fn::ImportValue": "nobody-has-it"})}}
    made = change_set(cloud, "imports", template, ChangeSetType="CREATE")
    assert made["Status"] == "FAILED"
    assert made["StatusReason"] == "No export named nobody-has-it found."
    assert local_cloud.after(cloud, "imports")["StackStatus"] == "REVIEW_IN_PROGRESS"


def test_a_type_cannot_be_changed(cloud: LocalCloud) -> None:
    deploy(cloud, "retyped", {"Resources": {"rA": parameter("1")}})
    made = change_set(cloud, "retyped", {"Resources": {"rA": queue("retyped")}})
    assert made["Status"] == "FAILED"
    assert made["StatusReason"] == (
        "Update of resource type is not permitted. The new template modifies resource type of "
        "the following resources: [rA]"
    )


def test_an_attribute_that_a_type_lacks(cloud: LocalCloud) -> None:
    template = {"Resources": {"rA": queue("attr"), "rB": parameter({"Fn::GetAtt": "rA.Size"})}}
    made = change_set(cloud, "attr", template, ChangeSetType="CREATE")
    assert made["StatusReason"] == (
        "Template error: resource rA does not support attribute type Size in Fn::GetAtt"
    )
