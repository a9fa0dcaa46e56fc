"""``destroy``: what is asserted is what is left, in the local cloud and in a real registry."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import pytest
from kit import registries
from kit.aws_proxy import between
from kit.deployments import World

from ci.deploy import confirm
from ci.errors import InputError

QUEUE = {"Type": "AWS::SQS::Queue", "Properties": {}}
INFRA = "datalake-infra-resources"
ACCOUNT = "123456789012"


def bucket(name: str, **more: Any) -> dict:
    properties = {"BucketName": name, "VersioningConfiguration": {"Status": "Enabled"}}
    return {"Type": "AWS::S3::Bucket", "Properties": properties, **more}


def table(name: str, **more: Any) -> dict:
    return {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {
            "TableName": name, "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        },
        **more,
    }  # fmt: skip


RETAIN = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}


def deployed(world: World, *argv: str) -> None:
    done = world.run("deploy", *argv)
    assert done.code == 0, done.err


def create(world: World, name: str, resources: dict, **more: Any) -> None:
    """A stack that the application's tree does not have."""
    cloudformation = world.client("cloudformation")
    body = json.dumps({"Resources": resources, **more})
    cloudformation.create_stack(StackName=name, TemplateBody=body)
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=name, WaiterConfig={"Delay": 1}
    )


def deletions(world: World, err: str) -> list[str]:
    """The stacks, in the order in which they were gone."""
    return [line.split()[2] for line in err.splitlines() if line.endswith(" deleted")]


def fill(world: World, name: str, versions: int) -> None:
    """Objects with versions, and a delete marker."""
    s3 = world.client("s3")
    for number in range(versions):
        s3.put_object(Bucket=name, Key=f"key-{number % 7}", Body=str(number).encode())
    s3.delete_object(Bucket=name, Key="key-0")


def buckets(world: World) -> set[str]:
    return {each["Name"] for each in world.client("s3").list_buckets()["Buckets"]}


def test_stacks_go_dependents_first_and_the_infrastructure_last(world: World) -> None:
    for name, needs in {"b": "", "c": "b", "a": "b", "d": "c"}.items():
        value = {"Fn::ImportValue": needs} if needs else "x"
        parameter = {"Name": f"/{name}", "Type": "String", "Value": value}
        resources = {"rP": {"Type": "AWS::SSM::Parameter", "Properties": parameter}}
        world.stack(name, resources, Outputs={"o": {"Value": "x", "Export": {"Name": name}}})
    deployed(world)
    create(world, INFRA, {"rQueue": QUEUE})
    done = world.run("destroy")
    assert done.code == 0, done.err
    assert done.statuses == dict.fromkeys(["a", "b", "c", "d", INFRA], "deleted")
    order = deletions(world, done.err)
    assert order.index("d") < order.index("c") < order.index("b")
    assert order.index("a") < order.index("b")
    assert order[-2:] == ["b", INFRA]
    assert world.client("ssm").describe_parameters()["Parameters"] == []
    assert done.report["kept"] == []


def test_versioned_buckets_are_emptied_and_go(world: World) -> None:
    name = f"lake-{world.bucket}"
    world.stack("one", {"rBucket": bucket(name)})
    deployed(world)
    fill(world, name, 30)
    done = world.run("destroy")
    assert done.code == 0, done.err
    assert f"one: emptied {name} of 31 versions" in done.err
    assert f"with all that it holds: AWS::S3::Bucket {name} (rBucket)" in done.err
    assert name not in buckets(world)


def test_more_versions_than_one_request_takes(world: World) -> None:
    name = f"lake-{world.bucket}"
    world.stack("one", {"rBucket": bucket(name)})
    deployed(world)
    s3 = world.client("s3")
    for number in range(1050):
        s3.put_object(Bucket=name, Key=f"{number}", Body=b"x")
    done = world.run("destroy")
    assert f"emptied {name} of 1050 versions" in done.err
    assert name not in buckets(world)


def test_image_repositories_are_emptied_and_go(world: World) -> None:
    name = f"{world.prefix}-a"
    repository = {"Type": "AWS::ECR::Repository", "Properties": {"RepositoryName": name}}
    create(world, INFRA, {"rImages": repository})
    world.stack("one", {"rQueue": QUEUE})
    deployed(world)
    world.image("a", "1")
    world.image("a", "2")
    done = world.run("destroy")
    assert done.code == 0, done.err
    assert f"{INFRA}: emptied {name} of 2 images" in done.err
    assert world.client("ecr").describe_repositories()["repositories"] == []
    assert registries.tags(world.registry, name) == {}


