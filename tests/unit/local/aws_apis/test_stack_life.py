"""Stacks as they are made, changed, rolled back and deleted; resources asked of their services."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kit import local_cloud
from kit.local_cloud import LocalCloud, change_set, delete, deploy, events, execute

BAD_ROLE = {
    "Type": "AWS::IAM::Role",
    "Properties": {
        "AssumeRolePolicyDocument": {},
        "ManagedPolicyArns": ["arn:aws:iam::1:policy/x"],
    },
}


def queue(name: str, **more: Any) -> dict[str, Any]:
    return {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name}, **more}


def parameter(value: Any, **more: Any) -> dict[str, Any]:
    return {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": value}, **more}


def queues(cloud: LocalCloud, prefix: str) -> list[str]:
    found = cloud.client("sqs").list_queues(QueueNamePrefix=prefix).get("QueueUrls", [])
    return sorted(url.rpartition("/")[2] for url in found)


def values(cloud: LocalCloud, stack: str) -> dict[str, str]:
    """Logical id → value, of a stack's SSM parameters."""
    cloudformation, ssm = cloud.client("cloudformation"), cloud.client("ssm")
    found = cloudformation.list_stack_resources(StackName=stack)["StackResourceSummaries"]
    return {
        each["LogicalResourceId"]: ssm.get_parameter(Name=each["PhysicalResourceId"])["Parameter"][
            "Value"
        ]
        for each in found
        if each["ResourceType"] == "AWS::SSM::Parameter"
    }


def test_events_tell_every_resource_newest_first(cloud: LocalCloud) -> None:
    deploy(cloud, "told", {"Resources": {"rB": parameter({"Ref": "rA"}), "rA": queue("told")}})
    assert [(name, status) for name, status, _ in events(cloud, "told")] == [
        ("told", "REVIEW_IN_PROGRESS"),
        ("told", "CREATE_IN_PROGRESS"),
        ("rA", "CREATE_IN_PROGRESS"),
        ("rA", "CREATE_COMPLETE"),
        ("rB", "CREATE_IN_PROGRESS"),
        ("rB", "CREATE_COMPLETE"),
        ("told", "CREATE_COMPLETE"),
    ]
    found = cloud.client("cloudformation").describe_stack_events(StackName="told")["StackEvents"]
    assert found[0]["LogicalResourceId"] == "told"
    assert found[0]["PhysicalResourceId"] == found[0]["StackId"]
    assert json.loads(found[2]["ResourceProperties"]) == {
        "Type": "String",
        "Value": cloud.client("sqs").get_queue_url(QueueName="told")["QueueUrl"],
    }
    times = [each["Timestamp"] for each in found]
    assert times == sorted(times, reverse=True)


def test_a_failed_creation_rolls_back_and_tells_the_first_reason(cloud: LocalCloud) -> None:
    template = {
        "Resources": {
            "rA": queue("undone"),
            "rBad": {**BAD_ROLE, "DependsOn": "rA"},
            "rLater": {**queue("undone-later"), "DependsOn": "rBad"},
        }
    }
    made = change_set(cloud, "undone", template, ChangeSetType="CREATE")
    assert made["Status"] == "CREATE_COMPLETE"
    stack = execute(cloud, "undone")
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    told = events(cloud, "undone")
    failures = [(name, reason) for name, status, reason in told if status.endswith("_FAILED")]
    assert [name for name, _ in failures] == ["rBad"]
    assert "Policy arn:aws:iam::1:policy/x does not exist" in failures[0][1]
    assert "(Service: IAM, Status Code: 404)" in failures[0][1]
    assert ("undone", "ROLLBACK_IN_PROGRESS",
            "The following resource(s) failed to create: [rBad]. Rollback requested by user."
            ) in told  # fmt: skip
    assert queues(cloud, "undone") == []
    # The role was there when its policy was refused: it is deleted, too.
    assert ("rBad", "DELETE_COMPLETE", "") in told
    roles = [each["RoleName"] for each in cloud.client("iam").list_roles()["Roles"]]
    assert not [name for name in roles if name.startswith("undone-")]


