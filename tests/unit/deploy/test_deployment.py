"""``deploy`` against the local cloud: what is asserted is what is there afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kit import registries
from kit.deployments import ROLE, World

QUEUE = {"Type": "AWS::SQS::Queue", "Properties": {}}
TABLE = {
    "Type": "AWS::DynamoDB::Table",
    "Properties": {
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    },
}
GUARD = {
    "Statement": [
        {"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": ["Update:Replace", "Update:Delete"], "Principal": "*",
         "Resource": "*",
         "Condition": {"StringEquals": {"ResourceType": ["AWS::DynamoDB::Table"]}}},
    ]
}  # fmt: skip


def named(table: str) -> dict:
    return {**TABLE, "Properties": {**TABLE["Properties"], "TableName": table}}


def parameter(name: str, value: object, **more: object) -> dict:
    properties = {"Name": name, "Type": "String", "Value": value}
    return {"Type": "AWS::SSM::Parameter", "Properties": properties, **more}


def events(world: World, stack: str) -> list[dict]:
    """The stack's own events, oldest first."""
    found = world.client("cloudformation").describe_stack_events(StackName=stack)["StackEvents"]
    return [each for each in reversed(found) if each["PhysicalResourceId"] == each["StackId"]]


def test_a_stack_is_made_left_alone_and_updated(world: World) -> None:
    world.stack("one", {"rQueue": QUEUE}, Outputs={"oUrl": {"Value": {"Ref": "rQueue"}}})
    made = world.run("deploy")
    assert (made.code, made.statuses) == (0, {"one": "created"})
    assert made.changes("one") == {"rQueue": "added"}
    [url] = world.client("sqs").list_queues()["QueueUrls"]
    assert made.stacks["one"]["outputs"] == {"oUrl": url}
    assert "one: + added    rQueue  AWS::SQS::Queue" in made.err
    assert "one: ✓ rQueue created (AWS::SQS::Queue)" in made.err

    before = len(events(world, "one"))
    same = world.run("deploy")
    assert (same.code, same.statuses) == (0, {"one": "unchanged"})
    assert "one: no changes" in same.err
    assert same.stacks["one"]["outputs"] == {"oUrl": url}
    cloudformation = world.client("cloudformation")
    assert cloudformation.list_change_sets(StackName="one")["Summaries"] == []
    assert len(events(world, "one")) == before

    world.stack("one", {"rQueue": {**QUEUE, "Properties": {"VisibilityTimeout": 7}}})
    changed = world.run("deploy")
    assert (changed.code, changed.statuses) == (0, {"one": "updated"})
    [change] = changed.stacks["one"]["change_set"]
    assert (change["action"], change["properties"]) == ("modified", ["VisibilityTimeout"])
    attributes = world.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    assert attributes["Attributes"]["VisibilityTimeout"] == "7"


def test_the_template_is_uploaded_under_the_name_of_its_content(world: World) -> None:
    world.stack("one", {"rQueue": QUEUE})
    assert world.run("deploy").code == 0
    s3 = world.client("s3")
    [first] = s3.list_objects_v2(Bucket=world.bucket)["Contents"]
    body = s3.get_object(Bucket=world.bucket, Key=first["Key"])["Body"].read().decode()
    assert body == (world.artifact / "one/packaged-template.yaml").read_text()
    world.run("deploy")
    [again] = s3.list_objects_v2(Bucket=world.bucket)["Contents"]
    assert (again["Key"], again["LastModified"]) == (first["Key"], first["LastModified"])


def test_parameters_tags_and_policy_of_the_configuration_and_the_environment(world: World) -> None:
    declared = {name: {"Type": "String"} for name in ("pEnvironment", "pOther")}
    world.stack(
        "one",
        {"rP": parameter("/p", {"Fn::Sub": "${pEnvironment}-${pOther}"})},
        Parameters=declared,
        parameters={"pEnvironment": "from the file", "pOther": "x"},
        Tags={"team": "a"},
        StackPolicy=GUARD,
    )
    done = world.run("deploy")
    assert done.code == 0
    value = world.client("ssm").get_parameter(Name="/p")["Parameter"]["Value"]
    assert value == f"{world.prefix}-x"
    assert done.stacks["one"]["parameters"]["pEnvironment"] == world.prefix
    cloudformation = world.client("cloudformation")
    [stack] = cloudformation.describe_stacks(StackName="one")["Stacks"]
    assert stack["Tags"] == [{"Key": "team", "Value": "a"}]
    body = cloudformation.get_stack_policy(StackName="one")["StackPolicyBody"]
    assert json.loads(body) == GUARD