def test_what_is_declared_retain_stays_and_is_listed(world: World) -> None:
    name, lake = f"table-{world.prefix}", f"lake-{world.bucket}"
    world.stack("one", {"rTable": table(name, **RETAIN), "rQueue": QUEUE,
                        "rBucket": bucket(lake, **RETAIN)})  # fmt: skip
    deployed(world)
    fill(world, lake, 3)
    done = world.run("destroy")
    assert (done.code, done.statuses["one"]) == (0, "deleted")
    kept = {each["logical_id"]: each for each in done.report["kept"]}
    assert kept.keys() == {"rTable", "rBucket"}
    assert kept["rTable"]["physical_id"] == name
    assert kept["rTable"]["type"] == "AWS::DynamoDB::Table"
    assert f"  AWS::DynamoDB::Table {name} (one; declared Retain)" in done.err
    assert world.client("dynamodb").list_tables()["TableNames"] == [name]
    versions = world.client("s3").list_object_versions(Bucket=lake)
    assert len(versions["Versions"]) == 3
    assert world.client("sqs").list_queues().get("QueueUrls", []) == []


def test_purge_deletes_that_too(world: World) -> None:
    name, lake = f"table-{world.prefix}", f"lake-{world.bucket}"
    key = {
        "Type": "AWS::KMS::Key",
        "Properties": {"KeyPolicy": {"Version": "2012-10-17", "Statement": []}}, **RETAIN,
    }  # fmt: skip
    logs = {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": f"/l/{world.prefix}"}}
    topic = {"Type": "AWS::SNS::Topic", "Properties": {}, **RETAIN}
    world.stack("one", {"rTable": table(name, **RETAIN), "rBucket": bucket(lake, **RETAIN),
                        "rKey": key, "rLogs": {**logs, **RETAIN}, "rTopic": topic,
                        "rDead": {**QUEUE, **RETAIN}})  # fmt: skip
    deployed(world)
    fill(world, lake, 3)
    done = world.run("destroy", "--purge")
    assert done.code == 0, done.err
    assert done.report["kept"] == []
    assert world.client("dynamodb").list_tables()["TableNames"] == []
    assert lake not in buckets(world)
    assert world.client("logs").describe_log_groups()["logGroups"] == []
    assert world.client("sns").list_topics()["Topics"] == []
    assert world.client("sqs").list_queues().get("QueueUrls", []) == []
    kms = world.client("kms")
    [found] = kms.list_keys()["Keys"]
    state = kms.describe_key(KeyId=found["KeyId"])["KeyMetadata"]["KeyState"]
    assert state == "PendingDeletion"
    assert "purged rKey (AWS::KMS::Key): will be deleted in 30 days" in done.err


def test_purge_says_what_it_does_not_delete(world: World) -> None:
    trust = {"Version": "2012-10-17", "Statement": []}
    role = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": trust}, **RETAIN}
    world.stack("one", {"rRole": role})
    deployed(world)
    done = world.run("destroy", "--purge")
    assert done.code == 0
    [kept] = done.report["kept"]
    assert kept["why"] == "declared Retain; this program deletes no AWS::IAM::Role"


def test_purge_after_a_destruction_without_it_says_what_it_cannot_know(world: World) -> None:
    name = f"table-{world.prefix}"
    world.stack("one", {"rTable": table(name, **RETAIN)})
    deployed(world)
    assert world.run("destroy").code == 0
    done = world.run("destroy", "--purge")
    assert (done.code, done.statuses["one"]) == (0, "absent")
    assert f"what one, {INFRA} may have left behind is not known" in done.err
    assert world.client("dynamodb").list_tables()["TableNames"] == [name]


def test_nested_stacks_go_with_what_they_own(world: World) -> None:
    name, lake = f"table-{world.prefix}", f"lake-{world.bucket}"
    inner = {"Resources": {"rBucket": bucket(lake), "rTable": table(name, **RETAIN)}}
    world.client("s3").put_object(Bucket=world.bucket, Key="child", Body=json.dumps(inner))
    url = f"http://localhost:{world.port}/{world.bucket}/child"
    world.stack(
        "one",
        {"rChild": {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url}}},
    )
    deployed(world)
    fill(world, lake, 3)
    done = world.run("destroy")
    assert done.code == 0, done.err
    assert lake not in buckets(world)
    assert [each["logical_id"] for each in done.report["kept"]] == ["rChild/rTable"]