@pytest.mark.parametrize(
    ("policy", "execution", "left"),
    [
        ("Delete", {}, []),
        ("Retain", {}, ["keeps-q"]),
        ("RetainExceptOnCreate", {}, []),
        ("Retain", {"RetainExceptOnCreate": True}, []),
    ],
)
def test_what_a_rolled_back_creation_keeps(
    cloud: LocalCloud, policy: str, execution: dict[str, Any], left: list[str]
) -> None:
    kept = queue("keeps-q", DeletionPolicy=policy)
    template = {"Resources": {"rA": kept, "rBad": {**BAD_ROLE, "DependsOn": "rA"}}}
    change_set(cloud, "keeps", template, ChangeSetType="CREATE")
    assert execute(cloud, "keeps", **execution)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert queues(cloud, "keeps") == left
    delete(cloud, "keeps")
    for name in left:
        url = cloud.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]
        cloud.client("sqs").delete_queue(QueueUrl=url)


@pytest.mark.parametrize(
    ("failure", "status", "left"),
    [("DO_NOTHING", "CREATE_FAILED", ["stays-q"]), ("DELETE", "DELETE_COMPLETE", [])],
)
def test_other_ends_of_a_failed_creation(
    cloud: LocalCloud, failure: str, status: str, left: list[str]
) -> None:
    template = {"Resources": {"rA": queue("stays-q"), "rBad": {**BAD_ROLE, "DependsOn": "rA"}}}
    made = change_set(cloud, "stays", template, ChangeSetType="CREATE", OnStackFailure=failure)
    cloud.client("cloudformation").execute_change_set(StackName="stays", ChangeSetName="c")
    assert local_cloud.after(cloud, made["StackId"])["StackStatus"] == status
    assert queues(cloud, "stays") == left
    if left:
        delete(cloud, "stays")


def test_a_stack_in_rollback_complete_can_only_be_deleted(cloud: LocalCloud) -> None:
    change_set(cloud, "stuck", {"Resources": {"rBad": BAD_ROLE}}, ChangeSetType="CREATE")
    execute(cloud, "stuck")
    cloudformation = cloud.client("cloudformation")
    with pytest.raises(cloudformation.exceptions.ClientError) as raised:
        change_set(cloud, "stuck", {"Resources": {"rA": queue("stuck")}})
    assert "is in ROLLBACK_COMPLETE state and can not be updated." in str(raised.value)
    with pytest.raises(cloudformation.exceptions.AlreadyExistsException):
        change_set(cloud, "stuck", {"Resources": {"rA": queue("stuck")}}, ChangeSetType="CREATE")
    assert delete(cloud, "stuck")["StackStatus"] == "DELETE_COMPLETE"
    deploy(cloud, "stuck", {"Resources": {"rA": queue("stuck")}})


def test_a_failed_update_restores_what_was(cloud: LocalCloud) -> None:
    def template(version: str, **more: Any) -> dict[str, Any]:
        return {
            "Resources": {
                "rChanged": parameter(version),
                "rReplaced": queue(f"restored-{version}"),
                "rHanging": parameter({"Ref": "rReplaced"}),
                **more,
            },
            "Outputs": {"oVersion": {"Value": version}},
        }

    deploy(cloud, "restored", template("1"))
    before = values(cloud, "restored")
    added = queue("restored-added")
    bad = {**BAD_ROLE, "DependsOn": ["rAdded", "rHanging", "rChanged"]}
    change_set(cloud, "restored", template("2", rAdded=added, rBad=bad))
    stack = execute(cloud, "restored")
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert stack["Outputs"] == [{"OutputKey": "oVersion", "OutputValue": "1"}]
    assert values(cloud, "restored") == before
    assert queues(cloud, "restored") == ["restored-1"]
    told = [(name, status) for name, status, _ in events(cloud, "restored")]
    at = told.index(("restored", "UPDATE_ROLLBACK_IN_PROGRESS"))
    assert ("rBad", "CREATE_FAILED") in told[:at]
    assert told[at + 1 :].count(("rChanged", "UPDATE_COMPLETE")) == 1
    assert ("rAdded", "DELETE_COMPLETE") in told[at:]
    # And it can be changed again.
    assert deploy(cloud, "restored", template("3"))["StackStatus"] == "UPDATE_COMPLETE"
    assert queues(cloud, "restored") == ["restored-3"]