def test_stacks_after_those_that_they_need_and_others_beside_them(world: World) -> None:
    """By an export, and by a parameter of SSM."""
    export = {"oName": {"Value": "exported", "Export": {"Name": "shared-name"}}}
    world.stack("z-first", {"rP": parameter("/first", "a")}, Outputs=export)
    imported = {"Fn::ImportValue": "shared-name"}
    world.stack("a-second", {"rP": parameter("/DataLake/second", imported)})
    world.stack("b-beside", {"rP": parameter("/beside", imported)})
    looked_up = {"pIn": {"Type": "AWS::SSM::Parameter::Value<String>",
                         "Default": "/DataLake/second"}}  # fmt: skip
    world.stack("a-third", {"rP": parameter("/third", {"Ref": "pIn"})}, Parameters=looked_up)
    done = world.run("deploy")
    assert (done.code, set(done.statuses.values())) == (0, {"created"})
    assert "order: z-first; then a-second and b-beside; then a-third" in done.err
    assert world.client("ssm").get_parameter(Name="/third")["Parameter"]["Value"] == "exported"
    story = {name: events(world, name) for name in done.statuses}
    ended = {name: each[-1]["Timestamp"] for name, each in story.items()}
    began = {name: each[0]["Timestamp"] for name, each in story.items()}
    assert began["a-second"] > ended["z-first"]
    assert began["a-third"] > ended["a-second"]
    assert began["b-beside"] < ended["a-second"]


def test_a_circle_is_refused_before_anything_is_started(world: World) -> None:
    for name, other in (("one", "two"), ("two", "one")):
        export = {"o": {"Value": "x", "Export": {"Name": name}}}
        world.stack(name, {"rP": parameter(f"/{name}", {"Fn::ImportValue": other})}, Outputs=export)
    done = world.run("deploy")
    assert done.code == 2
    assert "stacks one, two: need each other" in done.err
    assert "one imports two of two; two imports one of one" in done.err
    assert (world.status("one"), done.report) == ("", {})


def test_a_changed_function_is_the_only_change(world: World) -> None:
    old, new, other = (world.image(*each) for each in (("a", "1"), ("a", "2"), ("b", "1")))
    world.stack("one", {"rA": world.function("a", old), "rB": world.function("b", other)})
    first = world.run("deploy")
    assert first.code == 0
    assert f"new image rA: none → {old[7:19]}" in first.err
    world.stack("one", {"rA": world.function("a", new), "rB": world.function("b", other)})
    second = world.run("deploy")
    [change] = second.stacks["one"]["change_set"]
    assert (change["logical_id"], change["action"]) == ("rA", "modified")
    assert change["image"] == {"before": old, "after": new}
    assert f"one:   new image rA: {old[7:19]} → {new[7:19]}" in second.err
    assert (world.runs("a"), world.runs("b")) == (new, other)


def test_an_image_that_the_registry_lacks_stops_everything(world: World) -> None:
    digest = f"sha256:{'0' * 64}"
    world.stack("one", {"rQueue": QUEUE})
    world.stack("two", {"rA": world.function("a", digest), "rB": world.function("b", digest)})
    done = world.run("deploy")
    assert done.code == 2
    for name in "ab":
        uri = f"{world.ecr}/{world.prefix}-{name}@{digest}"
        lacking = f"which the registry {world.registry} does not hold"
        assert f"stack two: r{name.upper()}: runs {uri}, {lacking}" in done.err
    assert world.status("one") == ""


def test_an_image_by_a_tag_is_looked_up_too(world: World) -> None:
    digest = world.image("a", "build-1")
    function = world.function("a", digest)
    uri = f"{world.ecr}/{world.prefix}-a:"
    function["Properties"]["Code"]["ImageUri"] = f"{uri}build-2"
    world.stack("one", {"rA": function})
    assert f"runs {uri}build-2, which" in world.run("deploy").err
    function["Properties"]["Code"]["ImageUri"] = f"{uri}build-1"
    world.stack("one", {"rA": function})
    done = world.run("deploy")
    assert done.code == 0
    assert done.stacks["one"]["change_set"][0]["image"]["after"] == digest


REPLACED = "stack one: its change set would take what they hold from resources: "