def test_an_attempt_that_failed_is_taken_up_where_it_stopped(world: World) -> None:
    """Somebody else imports what one of the stacks exports."""
    export = {"o": {"Value": "x", "Export": {"Name": "shared"}}}
    world.stack("one", {"rQueue": QUEUE}, Outputs=export)
    world.stack("two", {"rQueue": QUEUE})
    deployed(world)
    create(world, INFRA, {"rQueue": QUEUE})
    imported = {"Name": "/s", "Type": "String", "Value": {"Fn::ImportValue": "shared"}}
    stranger = {"rP": {"Type": "AWS::SSM::Parameter", "Properties": imported}}
    create(world, "strangers", stranger)
    done = world.run("destroy")
    assert done.code == 1
    assert done.statuses == {"one": "failed", "two": "deleted", INFRA: "skipped"}
    assert "shared" in done.stacks["one"]["error"]["message"]
    assert "strangers" in done.stacks["one"]["error"]["message"]
    assert world.status(INFRA) == "CREATE_COMPLETE"

    world.client("cloudformation").delete_stack(StackName="strangers")
    deadline = time.monotonic() + 10
    while world.status("strangers"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    again = world.run("destroy")
    assert again.code == 0, again.err
    assert again.statuses == {"one": "deleted", "two": "absent", INFRA: "deleted"}


def test_a_deletion_that_failed_is_tried_again(world: World) -> None:
    """A bucket that got an object after it was emptied."""
    lake = f"lake-{world.bucket}"
    world.stack("one", {"rBucket": bucket(lake)})
    deployed(world)
    argv = world.arguments("destroy")
    with between(world.port) as proxy:
        proxy.before["DeleteStack"] = lambda: fill(world, lake, 1)
        here = f"http://localhost:{world.port}"
        argv = [f"http://localhost:{proxy.port}" if each == here else each for each in argv]
        done = world.run_exactly(argv, {})
    assert (done.code, done.statuses["one"]) == (1, "failed")
    assert "ended in DELETE_FAILED; the first failure: rBucket (AWS::S3::Bucket)" in done.err
    assert "it continues where it stopped" in done.err
    assert world.status("one") == "DELETE_FAILED"
    again = world.run("destroy")
    assert (again.code, again.statuses["one"]) == (0, "deleted")
    assert lake not in buckets(world)


def test_a_deletion_under_way_is_awaited(world: World) -> None:
    many = {
        f"r{n}": {"Type": "AWS::SSM::Parameter",
                  "Properties": {"Name": f"/m/{n}", "Type": "String", "Value": "x"}}
        for n in range(300)
    }  # fmt: skip
    world.stack("one", many)
    deployed(world)
    world.client("cloudformation").delete_stack(StackName="one")
    done = world.run("destroy")
    assert (done.code, done.statuses["one"]) == (0, "deleted"), done.err
    assert world.status("one") == ""


def test_an_empty_shell_of_a_stack_goes_too(world: World) -> None:
    world.stack("one", {"rQueue": QUEUE})
    world.client("cloudformation").create_change_set(
        StackName="one", ChangeSetName="waiting", ChangeSetType="CREATE",
        TemplateBody=json.dumps({"Resources": {"rQueue": QUEUE}}),
    )  # fmt: skip
    time.sleep(0.3)
    done = world.run("destroy")
    assert (done.code, done.statuses["one"]) == (0, "deleted"), done.err
    assert world.status("one") == ""


def test_a_stack_that_somebody_is_at_work_on_stops_everything(world: World) -> None:
    world.stack("one", {"rQueue": QUEUE})
    world.stack("two", {"rQueue": QUEUE})
    deployed(world)
    many = {
        f"r{n}": {"Type": "AWS::SSM::Parameter",
                  "Properties": {"Name": f"/m/{n}", "Type": "String", "Value": "x"}}
        for n in range(400)
    }  # fmt: skip
    world.client("cloudformation").update_stack(
        StackName="two", TemplateBody=json.dumps({"Resources": many})
    )
    done = world.run("destroy")
    assert done.code == 2
    assert "stack two: is in UPDATE_IN_PROGRESS: somebody is at work on it" in done.err
    assert world.status("one") == "CREATE_COMPLETE"


def test_a_protected_stack_stops_everything(world: World) -> None:
    world.stack("one", {"rQueue": QUEUE})
    world.stack("two", {"rQueue": QUEUE})
    deployed(world)
    world.client("cloudformation").update_termination_protection(
        StackName="two", EnableTerminationProtection=True
    )
    done = world.run("destroy")
    assert done.code == 2
    assert "stack two: is protected against deletion" in done.err
    assert "--no-enable-termination-protection --stack-name two" in done.err
    assert world.status("one") == "CREATE_COMPLETE"


def test_a_wrong_account_starts_nothing_here_either(world: World) -> None:
    world.stack("one", {"rQueue": QUEUE})
    deployed(world)
    done = world.run("destroy", "--yes", "999999999999")
    assert done.code == 2
    assert f"--yes: '999999999999' is not this account, which is {ACCOUNT}" in done.err
    assert world.status("one") == "CREATE_COMPLETE"
    assert world.run("destroy", "--yes", ACCOUNT).code == 0


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def asked(given: str, stdin: io.StringIO) -> str:
    """What is prompted. Raises InputError."""
    import anyio

    prompt = io.StringIO()
    anyio.run(confirm.require, ACCOUNT, given, stdin, prompt)
    return prompt.getvalue()


def test_an_account_wants_its_number() -> None:
    assert ACCOUNT in asked("", Terminal(f"{ACCOUNT}\n"))
    assert asked(ACCOUNT, io.StringIO()) == ""
    with pytest.raises(InputError, match="destroy: '' is not this account"):
        asked("", Terminal(""))
    with pytest.raises(InputError, match="'yes' is not this account"):
        asked("", Terminal("yes\n"))
    with pytest.raises(InputError, match=r"(?s)nobody to ask.*destroy --yes 123456789012"):
        asked("", io.StringIO(f"{ACCOUNT}\n"))
    with pytest.raises(InputError, match="--yes: '999999999999' is not this account"):
        asked("999999999999", Terminal(f"{ACCOUNT}\n"))
