"""Queues, buckets, tables, parameters, keys, log groups: made, changed in place, deleted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kit.local_cloud import LocalCloud, change_set, changed, delete, deploy, execute

TAGS = [{"Key": "team", "Value": "one"}]


def one(kind: str, **properties: Any) -> dict[str, Any]:
    """A template of one resource, rIt."""
    return {"Resources": {"rIt": {"Type": kind, "Properties": properties}}}


def physical(cloud: LocalCloud, stack: str) -> str:
    found = cloud.client("cloudformation").describe_stack_resource(
        StackName=stack, LogicalResourceId="rIt"
    )
    return str(found["StackResourceDetail"]["PhysicalResourceId"])


def attributes(cloud: LocalCloud, name: str) -> dict[str, str]:
    sqs = cloud.client("sqs")
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    found: dict[str, str] = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])[
        "Attributes"
    ]
    return found


def test_a_queue(cloud: LocalCloud) -> None:
    policy = {"deadLetterTargetArn": "arn:aws:sqs:us-east-1:123456789012:dead.fifo",
              "maxReceiveCount": "3"}  # fmt: skip
    cloud.client("sqs").create_queue(QueueName="dead.fifo", Attributes={"FifoQueue": "true"})
    name = "made.fifo"
    fifo = {"QueueName": name, "FifoQueue": True, "DeduplicationScope": "messageGroup",
            "FifoThroughputLimit": "perMessageGroupId"}  # fmt: skip
    deploy(cloud, "queue", one(
        "AWS::SQS::Queue", **fifo, VisibilityTimeout=180, MessageRetentionPeriod="1209600",
        RedrivePolicy=policy, KmsMasterKeyId="alias/own",
    ), Tags=TAGS)  # fmt: skip
    found = attributes(cloud, name)
    assert (found["VisibilityTimeout"], found["MessageRetentionPeriod"]) == ("180", "1209600")
    assert (found["FifoQueue"], found["DeduplicationScope"]) == ("true", "messageGroup")
    assert json.loads(found["RedrivePolicy"])["maxReceiveCount"] == 3
    assert found["KmsMasterKeyId"] == "alias/own"
    url = physical(cloud, "queue")
    assert cloud.client("sqs").list_queue_tags(QueueUrl=url)["Tags"] == {"team": "one"}

    made = change_set(cloud, "queue", one("AWS::SQS::Queue", **fifo, VisibilityTimeout=60))
    assert changed(made) == {"rIt": "Modify"}
    execute(cloud, "queue")
    found = attributes(cloud, name)
    assert (found["VisibilityTimeout"], found["MessageRetentionPeriod"]) == ("60", "345600")
    assert "RedrivePolicy" not in found
    assert physical(cloud, "queue") == url
    other = {**fifo, "QueueName": "other.fifo"}
    assert changed(change_set(cloud, "queue", one("AWS::SQS::Queue", **other))) == {
        "rIt": "Modify True"
    }


def test_a_queue_without_a_name_gets_one(cloud: LocalCloud) -> None:
    deploy(cloud, "unnamed", one("AWS::SQS::Queue", FifoQueue="true"))
    name = physical(cloud, "unnamed").rpartition("/")[2]
    assert name.startswith("unnamed-rIt-")
    assert name.endswith(".fifo")


def test_a_queues_policy(cloud: LocalCloud) -> None:
    def template(*queues: str) -> dict[str, Any]:
        statement = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage"}
        policy = {"Queues": [{"Ref": f"r{name}"} for name in queues],
                  "PolicyDocument": {"Statement": [statement]}}  # fmt: skip
        made = {
            f"r{name}": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": f"policy-{name}"}}
            for name in "AB"
        }
        return {
            "Resources": {**made, "rP": {"Type": "AWS::SQS::QueuePolicy", "Properties": policy}}
        }

    deploy(cloud, "policy", template("A", "B"))
    assert "Policy" in attributes(cloud, "policy-A")
    deploy(cloud, "policy", template("B"))
    assert "Policy" not in attributes(cloud, "policy-A")
    assert "Policy" in attributes(cloud, "policy-B")


def test_a_bucket(cloud: LocalCloud) -> None:
    key = "arn:aws:kms:us-east-1:123456789012:key/k"
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    rules = [
        {"Id": "old", "Status": "Enabled", "ExpirationInDays": "9", "Prefix": "tmp/"},
        {"Id": "versions", "Status": "Enabled",
         "NoncurrentVersionExpiration": {"NoncurrentDays": 90},
         "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}},
        {"Id": "moved", "Status": "Disabled",
         "Transitions": [{"StorageClass": "GLACIER", "TransitionInDays": 30}],
         "TagFilters": [{"Key": "a", "Value": "b"}]},
    ]  # fmt: skip
    public = dict.fromkeys(
        ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True
    )
    deploy(cloud, "bucket", one(
        "AWS::S3::Bucket", BucketName="made-bucket",
        BucketEncryption={"ServerSideEncryptionConfiguration": [
            {"BucketKeyEnabled": "true", "ServerSideEncryptionByDefault": default}]},
        PublicAccessBlockConfiguration=public,
        OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        VersioningConfiguration={"Status": "Enabled"},
        LifecycleConfiguration={"Rules": rules},
        CorsConfiguration={"CorsRules": [
            {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"], "MaxAge": "5"}]},
        Tags=[{"Key": "own", "Value": "x"}],
    ), Tags=TAGS)  # fmt: skip
    s3 = cloud.client("s3")
    at = {"Bucket": "made-bucket"}
    assert physical(cloud, "bucket") == "made-bucket"
    [rule] = s3.get_bucket_encryption(**at)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == default
    assert rule["BucketKeyEnabled"] is True
    assert s3.get_public_access_block(**at)["PublicAccessBlockConfiguration"] == public
    assert s3.get_bucket_versioning(**at)["Status"] == "Enabled"
    assert s3.get_bucket_ownership_controls(**at)["OwnershipControls"]["Rules"] == [
        {"ObjectOwnership": "BucketOwnerEnforced"}
    ]
    old, versions, moved = s3.get_bucket_lifecycle_configuration(**at)["Rules"]
    assert (old["Expiration"], old["Filter"]) == ({"Days": 9}, {"Prefix": "tmp/"})
    assert versions["NoncurrentVersionExpiration"] == {"NoncurrentDays": 90}
    assert versions["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert moved["Transitions"] == [{"Days": 30, "StorageClass": "GLACIER"}]
    assert s3.get_bucket_cors(**at)["CORSRules"][0]["MaxAgeSeconds"] == 5
    tags = {each["Key"]: each["Value"] for each in s3.get_bucket_tagging(**at)["TagSet"]}
    assert tags == {"own": "x", "team": "one"}

    deploy(cloud, "bucket", one("AWS::S3::Bucket", BucketName="made-bucket"), Tags=TAGS)
    assert s3.get_bucket_versioning(**at)["Status"] == "Suspended"
    for ask in (s3.get_bucket_lifecycle_configuration, s3.get_public_access_block,
                s3.get_bucket_cors, s3.get_bucket_ownership_controls):  # fmt: skip
        with pytest.raises(s3.exceptions.ClientError):
            ask(**at)
    assert delete(cloud, "bucket")["StackStatus"] == "DELETE_COMPLETE"
    assert "made-bucket" not in [each["Name"] for each in s3.list_buckets()["Buckets"]]


def test_a_bucket_that_exists_is_not_taken_over(cloud: LocalCloud) -> None:
    cloud.client("s3").create_bucket(Bucket="others")
    stack = deploy(cloud, "taken", one("AWS::S3::Bucket", BucketName="others"))
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert cloud.client("s3").head_bucket(Bucket="others")


def table(**more: Any) -> dict[str, Any]:
    return one("AWS::DynamoDB::Table", **{
        "TableName": "made",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        **more,
    })  # fmt: skip


def test_a_table(cloud: LocalCloud) -> None:
    dynamodb = cloud.client("dynamodb")
    more = {
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
        "SSESpecification": {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": "k"},
        "StreamSpecification": {"StreamViewType": "NEW_IMAGE"},
        "TimeToLiveSpecification": {"AttributeName": "until", "Enabled": "true"},
    }
    deploy(cloud, "table", table(**more), Tags=TAGS)
    found = dynamodb.describe_table(TableName="made")["Table"]
    assert found["SSEDescription"]["Status"] == "ENABLED"
    assert found["StreamSpecification"] == {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    recovery = dynamodb.describe_continuous_backups(TableName="made")
    recovery = recovery["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    assert recovery["PointInTimeRecoveryStatus"] == "ENABLED"
    ttl = dynamodb.describe_time_to_live(TableName="made")["TimeToLiveDescription"]
    assert ttl["TimeToLiveStatus"] == "ENABLED"
    assert dynamodb.list_tags_of_resource(ResourceArn=found["TableArn"])["Tags"] == TAGS

    dynamodb.put_item(TableName="made", Item={"id": {"S": "kept"}})
    index = {"IndexName": "by-name", "KeySchema": [{"AttributeName": "name", "KeyType": "HASH"}],
             "Projection": {"ProjectionType": "ALL"}}  # fmt: skip
    both = [{"AttributeName": name, "AttributeType": "S"} for name in ("id", "name")]
    updated = table(AttributeDefinitions=both, GlobalSecondaryIndexes=[index],
                    DeletionProtectionEnabled="true")  # fmt: skip
    assert changed(change_set(cloud, "table", updated)) == {"rIt": "Modify"}
    assert execute(cloud, "table")["StackStatus"] == "UPDATE_COMPLETE"
    found = dynamodb.describe_table(TableName="made")["Table"]
    assert [each["IndexName"] for each in found["GlobalSecondaryIndexes"]] == ["by-name"]
    assert found["DeletionProtectionEnabled"] is True
    ttl = dynamodb.describe_time_to_live(TableName="made")["TimeToLiveDescription"]
    assert ttl["TimeToLiveStatus"] == "DISABLED"
    assert dynamodb.get_item(TableName="made", Key={"id": {"S": "kept"}})["Item"]
    # A protected table is not deleted.
    assert delete(cloud, "table")["StackStatus"] == "DELETE_FAILED"


def test_a_tables_key_makes_a_new_table(cloud: LocalCloud) -> None:
    deploy(cloud, "rekeyed", table(TableName="rekeyed-1"))
    other = {"AttributeDefinitions": [{"AttributeName": "x", "AttributeType": "S"}],
             "KeySchema": [{"AttributeName": "x", "KeyType": "HASH"}]}  # fmt: skip
    template = table(TableName="rekeyed-2", **other)
    assert changed(change_set(cloud, "rekeyed", template)) == {"rIt": "Modify True"}


def test_a_parameter(cloud: LocalCloud) -> None:
    def template(value: str) -> dict[str, Any]:
        return one("AWS::SSM::Parameter", Name="/made/it", Type="String", Value=value,
                   Description="d", Tags={"own": "x"})  # fmt: skip

    ssm = cloud.client("ssm")
    deploy(cloud, "parameter", template("1"), Tags=TAGS)
    deploy(cloud, "parameter", template("2"), Tags=[])
    found = ssm.get_parameter(Name="/made/it")["Parameter"]
    assert (found["Value"], found["Version"]) == ("2", 2)
    tags = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId="/made/it")["TagList"]
    assert {each["Key"]: each["Value"] for each in tags} == {"own": "x"}
    delete(cloud, "parameter")
    with pytest.raises(ssm.exceptions.ParameterNotFound):
        ssm.get_parameter(Name="/made/it")


def test_a_key_and_its_alias(cloud: LocalCloud) -> None:
    def template(description: str, rotated: bool) -> dict[str, Any]:
        made = one("AWS::KMS::Key", Description=description, EnableKeyRotation=rotated,
                   KeyPolicy={"Statement": [{"Sid": description}]})  # fmt: skip
        alias = {"AliasName": "alias/made", "TargetKeyId": {"Ref": "rIt"}}
        made["Resources"]["rAlias"] = {"Type": "AWS::KMS::Alias", "Properties": alias}
        return made

    kms = cloud.client("kms")
    deploy(cloud, "key", template("one", True), Tags=TAGS)
    name = physical(cloud, "key")
    assert kms.get_key_rotation_status(KeyId=name)["KeyRotationEnabled"] is True
    assert kms.list_resource_tags(KeyId=name)["Tags"] == [{"TagKey": "team", "TagValue": "one"}]
    deploy(cloud, "key", template("two", False))
    assert physical(cloud, "key") == name
    assert kms.describe_key(KeyId="alias/made")["KeyMetadata"]["Description"] == "two"
    assert kms.get_key_rotation_status(KeyId=name)["KeyRotationEnabled"] is False
    policy = kms.get_key_policy(KeyId=name, PolicyName="default")["Policy"]
    assert json.loads(policy)["Statement"] == [{"Sid": "two"}]
    delete(cloud, "key")
    assert kms.describe_key(KeyId=name)["KeyMetadata"]["KeyState"] == "PendingDeletion"


def test_a_log_group(cloud: LocalCloud) -> None:
    logs = cloud.client("logs")

    def found() -> dict[str, Any]:
        [group] = logs.describe_log_groups(logGroupNamePrefix="/made/logs")["logGroups"]
        return dict(group)

    deploy(cloud, "logs", one("AWS::Logs::LogGroup", LogGroupName="/made/logs",
                              RetentionInDays="30", KmsKeyId="k"), Tags=TAGS)  # fmt: skip
    assert (found()["retentionInDays"], found()["kmsKeyId"]) == (30, "k")
    assert logs.list_tags_log_group(logGroupName="/made/logs")["tags"] == {"team": "one"}
    deploy(cloud, "logs", one("AWS::Logs::LogGroup", LogGroupName="/made/logs"))
    assert "retentionInDays" not in found()
    assert not found().get("kmsKeyId")
