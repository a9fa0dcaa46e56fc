"""Roles, policies, identity providers, topics: made, changed in place, deleted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kit.local_cloud import LocalCloud, change_set, changed, delete, deploy, execute

TRUST = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"},
     "Action": "sts:AssumeRole"}]}  # fmt: skip
BASIC = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"


def policy(action: str) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def role(**properties: Any) -> dict[str, Any]:
    made = {"AssumeRolePolicyDocument": TRUST, "RoleName": "made", **properties}
    return {"Resources": {"rIt": {"Type": "AWS::IAM::Role", "Properties": made}}}


def test_a_role(cloud: LocalCloud) -> None:
    iam = cloud.client("iam")
    policies = [{"PolicyName": name, "PolicyDocument": policy(f"s3:{name}")} for name in "ab"]
    deploy(cloud, "role", role(
        Path="/own/", Policies=policies, ManagedPolicyArns=[BASIC], MaxSessionDuration="7200"
    ), Tags=[{"Key": "team", "Value": "one"}])  # fmt: skip
    found = iam.get_role(RoleName="made")["Role"]
    assert found["Arn"] == "arn:aws:iam::123456789012:role/own/made"
    assert (found["MaxSessionDuration"], found["Tags"]) == (7200, [{"Key": "team", "Value": "one"}])
    assert iam.list_role_policies(RoleName="made")["PolicyNames"] == ["a", "b"]
    [attached] = iam.list_attached_role_policies(RoleName="made")["AttachedPolicies"]
    assert attached["PolicyArn"] == BASIC

    changed_policy = [{"PolicyName": "a", "PolicyDocument": policy("s3:changed")}]
    other = {**TRUST, "Statement": [{**TRUST["Statement"][0], "Sid": "other"}]}
    template = role(Path="/own/", Policies=changed_policy, AssumeRolePolicyDocument=other)
    assert changed(change_set(cloud, "role", template)) == {"rIt": "Modify"}
    assert execute(cloud, "role")["StackStatus"] == "UPDATE_COMPLETE"
    found = iam.get_role(RoleName="made")["Role"]
    assert found["AssumeRolePolicyDocument"]["Statement"][0]["Sid"] == "other"
    assert found["MaxSessionDuration"] == 3600
    assert iam.list_role_policies(RoleName="made")["PolicyNames"] == ["a"]
    document = iam.get_role_policy(RoleName="made", PolicyName="a")["PolicyDocument"]
    assert document == policy("s3:changed")
    assert iam.list_attached_role_policies(RoleName="made")["AttachedPolicies"] == []

    made = change_set(cloud, "role", role(Path="/other/"))
    assert changed(made) == {"rIt": "Modify True"}
    assert delete(cloud, "role")["StackStatus"] == "DELETE_COMPLETE"
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_role(RoleName="made")


def test_policies_of_their_own(cloud: LocalCloud) -> None:
    def template(action: str) -> dict[str, Any]:
        base = role(RoleName="holder")
        holder = [{"Ref": "rIt"}]
        managed = {"PolicyDocument": policy(action), "Roles": holder, "Path": "/own/"}
        inline = {"PolicyDocument": policy(action), "Roles": holder, "PolicyName": "inline"}
        base["Resources"] |= {
            "rManaged": {"Type": "AWS::IAM::ManagedPolicy", "Properties": managed},
            "rInline": {"Type": "AWS::IAM::Policy", "Properties": inline},
        }
        return base

    iam = cloud.client("iam")
    for action in ("s3:one", "s3:two", "s3:three"):
        deploy(cloud, "policies", template(action))
        [attached] = iam.list_attached_role_policies(RoleName="holder")["AttachedPolicies"]
        arn = attached["PolicyArn"]
        assert arn.startswith("arn:aws:iam::123456789012:policy/own/policies-rManaged-")
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        found = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
        assert found["Document"] == policy(action)
        assert len(iam.list_policy_versions(PolicyArn=arn)["Versions"]) == 1
        document = iam.get_role_policy(RoleName="holder", PolicyName="inline")["PolicyDocument"]
        assert document == policy(action)
    assert delete(cloud, "policies")["StackStatus"] == "DELETE_COMPLETE"


def test_an_identity_provider(cloud: LocalCloud) -> None:
    def template(*clients: str) -> dict[str, Any]:
        made = {"Url": "https://token.example.com", "ClientIdList": list(clients)}
        return {"Resources": {"rIt": {"Type": "AWS::IAM::OIDCProvider", "Properties": made}}}

    iam = cloud.client("iam")
    deploy(cloud, "provider", template("a", "b"))
    deploy(cloud, "provider", template("b", "c"))
    arn = "arn:aws:iam::123456789012:oidc-provider/token.example.com"
    found = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert sorted(found["ClientIDList"]) == ["b", "c"]
    delete(cloud, "provider")
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)


def test_a_topic_with_policy_and_subscription(cloud: LocalCloud) -> None:
    def template(name: str, **more: Any) -> dict[str, Any]:
        topic = {"TopicName": "made", "DisplayName": name}
        statement = {"Effect": "Allow", "Action": "sns:Publish", "Resource": "*", "Sid": name,
                     "Principal": {"Service": "events.amazonaws.com"}}  # fmt: skip
        guard = {"Topics": [{"Ref": "rIt"}], "PolicyDocument": {"Statement": [statement]}}
        return {
            "Resources": {
                "rIt": {"Type": "AWS::SNS::Topic", "Properties": topic},
                "rPolicy": {"Type": "AWS::SNS::TopicPolicy", "Properties": guard},
                **more,
            }
        }

    sns = cloud.client("sns")
    arn = "arn:aws:sns:us-east-1:123456789012:made"
    mail = {"TopicArn": {"Ref": "rIt"}, "Protocol": "email", "Endpoint": "a@example.com"}
    told = {"Type": "AWS::SNS::Subscription", "Properties": mail}
    deploy(cloud, "topic", template("one", rMail=told), Tags=[{"Key": "t", "Value": "1"}])
    assert len(sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]) == 1
    deploy(cloud, "topic", template("two"), Tags=[{"Key": "u", "Value": "2"}])
    found = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    assert found["DisplayName"] == "two"
    assert json.loads(found["Policy"])["Statement"][0]["Sid"] == "two"
    assert sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"] == []
    assert sns.list_tags_for_resource(ResourceArn=arn)["Tags"] == [{"Key": "u", "Value": "2"}]
    delete(cloud, "topic")
    assert arn not in [each["TopicArn"] for each in sns.list_topics()["Topics"]]
