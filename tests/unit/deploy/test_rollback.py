"""``record`` and ``rollback``: tags in a real registry, functions in the local cloud."""

from __future__ import annotations

import json

import pytest
from kit import registries
from kit.deployments import World

PARAMETER = {
    "Type": "AWS::SSM::Parameter",
    "Properties": {"Name": "/p", "Type": "String", "Value": {"Ref": "pValue"}},
}
DECLARED = {"Parameters": {"pValue": {"Type": "String"}}}


def package(world: World, value: str = "x", **digests: str) -> None:
    """One stack with functions by name, and a parameter."""
    functions = {f"r{name.upper()}": world.function(name, each) for name, each in digests.items()}
    world.stack(
        "one", {**functions, "rP": PARAMETER}, parameters={"pValue": value}, **DECLARED
    )  # fmt: skip


def tags(world: World, function: str) -> tuple[str, str]:
    """The digests deployed and previous; blank where there is no such tag."""
    found = world.tags(function)
    return found.get(f"deployed-{world.prefix}", ""), found.get(f"previous-{world.prefix}", "")


def test_a_deployment_is_recorded_and_what_ran_before_it(world: World) -> None:
    first, second, other = (world.image(*each) for each in (("a", "1"), ("a", "2"), ("b", "1")))
    package(world, a=first, b=other)
    done = world.run("deploy")
    assert done.report["recorded"]["moved"]
    assert (tags(world, "a"), tags(world, "b")) == ((first, ""), (other, ""))
    assert f"2 images are tagged deployed-{world.prefix}" in done.err

    package(world, a=second, b=other)
    assert world.run("deploy").code == 0
    assert tags(world, "a") == (second, first)
    # It did not change: what ran before this deployment is what runs.
    assert tags(world, "b") == (other, other)


def test_what_changes_no_image_moves_no_tag(world: World) -> None:
    first, second = world.image("a", "1"), world.image("a", "2")
    for digest in (first, second):
        package(world, a=digest)
        world.run("deploy")
    package(world, value="another", a=second)
    done = world.run("deploy")
    assert done.statuses == {"one": "updated"}
    assert not done.report["recorded"]["moved"]
    assert tags(world, "a") == (second, first)
    again = world.run("record")
    assert (again.code, again.report["recorded"]["moved"]) == (0, False)


def test_a_deployment_by_other_ways_is_recorded_by_the_command(world: World) -> None:
    """As CodePipeline's own actions deploy; the bucket is nothing to it."""
    first, second = world.image("a", "1"), world.image("a", "2")
    package(world, a=first)
    world.run("deploy")
    update(world, second)
    assert tags(world, "a") == (first, "")
    argv = world.arguments("record")
    del argv[argv.index("--bucket") : argv.index("--bucket") + 2]
    done = world.run_exactly(argv, {})
    assert (done.code, done.report["command"], done.report["outcome"]) == (0, "record", "succeeded")
    repository = f"{world.registry}/{world.prefix}-a"
    assert done.report["recorded"]["functions"] == [{
        "function": f"{world.prefix}-a", "stack": "one", "repository": repository,
        "deployed": second, "previous": first,
    }]  # fmt: skip
    assert tags(world, "a") == (second, first)


def test_a_rollback_brings_the_images_back_and_nothing_else(world: World) -> None:
    first, second, other = (world.image(*each) for each in (("a", "1"), ("a", "2"), ("b", "1")))
    package(world, value="old", a=first, b=other)
    world.run("deploy")
    package(world, value="new", a=second, b=other)
    world.run("deploy")

    done = world.run("rollback")
    assert (done.code, done.statuses) == (0, {"one": "updated"})
    [change] = done.stacks["one"]["change_set"]
    assert (change["logical_id"], change["action"]) == ("rA", "modified")
    assert change["image"] == {"before": second, "after": first}
    assert (world.runs("a"), world.runs("b")) == (first, other)
    assert world.client("ssm").get_parameter(Name="/p")["Parameter"]["Value"] == "new"
    assert tags(world, "a") == (first, second)
    assert "a second rollback goes forward again" in done.err

    assert world.run("rollback").code == 0
    assert world.runs("a") == second
    assert tags(world, "a") == (second, first)