def test_what_holds_data_is_not_replaced_unasked(world: World) -> None:
    world.stack("one", {"rTable": named("first"), "rQueue": QUEUE, "rP": parameter("/p", "1")})
    assert world.run("deploy").code == 0
    world.stack("one", {"rTable": named("second"), "rP": parameter("/p", "2")})
    refused = world.run("deploy")
    assert (refused.code, refused.statuses) == (1, {"one": "refused"})
    assert REPLACED in refused.err
    assert "replaced: rTable (AWS::DynamoDB::Table)" in refused.err
    assert "removed: rQueue (AWS::SQS::Queue)" in refused.err
    assert "--allow-replacement" in refused.stacks["one"]["error"]["fix"]
    assert refused.changes("one") == {"rTable": "replaced", "rQueue": "removed", "rP": "modified"}
    # Nothing was executed, and nothing is left of the attempt.
    assert world.client("dynamodb").list_tables()["TableNames"] == ["first"]
    assert world.client("ssm").get_parameter(Name="/p")["Parameter"]["Value"] == "1"
    assert world.client("cloudformation").list_change_sets(StackName="one")["Summaries"] == []
    assert world.status("one") == "CREATE_COMPLETE"

    allowed = world.run("deploy", "--allow-replacement")
    assert (allowed.code, allowed.statuses) == (0, {"one": "updated"})
    assert world.client("dynamodb").list_tables()["TableNames"] == ["second"]
    assert world.client("sqs").list_queues().get("QueueUrls", []) == []


def test_what_is_allowed_by_name_passes_the_stacks_own_guard_which_stays(world: World) -> None:
    world.stack("one", {"rTable": named("first")}, StackPolicy=GUARD)
    assert world.run("deploy").code == 0
    world.stack("one", {"rTable": named("second")}, StackPolicy=GUARD)
    assert world.run("deploy", "--allow-replacement").statuses == {"one": "updated"}
    assert world.client("dynamodb").list_tables()["TableNames"] == ["second"]
    cloudformation = world.client("cloudformation")
    body = cloudformation.get_stack_policy(StackName="one")["StackPolicyBody"]
    assert json.loads(body) == GUARD


def test_the_guard_is_back_after_a_failure_too(world: World) -> None:
    world.stack("one", {"rTable": named("first")}, StackPolicy=GUARD)
    assert world.run("deploy").code == 0
    broken = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "x"}}
    world.stack("one", {"rTable": named("second"), "rBroken": broken}, StackPolicy=GUARD)
    done = world.run("deploy", "--allow-replacement")
    assert (done.code, done.statuses) == (1, {"one": "failed"})
    assert world.client("dynamodb").list_tables()["TableNames"] == ["first"]
    body = world.client("cloudformation").get_stack_policy(StackName="one")["StackPolicyBody"]
    assert json.loads(body) == GUARD


def test_values_that_nobody_is_to_see_are_not_in_the_report(world: World) -> None:
    declared = {"pOpen": {"Type": "String"}, "pSecret": {"Type": "String", "NoEcho": True}}
    given = {"pOpen": "seen", "pSecret": "hidden-value"}
    world.stack("one", {"rQueue": QUEUE}, Parameters=declared, parameters=given)
    done = world.run("deploy")
    assert done.stacks["one"]["parameters"] == {"pOpen": "seen", "pSecret": "****"}
    assert "hidden-value" not in done.out + done.err + json.dumps(done.report)


def test_an_image_of_a_registry_that_does_not_let_us_look(world: World, tmp_path: Path) -> None:
    """Such as another account's: whether it is there is for Lambda to say."""
    (tmp_path / "theirs").mkdir()
    with registries.running(tmp_path / "theirs", login=True) as theirs:
        function = world.function("a", "")
        function["Properties"]["Code"]["ImageUri"] = f"{theirs}/a@sha256:{'1' * 64}"
        world.stack("one", {"rA": function})
        done = world.run("deploy")
    assert (done.code, done.statuses) == (1, {"one": "failed"})
    assert "the first failure: rA (AWS::Lambda::Function)" in done.err


def test_a_refused_stack_takes_only_those_along_that_need_it(world: World) -> None:
    export = {"o": {"Value": "x", "Export": {"Name": "shared"}}}
    world.stack("one", {"rTable": named("first")}, Outputs=export)
    assert world.run("deploy").code == 0
    world.stack("one", {"rTable": named("second")}, Outputs=export)
    world.stack("two", {"rP": parameter("/two", {"Fn::ImportValue": "shared"})})
    world.stack("three", {"rQueue": QUEUE})
    done = world.run("deploy")
    assert done.code == 1
    assert done.statuses == {"one": "refused", "two": "skipped", "three": "created"}
    assert done.stacks["two"]["why"] == "it imports shared of one, which is refused"