def test_a_custom_name_keeps_a_resource_from_being_replaced(cloud: LocalCloud) -> None:
    def template(key: str) -> dict[str, Any]:
        properties = {
            "TableName": "named",
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
        }
        return {"Resources": {"rA": {"Type": "AWS::DynamoDB::Table", "Properties": properties}}}

    deploy(cloud, "named", template("a"))
    change_set(cloud, "named", template("b"))
    assert execute(cloud, "named")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    reasons = [reason for name, _, reason in events(cloud, "named") if name == "rA"]
    assert (
        "CloudFormation cannot update a stack when a custom-named resource requires replacing. "
        "Rename named and update the stack again."
    ) in reasons
    table = cloud.client("dynamodb").describe_table(TableName="named")["Table"]
    assert table["KeySchema"] == [{"AttributeName": "a", "KeyType": "HASH"}]


def test_what_cannot_be_deleted_keeps_the_stack_until_it_can(cloud: LocalCloud) -> None:
    s3 = cloud.client("s3")
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "full"}}
    template = {
        "Resources": {"rQueue": queue("full"), "rBucket": {**bucket, "DependsOn": "rQueue"}}
    }
    deploy(cloud, "full", template)
    s3.put_object(Bucket="full", Key="k", Body=b"x")
    stack = delete(cloud, "full")
    assert stack["StackStatus"] == "DELETE_FAILED"
    assert stack["StackStatusReason"] == "The following resource(s) failed to delete: [rBucket]. "
    reason = next(r for n, s, r in events(cloud, "full") if (n, s) == ("rBucket", "DELETE_FAILED"))
    assert "The bucket you tried to delete is not empty" in reason
    # What the bucket needs is still there.
    assert queues(cloud, "full") == ["full"]
    s3.delete_object(Bucket="full", Key="k")
    assert delete(cloud, "full")["StackStatus"] == "DELETE_COMPLETE"
    assert queues(cloud, "full") == []


@pytest.mark.parametrize(
    "arguments", [{"RetainResources": ["rBucket"]}, {"DeletionMode": "FORCE_DELETE_STACK"}]
)
def test_a_stack_goes_without_what_cannot_be_deleted(
    cloud: LocalCloud, arguments: dict[str, Any]
) -> None:
    s3 = cloud.client("s3")
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "left"}}
    deploy(cloud, "left", {"Resources": {"rBucket": bucket}})
    s3.put_object(Bucket="left", Key="k", Body=b"x")
    with pytest.raises(s3.exceptions.ClientError, match="only for stacks in DELETE_FAILED state"):
        delete(cloud, "left", **arguments)
    delete(cloud, "left")
    assert delete(cloud, "left", **arguments)["StackStatus"] == "DELETE_COMPLETE"
    assert s3.head_bucket(Bucket="left")
    s3.delete_object(Bucket="left", Key="k")
    s3.delete_bucket(Bucket="left")


def test_a_retained_resource_outlives_its_stack(cloud: LocalCloud) -> None:
    deploy(cloud, "outlived", {"Resources": {"rA": queue("outlived", DeletionPolicy="Retain")}})
    assert delete(cloud, "outlived")["StackStatus"] == "DELETE_COMPLETE"
    assert queues(cloud, "outlived") == ["outlived"]
    # A new stack finds it in its way.
    change_set(cloud, "outlived", {"Resources": {"rA": queue("outlived")}}, ChangeSetType="CREATE")
    assert execute(cloud, "outlived")["StackStatus"] == "ROLLBACK_COMPLETE"
    assert ("rA", "CREATE_FAILED", "outlived already exists") in events(cloud, "outlived")


def test_what_is_replaced_may_be_retained(cloud: LocalCloud) -> None:
    for version in "12":
        resource = queue(f"replaced-{version}", UpdateReplacePolicy="Retain")
        deploy(cloud, "replaced", {"Resources": {"rA": resource}})
    assert queues(cloud, "replaced") == ["replaced-1", "replaced-2"]