def test_a_rollback_goes_one_deployment_back_for_all_functions(world: World) -> None:
    """``b`` changed in the deployment before the last: that one stays as it is."""
    a = [world.image("a", tag) for tag in "12"]
    b = [world.image("b", tag) for tag in "12"]
    for digests in ({"a": a[0], "b": b[0]}, {"a": a[0], "b": b[1]}, {"a": a[1], "b": b[1]}):
        package(world, **digests)
        assert world.run("deploy").code == 0
    assert world.run("rollback").code == 0
    assert (world.runs("a"), world.runs("b")) == (a[0], b[1])


def update(world: World, digest: str) -> None:
    """Deploys one function's image by other ways: its stack is updated, nothing is recorded."""
    cloudformation = world.client("cloudformation")
    resources = {"rA": world.function("a", digest), "rP": PARAMETER}
    cloudformation.update_stack(
        StackName="one", TemplateBody=json.dumps({"Resources": resources, **DECLARED}),
        Parameters=[{"ParameterKey": "pValue", "UsePreviousValue": True}],
    )  # fmt: skip
    cloudformation.get_waiter("stack_update_complete").wait(
        StackName="one", WaiterConfig={"Delay": 1}
    )


def test_a_rollback_of_a_deployment_that_nobody_recorded(world: World) -> None:
    digests = [world.image("a", tag) for tag in "123"]
    for digest in digests[:2]:
        package(world, a=digest)
        world.run("deploy")
    update(world, digests[2])
    assert tags(world, "a") == (digests[1], digests[0])
    done = world.run("rollback")
    assert (done.code, world.runs("a")) == (0, digests[1])
    assert tags(world, "a") == (digests[1], digests[2])


def test_a_function_that_was_changed_without_its_stack_is_told(world: World) -> None:
    """CloudFormation compares templates: this one says already what is wanted."""
    first, second = world.image("a", "1"), world.image("a", "2")
    package(world, a=first)
    world.run("deploy")
    world.client("lambda").update_function_code(
        FunctionName=f"{world.prefix}-a", ImageUri=f"{world.ecr}/{world.prefix}-a@{second}"
    )
    done = world.run("rollback")
    assert (done.code, done.statuses) == (1, {"one": "unchanged"})
    assert (
        f"function {world.prefix}-a: still runs {world.ecr}/{world.prefix}-a@{second}" in done.err
    )
    assert tags(world, "a") == (second, first)


def test_images_by_tag_go_back_too(world: World) -> None:
    """As the seed's templates name them."""
    first = world.image("a", "build-1")
    second = world.image("a", "build-2")
    function = world.function("a", first)
    uri = {"Fn::Sub": f"{world.ecr}/{world.prefix}-a:${{pEcrImageTag}}"}
    function["Properties"]["Code"] = {"ImageUri": uri}
    for tag in ("build-1", "build-2"):
        world.stack(
            "one", {"rA": function}, Parameters={"pEcrImageTag": {"Type": "String"}},
            parameters={"pEcrImageTag": tag},
        )  # fmt: skip
        assert world.run("deploy").code == 0
    assert world.runs("a") == second
    done = world.run("rollback")
    assert (done.code, world.runs("a")) == (0, first), done.err


def test_functions_of_nested_stacks_go_back_too(world: World) -> None:
    first, second, other = (world.image(*each) for each in (("a", "1"), ("a", "2"), ("b", "1")))
    for digest in (first, second):
        inner = {"Resources": {"rA": world.function("a", digest)}}
        middle = {"Resources": {"rInner": nested(world, inner), "rB": world.function("b", other)}}
        world.stack("one", {"rMiddle": nested(world, middle)})
        assert world.run("deploy").code == 0
        assert world.runs("a") == digest
    assert tags(world, "a") == (second, first)
    done = world.run("rollback")
    assert done.code == 0, done.err
    assert (world.runs("a"), world.runs("b")) == (first, other)
    assert tags(world, "a") == (first, second)


def nested(world: World, template: dict) -> dict:
    """A nested stack whose template lies in the bucket, named by its content."""
    body = json.dumps(template)
    key = f"nested-{abs(hash(body))}"
    world.client("s3").put_object(Bucket=world.bucket, Key=key, Body=body)
    url = f"http://localhost:{world.port}/{world.bucket}/{key}"
    return {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url}}


