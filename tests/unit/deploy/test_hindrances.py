"""What keeps a stack from being deployed, and what others do meanwhile, on the local cloud."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.aws_proxy import EXPIRED, Proxy, between
from kit.deployments import World
from kit.pipeline import COMMAND, ROOT, surroundings

from ci import aws
from ci.deploy import change_sets, events
from ci.deploy.events import Event

QUEUE = {"Type": "AWS::SQS::Queue", "Properties": {}}


def parameter(name: str, value: object, **more: object) -> dict:
    properties = {"Name": name, "Type": "String", "Value": value}
    return {"Type": "AWS::SSM::Parameter", "Properties": properties, **more}


def failing(needs: str = "rA") -> dict:
    """A bucket whose name S3 does not take."""
    return {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "x"},
            "DependsOn": needs}  # fmt: skip


def many(count: int) -> dict:
    """Resources that take the local cloud a while."""
    return {f"r{number}": parameter(f"/many/{number}", "x") for number in range(count)}


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def test_a_failed_stack_shows_what_failed_first_and_others_go_on(world: World) -> None:
    export = {"o": {"Value": "x", "Export": {"Name": "shared"}}}
    world.stack(
        "one", {"rA": parameter("/a", "1"), "rB": failing(), "rC": parameter("/c", "1")},
        Outputs=export,
    )  # fmt: skip
    world.stack("two", {"rP": parameter("/two", {"Fn::ImportValue": "shared"})})
    world.stack("three", {"rP": parameter("/three", {"Fn::Sub": "${AWS::StackName}"})})
    done = world.run("deploy")
    assert done.code == 1
    assert done.statuses == {"one": "failed", "two": "skipped", "three": "created"}
    error = done.stacks["one"]["error"]
    assert "ended in ROLLBACK_COMPLETE" in error["message"]
    assert "the first failure: rB (AWS::S3::Bucket): " in error["message"]
    assert "not valid" in error["message"]
    assert "delete-stack --stack-name one" in error["fix"]
    assert "one: ✓ rA created (AWS::SSM::Parameter)" in done.err
    assert "one: ✗ rB create failed (AWS::S3::Bucket): " in done.err
    assert "two skipped (it imports shared of one, which is failed)" in done.err
    assert "deploy failed: 1 of 3 stacks" in done.out

    again = world.run("deploy")
    assert again.code == 2
    assert again.report == {}
    assert "stack one: is in ROLLBACK_COMPLETE: its creation failed" in again.err
    assert "the first failure was rB (AWS::S3::Bucket)" in again.err
    assert "delete-stack --stack-name one" in again.err


def test_a_failed_update_leaves_the_stack_as_it_was(world: World) -> None:
    world.stack("one", {"rA": parameter("/a", "1")})
    assert world.run("deploy").code == 0
    world.stack("one", {"rA": parameter("/a", "2"), "rB": failing()})
    done = world.run("deploy")
    assert (done.code, done.statuses) == (1, {"one": "failed"})
    assert "UPDATE_ROLLBACK_COMPLETE; the first failure: rB" in done.err
    assert "the stack is as it was before" in done.err
    assert world.client("ssm").get_parameter(Name="/a")["Parameter"]["Value"] == "1"
    world.stack("one", {"rA": parameter("/a", "3")})
    assert world.run("deploy").statuses == {"one": "updated"}


def test_what_failed_in_a_nested_stack_is_found_there(world: World) -> None:
    child = json.dumps({"Resources": {"rInner": failing("rFirst"), "rFirst": parameter("/f", "1")}})
    world.client("s3").put_object(Bucket=world.bucket, Key="child", Body=child)
    url = f"http://localhost:{world.port}/{world.bucket}/child"
    nested = {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url}}
    world.stack("one", {"rChild": nested})
    done = world.run("deploy")
    assert done.code == 1
    assert "the first failure: rInner (AWS::S3::Bucket)" in done.err


def story(*lines: tuple[str, str, str]) -> list[Event]:
    return [
        Event(str(n), name, f"id-{name}", "T", status, reason)
        for n, (name, status, reason) in enumerate(lines)
    ]


def first(*lines: tuple[str, str, str]) -> str:
    import anyio

    async def find() -> Event | None:
        return await events.first_failure(None, story(*lines), "id-stack")  # type: ignore[arg-type]

    event = anyio.run(find)
    return event.logical_id if event else ""


def test_what_was_given_up_because_of_another_is_not_the_first_failure() -> None:
    """As CloudFormation tells it when resources are made side by side."""
    began = ("stack", "CREATE_IN_PROGRESS", "User Initiated")
    cancelled = ("rA", "CREATE_FAILED", "Resource creation cancelled")
    broken = ("rB", "CREATE_FAILED", "Resource handler returned message: no such image")
    later = ("rC", "CREATE_FAILED", "Resource handler returned message: quota")
    end = ("stack", "ROLLBACK_IN_PROGRESS", "The following resource(s) failed to create: [rA, rB].")
    assert first(began, cancelled, broken, later, end) == "rB"
    assert first(began, cancelled, end) == "rA"
    assert first(began, ("stack", "DELETE_FAILED", "Export x cannot be deleted")) == "stack"
    assert first(("stack", "CREATE_IN_PROGRESS", "")) == ""


@pytest.mark.parametrize("name", ["waiting", f"{change_sets.PREFIX}0123"])
def test_a_stack_under_review(name: str, world: World) -> None:
    """Somebody's change set is theirs to execute; a leftover of ours is nobody's."""
    cloudformation = world.client("cloudformation")
    cloudformation.create_change_set(
        StackName="one", ChangeSetName=name, ChangeSetType="CREATE",
        TemplateBody=json.dumps({"Resources": {"rQueue": QUEUE}}),
    )  # fmt: skip
    wait_for(lambda: world.status("one") == "REVIEW_IN_PROGRESS")
    world.stack("one", {"rP": parameter("/p", "1")})
    done = world.run("deploy")
    if name == "waiting":
        assert done.code == 2
        assert "stack one: does not exist yet, and waits for the change set waiting" in done.err
        assert world.status("one") == "REVIEW_IN_PROGRESS"
    else:
        assert (done.code, done.statuses) == (0, {"one": "created"})


def test_a_change_set_that_cannot_be_made_leaves_no_empty_stack(world: World) -> None:
    world.stack("one", {"rA": {"Type": "AWS::Nothing::Known"}})
    done = world.run("deploy")
    assert done.code == 1
    assert "stack one" in done.stacks["one"]["error"]["message"]
    wait_for(lambda: world.status("one") == "")


def test_a_stack_that_somebody_is_at_work_on(world: World) -> None:
    world.stack("one", {"rQueue": QUEUE})
    world.stack("two", {"rQueue": QUEUE})
    with world.waiting() as slow:
        body = json.dumps({"Resources": {"rSlow": slow}})
        world.client("cloudformation").create_stack(StackName="one", TemplateBody=body)
        done = world.run("deploy")
    assert done.code == 2
    assert "stack one: is in CREATE_IN_PROGRESS: somebody else is at work on it" in done.err
    assert world.status("two") == ""


def through(world: World, proxy: Proxy) -> list[str]:
    return [
        f"http://localhost:{proxy.port}" if each == f"http://localhost:{world.port}" else each
        for each in world.arguments("deploy")
    ]


def test_the_slower_of_two_deployments_is_told(world: World) -> None:
    """The other executes its change set while ours is about to be executed."""
    world.stack("one", {"rA": parameter("/a", "1")})
    assert world.run("deploy").code == 0

    def faster() -> None:
        cloudformation = world.client("cloudformation")
        theirs = {"StackName": "one", "ChangeSetName": "theirs"}
        body = json.dumps({"Resources": {"rA": parameter("/a", "theirs")}})
        cloudformation.create_change_set(**theirs, TemplateBody=body)
        waited = {"WaiterConfig": {"Delay": 1}}
        cloudformation.get_waiter("change_set_create_complete").wait(**theirs, **waited)
        cloudformation.execute_change_set(**theirs)
        cloudformation.get_waiter("stack_update_complete").wait(StackName="one", **waited)

    with between(world.port) as proxy:
        proxy.before["ExecuteChangeSet"] = faster
        world.stack("one", {"rA": parameter("/a", "ours")})
        done = world.run_exactly(through(world, proxy), {})
    assert (done.code, done.statuses) == (1, {"one": "failed"})
    assert "stack one: was changed by somebody else since its change set was made" in done.err
    assert "run again when that is done" in done.err
    assert world.client("ssm").get_parameter(Name="/a")["Parameter"]["Value"] == "theirs"
    assert world.client("cloudformation").list_change_sets(StackName="one")["Summaries"] == []


def test_a_stack_that_others_began_to_change_meanwhile(world: World) -> None:
    world.stack("one", {"rA": parameter("/a", "1")})
    assert world.run("deploy").code == 0

    def faster() -> None:
        world.client("cloudformation").update_stack(
            StackName="one", TemplateBody=json.dumps({"Resources": {"rSlow": slow}})
        )

    with world.waiting() as slow, between(world.port) as proxy:
        proxy.before["CreateChangeSet"] = faster
        world.stack("one", {"rA": parameter("/a", "ours")})
        done = world.run_exactly(through(world, proxy), {})
    assert (done.code, done.statuses) == (1, {"one": "failed"})
    assert "stack one: somebody else is at work on it" in done.err


def test_throttled_calls_are_repeated(world: World) -> None:
    """Every action that a deployment uses."""
    world.stack("one", {"rA": parameter("/a", "1")}, StackPolicy={"Statement": [
        {"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"}
    ]})  # fmt: skip
    actions = ["DescribeStacks", "CreateChangeSet", "DescribeChangeSet", "ExecuteChangeSet",
               "DescribeStackEvents", "SetStackPolicy", "ListStackResources"]  # fmt: skip
    with between(world.port) as proxy:
        proxy.throttled = dict.fromkeys(actions, 1)
        done = world.run_exactly(through(world, proxy), {})
        assert (done.code, done.statuses) == (0, {"one": "created"}), done.err
        assert proxy.refused == dict.fromkeys(actions, 1)
    assert world.client("ssm").get_parameter(Name="/a")["Parameter"]["Value"] == "1"


def test_throttling_that_goes_on_is_endured_while_events_are_followed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws, "ATTEMPTS", 2)
    world.stack("one", {"rA": parameter("/a", "1")})
    with between(world.port) as proxy:
        # After the look for the newest event: more refusals than one question's attempts.
        proxy.before["ExecuteChangeSet"] = lambda: proxy.throttled.update(DescribeStackEvents=5)
        done = world.run_exactly(through(world, proxy), {})
        assert (done.code, proxy.refused) == (0, {"DescribeStackEvents": 5}), done.err


def test_throttling_that_does_not_end_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws, "ATTEMPTS", 2)
    world.stack("one", {"rA": parameter("/a", "1")})
    with between(world.port) as proxy:
        proxy.throttled = {"CreateChangeSet": 1000}
        done = world.run_exactly(through(world, proxy), {})
        assert proxy.refused["CreateChangeSet"] == 2
    assert done.code == 1
    assert "CloudFormation: Throttling: Rate exceeded (2 attempts)" in done.err
    assert "run again when less is asked" in done.err


def test_an_operation_that_takes_too_long(world: World) -> None:
    world.stack("one", many(300))
    done = world.run("deploy", "--timeout", "0.3s")
    assert (done.code, done.statuses) == (1, {"one": "failed"})
    assert "CloudFormation goes on by itself" in done.err or "works on its change set" in done.err


@pytest.fixture
def begun(world: World) -> subprocess.Popen[str]:
    """A deployment of a stack that takes a while, as a process of its own."""
    world.stack("one", many(300))
    return subprocess.Popen(
        [*COMMAND, *world.arguments("deploy")], cwd=ROOT, env=surroundings(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def test_ctrl_c_ends_the_watching_and_says_that_the_stack_goes_on(
    begun: subprocess.Popen[str], world: World
) -> None:
    wait_for(lambda: world.status("one") == "CREATE_IN_PROGRESS")
    asked = time.monotonic()
    begun.send_signal(signal.SIGINT)
    _, err = begun.communicate(timeout=10)
    assert time.monotonic() - asked < 5
    assert begun.returncode == 130
    assert "one: CloudFormation goes on by itself" in err
    report = json.loads((world.root / "out/report.json").read_text())
    assert report["outcome"] == "interrupted"
    assert [stack["status"] for stack in report["stacks"]] == ["interrupted"]
    wait_for(lambda: world.status("one") == "CREATE_COMPLETE")


def test_ctrl_c_does_not_wait_for_an_answer_that_does_not_come(world: World) -> None:
    world.stack("one", {"rQueue": QUEUE})
    with between(world.port) as proxy:
        proxy.hung = {"CreateChangeSet"}
        process = subprocess.Popen(
            [*COMMAND, *through(world, proxy)], cwd=ROOT, env=surroundings(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        line = ""
        while "capabilities" not in line:
            assert process.stderr is not None
            line = process.stderr.readline()
            assert line, "it ended"
        time.sleep(0.5)
        asked = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert process.returncode == 130
        assert time.monotonic() - asked < 6


def test_ctrl_c_leaves_nothing_of_a_change_set(world: World) -> None:
    world.stack("one", {"rQueue": QUEUE})
    with between(world.port) as proxy:
        proxy.hung = {"DescribeChangeSet"}
        process = subprocess.Popen(
            [*COMMAND, *through(world, proxy)], cwd=ROOT, env=surroundings(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        wait_for(lambda: world.status("one") == "REVIEW_IN_PROGRESS")
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert process.returncode == 130
    wait_for(lambda: world.status("one") == "")


def test_an_infrastructure_stack_that_we_may_not_see(world: World) -> None:
    """What it would tell is given, or is done without."""
    world.stack("one", {"rQueue": QUEUE})
    with between(world.port) as proxy:
        proxy.refusal = ("AccessDenied", "not authorized to perform: cloudformation:DescribeStacks")
        proxy.throttled = {"DescribeStacks": 1}
        done = world.run_exactly(through(world, proxy), {})
        assert proxy.refused == {"DescribeStacks": 1}
    assert done.code == 0, done.err
    assert "role of CloudFormation: none" in done.err


def test_a_bucket_that_is_not_there_or_elsewhere(world: World) -> None:
    world.stack("one", {"rQueue": QUEUE})
    argv = world.arguments("deploy")
    argv[argv.index("--bucket") + 1] = "nowhere-at-all"
    missing = world.run_exactly(argv, {})
    assert missing.code == 2
    assert "bucket nowhere-at-all: is not there" in missing.err
    world.client("s3")
    there = "eu-west-3" if world.region != "eu-west-3" else "eu-west-2"
    other = World(world.root, world.port, there, world.registry, "", world.prefix)
    other.client("s3").create_bucket(
        Bucket=f"{world.bucket}-far", CreateBucketConfiguration={"LocationConstraint": there}
    )
    argv[argv.index("--bucket") + 1] = f"{world.bucket}-far"
    far = world.run_exactly(argv, {})
    assert far.code == 2
    assert f"is in {there}; the stacks are in {world.region}" in far.err


def test_without_a_bucket_and_an_infrastructure_stack(world: World) -> None:
    world.stack("one", {"rQueue": QUEUE})
    argv = world.arguments("deploy")
    del argv[argv.index("--bucket") : argv.index("--bucket") + 2]
    done = world.run_exactly(argv, {})
    assert done.code == 2
    assert "bucket: none is named, and no stack datalake-infra-resources tells of one" in done.err


@pytest.mark.parametrize("command", ["deploy", "rollback", "destroy", "record"])
def test_without_a_local_cloud(command: str, world: World, tmp_path: Path) -> None:
    from ci.home import Home

    world.stack("one", {"rQueue": QUEUE})
    argv = world.arguments(command)
    del argv[argv.index("--endpoint-url") : argv.index("--endpoint-url") + 2]
    world.home = Home(tmp_path / "nobody")
    done = world.run_exactly(argv, {})
    assert done.code == 2
    assert "local cloud: does not run" in done.err
    assert "python ci/main.py" in done.err


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://127.0.0.1:1", "nobody answers at http://127.0.0.1:1"),
        ("https://aws.example.com", "is not on this machine; --target local stays on it"),
    ],
)
def test_an_address_of_nobody(url: str, says: str, world: World) -> None:
    world.stack("one", {"rQueue": QUEUE})
    argv = world.arguments("deploy")
    argv[argv.index("--endpoint-url") + 1] = url
    began = time.monotonic()
    done = world.run_exactly(argv, {})
    assert (done.code, time.monotonic() - began < 3) == (2, True)
    assert says in done.err


def test_without_an_artifact(world: World) -> None:
    done = world.run("deploy")
    assert done.code == 2
    assert f"{world.artifact}: is not there: nothing is packaged" in done.err
    assert "python ci/main.py app" in done.err


def test_wrong_parameters(world: World) -> None:
    about = {"pSize": {"Type": "Number"}, "pName": {"Type": "String"}}
    world.stack("one", {"rQueue": QUEUE}, Parameters=about, parameters={"pSize": "x", "pNam": "y"})
    done = world.run("deploy")
    assert done.code == 2
    for said in ("has pSize = 'x', which is no number", "lacks pName", "did you mean pName?"):
        assert said in done.err


def test_without_credentials(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    world.stack("one", {"rQueue": QUEUE})
    done = world.run("deploy", "--target", "aws")
    assert done.code == 2
    assert "AWS credentials: there are none" in done.err


def test_the_local_cloud_playing_aws(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the rehearsal calls the commands of the buildspecs."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://localhost:{world.port}")
    world.stack("one", {"rA": world.function("a", world.image("a", "1"))})
    done = world.run("deploy", "--target", "aws")
    assert (done.code, done.statuses) == (0, {"one": "created"}), done.err


def test_credentials_that_lapse_in_the_middle_fail_the_work(world: World) -> None:
    """Wrong input that shows once something was started is a failure: not "nothing was started"."""
    world.stack("one", {"rA": parameter("/a", "1")})
    with between(world.port) as proxy:
        proxy.refusal = EXPIRED
        proxy.before["ExecuteChangeSet"] = lambda: proxy.throttled.update(
            DescribeStackEvents=1000, ListStackResources=1000
        )
        done = world.run_exactly(through(world, proxy), {})
    assert (done.code, done.statuses) == (1, {"one": "failed"})
    assert "AWS credentials: ExpiredToken" in done.stacks["one"]["error"]["message"]
    assert "AWS credentials: ExpiredToken" in done.report["error"]["message"]