def test_capabilities_are_those_that_the_template_needs(world: World) -> None:
    trust = {"Version": "2012-10-17", "Statement": []}
    role = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": trust}}
    world.stack("plain", {"rQueue": QUEUE})
    world.stack("roles", {"rRole": role})
    name = f"role-{world.prefix}"
    named_role = {**role, "Properties": {**role["Properties"], "RoleName": name}}
    world.stack("named", {"rRole": named_role})
    done = world.run("deploy")
    assert done.code == 0, done.err
    assert "plain: capabilities none" in done.err
    assert "roles: capabilities CAPABILITY_IAM" in done.err
    assert "named: capabilities CAPABILITY_NAMED_IAM" in done.err
    cloudformation = world.client("cloudformation")
    given = {
        each["StackName"]: each.get("Capabilities", [])
        for each in cloudformation.describe_stacks()["Stacks"]
    }
    assert given == {
        "plain": [], "roles": ["CAPABILITY_IAM"], "named": ["CAPABILITY_NAMED_IAM"],
    }  # fmt: skip


@pytest.mark.parametrize("given", [True, False])
def test_the_role_is_the_given_one_else_the_infrastructure_stacks(
    given: bool, world: World
) -> None:
    outputs = {"oDeploymentRole": {"Value": ROLE}, "oArtifactStore": {"Value": world.bucket}}
    body = json.dumps({"Resources": {"rQueue": QUEUE}, "Outputs": outputs})
    cloudformation = world.client("cloudformation")
    cloudformation.create_stack(StackName="infra", TemplateBody=body)
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName="infra", WaiterConfig={"Delay": 1}
    )
    world.stack("one", {"rQueue": QUEUE})
    other = ROLE.replace("/any", "/other")
    argv = world.arguments("deploy", "--infrastructure-stack", "infra")
    # Its bucket, too, where none is named.
    del argv[argv.index("--bucket") : argv.index("--bucket") + 2]
    done = world.run_exactly([*argv, *(["--deployment-role", other] if given else [])], {})
    assert done.code == 0, done.err
    [stack] = cloudformation.describe_stacks(StackName="one")["Stacks"]
    assert stack["RoleARN"] == (other if given else ROLE)
    assert f"role of CloudFormation: {stack['RoleARN']}" in done.err
    assert world.client("s3").list_objects_v2(Bucket=world.bucket)["KeyCount"] == 1


def test_the_report_on_standard_output(world: World) -> None:
    world.stack("one", {"rQueue": QUEUE})
    done = world.run("deploy", "--json")
    assert json.loads(done.out) == done.report
    assert done.report["outcome"] == "succeeded"
    assert done.report["recorded"] == {"moved": False, "functions": [], "notes": []}
    assert "deploy succeeded: 1 of 1 stacks" in done.err


def test_stacks_are_called_as_the_list_of_names_says(world: World) -> None:
    world.stack("one", {"rQueue": QUEUE})
    (world.artifact / "stacks.yaml").write_text("one: first-stack\n")
    assert world.run("deploy").statuses == {"first-stack": "created"}
    assert world.status("first-stack") == "CREATE_COMPLETE"


def nested(world: World, resources: dict) -> dict:
    """A nested stack whose template lies in the bucket, named by its content."""
    body = json.dumps({"Resources": resources})
    key = f"nested-{abs(hash(body))}"
    world.client("s3").put_object(Bucket=world.bucket, Key=key, Body=body)
    url = f"http://localhost:{world.port}/{world.bucket}/{key}"
    return {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url}}


def test_nested_stacks_are_looked_into(world: World) -> None:
    old, new = world.image("a", "1"), world.image("a", "2")
    for digest in (old, new):
        inner = nested(world, {"rA": world.function("a", digest), "rTable": named("first")})
        world.stack("one", {"rMiddle": nested(world, {"rInner": inner, "rQueue": QUEUE})})
        done = world.run("deploy")
        assert done.code == 0, done.err
    assert done.changes("one") == {
        "rMiddle": "modified", "rMiddle/rInner": "modified", "rMiddle/rInner/rA": "modified",
    }  # fmt: skip
    images = {each["logical_id"]: each["image"] for each in done.stacks["one"]["change_set"]}
    assert images["rMiddle/rInner/rA"] == {"before": old, "after": new}
    assert world.runs("a") == new

    inner = nested(world, {"rA": world.function("a", new), "rTable": named("second")})
    world.stack("one", {"rMiddle": nested(world, {"rInner": inner, "rQueue": QUEUE})})
    refused = world.run("deploy")
    assert (refused.code, refused.statuses) == (1, {"one": "refused"})
    assert "replaced: rMiddle/rInner/rTable (AWS::DynamoDB::Table)" in refused.err
    assert world.client("dynamodb").list_tables()["TableNames"] == ["first"]
    cloudformation = world.client("cloudformation")
    for stack in cloudformation.describe_stacks()["Stacks"]:
        assert cloudformation.list_change_sets(StackName=stack["StackName"])["Summaries"] == []
    assert world.run("deploy", "--allow-replacement").code == 0
    assert world.client("dynamodb").list_tables()["TableNames"] == ["second"]