def test_functions_of_a_loop_go_back_too(world: World) -> None:
    first, second, other = (world.image(*each) for each in (("a", "1"), ("a", "2"), ("b", "1")))
    for digest in (first, second):
        uris = {"a": {"Uri": f"{world.ecr}/{world.prefix}-a@{digest}"},
                "b": {"Uri": f"{world.ecr}/{world.prefix}-b@{other}"}}  # fmt: skip
        function = world.function("a", digest)
        function["Properties"]["FunctionName"] = {"Fn::Sub": f"{world.prefix}-${{Name}}"}
        code = {"Fn::FindInMap": ["Images", "${Name}", "Uri"]}
        function["Properties"]["Code"] = {"ImageUri": code}
        loop = ["Name", ["a", "b"], {"rF${Name}": function}]
        world.stack(
            "one", {"Fn::ForEach::Functions": loop}, Transform="AWS::LanguageExtensions",
            Mappings={"Images": uris},
        )  # fmt: skip
        deployed = world.run("deploy")
        assert deployed.code == 0, deployed.err
    assert world.runs("a") == second
    done = world.run("rollback")
    assert (done.code, world.runs("a"), world.runs("b")) == (0, first, other), done.err


def test_nothing_to_go_back_to(world: World) -> None:
    package(world, a=world.image("a", "1"))
    for _ in range(2):
        assert world.run("deploy").code == 0
    done = world.run("rollback")
    assert (done.code, done.report) == (2, {})
    assert "rollback: no function of one ran another image before" in done.err
    assert f"previous-{world.prefix}" in done.err


def test_an_image_that_is_gone_is_told_by_both_names(world: World) -> None:
    first, second = world.image("a", "1"), world.image("a", "2")
    for digest in (first, second):
        package(world, a=digest)
        world.run("deploy")
    forget_config(world, "a", first)
    done = world.run("rollback")
    assert (done.code, done.report) == (2, {})
    image = f"{world.ecr}/{world.prefix}-a@{first}"
    assert f"function {world.prefix}-a of stack one: ran {image} before" in done.err
    assert f"which the registry {world.registry} no longer holds" in done.err
    assert world.runs("a") == second


def forget_config(world: World, function: str, digest: str) -> None:
    """The registry loses a part of an image, as after a clean-up that went too far."""
    import httpx

    name = f"{world.prefix}-{function}"
    base = f"http://{world.registry}/v2/{name}"
    accept = {"Accept": registries.MANIFEST}
    manifest = httpx.get(f"{base}/manifests/{digest}", headers=accept, trust_env=False).json()
    blob = manifest["config"]["digest"]
    httpx.delete(f"{base}/blobs/{blob}", trust_env=False).raise_for_status()


def test_a_rollback_of_a_stack_that_somebody_is_at_work_on(world: World) -> None:
    first, second = world.image("a", "1"), world.image("a", "2")
    for digest in (first, second):
        package(world, a=digest)
        world.run("deploy")
    with world.waiting() as slow:
        world.client("cloudformation").update_stack(
            StackName="one", Parameters=[{"ParameterKey": "pValue", "UsePreviousValue": True}],
            TemplateBody=json.dumps({
                "Resources": {"rSlow": slow, "rA": world.function("a", second)}, **DECLARED,
            }),
        )  # fmt: skip
        done = world.run("rollback")
    assert done.code == 2
    assert "stack one: is in UPDATE_IN_PROGRESS" in done.err


def test_a_part_of_a_deployment_is_recorded_too(world: World) -> None:
    """What runs must not lose its tag because another stack failed."""
    first = world.image("a", "1")
    package(world, a=first)
    broken = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "x"}}
    world.stack("two", {"rBroken": broken})
    done = world.run("deploy")
    assert (done.code, done.statuses) == (1, {"one": "created", "two": "failed"})
    assert tags(world, "a") == (first, "")


def test_a_function_from_elsewhere_and_one_of_a_zip_are_left_alone(world: World) -> None:
    zipped = {
        "Type": "AWS::Lambda::Function",
        "Properties": {"FunctionName": f"{world.prefix}-zip", "Handler": "h.h",
                       "Runtime": "python3.13",
                       "Role": world.function("x", "")["Properties"]["Role"],
                       "Code": {"ZipFile": "def h(e, c): return e"}},
    }  # fmt: skip
    world.stack("one", {"rZip": zipped})
    done = world.run("deploy")
    assert done.code == 0, done.err
    assert done.report["recorded"] == {"moved": False, "functions": [], "notes": []}


@pytest.mark.parametrize("command", ["record", "rollback", "destroy"])
def test_a_tree_without_stacks(command: str, world: World) -> None:
    done = world.run(command)
    assert done.code == 2
    assert f"{world.root / 'cfn'}: has no stack in it" in done.err