def test_leftovers_of_an_update_that_cannot_be_deleted_do_not_fail_it(cloud: LocalCloud) -> None:
    s3 = cloud.client("s3")
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "leftover"}}
    deploy(cloud, "leftover", {"Resources": {"rA": queue("leftover"), "rBucket": bucket}})
    s3.put_object(Bucket="leftover", Key="k", Body=b"x")
    stack = deploy(cloud, "leftover", {"Resources": {"rA": queue("leftover")}})
    assert stack["StackStatus"] == "UPDATE_COMPLETE"
    told = [(name, status) for name, status, _ in events(cloud, "leftover")]
    assert ("rBucket", "DELETE_FAILED") in told
    assert ("leftover", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS") in told


def test_a_deleted_stack_is_known_by_its_id_only(cloud: LocalCloud) -> None:
    cloudformation = cloud.client("cloudformation")
    stack = deploy(cloud, "deleted", {"Resources": {"rA": queue("deleted")}})
    delete(cloud, "deleted")
    with pytest.raises(cloudformation.exceptions.ClientError) as raised:
        cloudformation.describe_stacks(StackName="deleted")
    assert "Stack with id deleted does not exist" in str(raised.value)
    [found] = cloudformation.describe_stacks(StackName=stack["StackId"])["Stacks"]
    assert found["StackStatus"] == "DELETE_COMPLETE"
    listed = cloudformation.list_stacks(StackStatusFilter=["DELETE_COMPLETE"])["StackSummaries"]
    assert stack["StackId"] in [each["StackId"] for each in listed]
    cloudformation.delete_stack(StackName="deleted")  # gone already


def test_stacks_made_and_changed_directly(cloud: LocalCloud) -> None:
    cloudformation = cloud.client("cloudformation")
    body = json.dumps({"Resources": {"rA": parameter("1")}})
    fast = {"Delay": 1, "MaxAttempts": 20}
    cloudformation.create_stack(StackName="direct", TemplateBody=body)
    waiter = cloudformation.get_waiter("stack_create_complete")
    waiter.wait(StackName="direct", WaiterConfig=fast)
    with pytest.raises(cloudformation.exceptions.ClientError) as raised:
        cloudformation.update_stack(StackName="direct", TemplateBody=body)
    assert "No updates are to be performed." in str(raised.value)
    cloudformation.update_stack(StackName="direct", TemplateBody=body.replace('"1"', '"2"'))
    waiter = cloudformation.get_waiter("stack_update_complete")
    waiter.wait(StackName="direct", WaiterConfig=fast)
    assert values(cloud, "direct") == {"rA": "2"}


def test_a_policy_forbids_replacement_and_the_update_rolls_back(cloud: LocalCloud) -> None:
    policy = {
        "Statement": [
            {"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"},
            {"Effect": "Deny", "Action": ["Update:Replace", "Update:Delete"], "Principal": "*",
             "Resource": "*", "Condition": {"StringEquals": {"ResourceType": ["AWS::SQS::Queue"]}}},
        ]
    }  # fmt: skip
    cloudformation = cloud.client("cloudformation")
    deploy(cloud, "guarded", {"Resources": {"rA": queue("guarded-1"), "rB": parameter("1")}})
    body = json.dumps(policy)
    cloudformation.set_stack_policy(StackName="guarded", StackPolicyBody=body)
    assert cloudformation.get_stack_policy(StackName="guarded")["StackPolicyBody"] == body

    for resources in ({"rA": queue("guarded-2"), "rB": parameter("2")}, {"rB": parameter("2")}):
        change_set(cloud, "guarded", {"Resources": resources})
        assert execute(cloud, "guarded")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        reasons = [r for n, s, r in events(cloud, "guarded") if (n, s) == ("rA", "UPDATE_FAILED")]
        assert reasons[-1].startswith("Action denied by stack policy: Statement [#2]")
        assert queues(cloud, "guarded") == ["guarded-1"]
        assert values(cloud, "guarded") == {"rB": "1"}
    changed = {"rA": queue("guarded-1"), "rB": parameter("2")}
    assert deploy(cloud, "guarded", {"Resources": changed})["StackStatus"] == "UPDATE_COMPLETE"


def test_a_protected_stack_is_not_deleted(cloud: LocalCloud) -> None:
    cloudformation = cloud.client("cloudformation")
    deploy(cloud, "protected", {"Resources": {"rA": parameter("1")}})
    cloudformation.update_termination_protection(
        StackName="protected", EnableTerminationProtection=True
    )
    with pytest.raises(cloudformation.exceptions.ClientError, match="TerminationProtection is ena"):
        cloudformation.delete_stack(StackName="protected")
