"""The function host and what drives it, against the local cloud: queues, schedules, events."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from anyio import to_thread
from kit import local_cloud
from kit.functions import surroundings, variant
from kit.local_cloud import REGION, LocalCloud
from kit.pipeline import ROOT, processes_with

from ci.local.functions import ACCOUNT
from ci.local.lambdas.host import Host, hosting

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "lambda.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)
ECR = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"


@dataclass
class World:
    """A local cloud with a host at work. Names are the test's own: nobody else's queue is read."""

    cloud: LocalCloud
    host: Host
    out: Path
    uri: str
    name: str

    def client(self, service: str) -> Any:
        return self.cloud.client(service)

    async def function(self, handler: str, **more: Any) -> str:
        """A function of the image of handlers; its name."""
        given = {"Timeout": 20, "MemorySize": 256} | more
        config = {"Command": [f"handlers.{handler}"]} | given.pop("ImageConfig", {})
        await self.call(
            "lambda", "create_function", FunctionName=self.name, PackageType="Image",
            Role=f"arn:aws:iam::{ACCOUNT}:role/any", ImageConfig=config,
            Code={"ImageUri": given.pop("uri", self.uri)}, **given,
        )  # fmt: skip
        return self.name

    async def call(self, service: str, method: str, **arguments: Any) -> Any:
        call = getattr(self.client(service), method)
        return await to_thread.run_sync(lambda: call(**arguments))

    async def invoke(self, event: object, kind: str = "RequestResponse") -> tuple[Any, str]:
        """What the API answers, and its FunctionError."""
        answer = await self.call(
            "lambda", "invoke", FunctionName=self.name, Payload=json.dumps(event),
            InvocationType=kind,
        )  # fmt: skip
        text = answer["Payload"].read()
        return json.loads(text) if text else None, answer.get("FunctionError", "")

    async def queue(self, suffix: str = "", **attributes: str) -> str:
        made = await self.call(
            "sqs", "create_queue", QueueName=f"{self.name}{suffix}", Attributes=attributes
        )
        return str(made["QueueUrl"])

    async def queues(self, attempts: int = 2) -> tuple[str, str]:
        """A queue and its dead-letter queue; a failed message is back after a second."""
        dead = await self.queue("-dlq")
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{self.name}-dlq"
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": attempts})
        return await self.queue(VisibilityTimeout="60", RedrivePolicy=policy), dead

    async def mapping(self, **more: Any) -> str:
        made = await self.call(
            "lambda", "create_event_source_mapping", FunctionName=self.name,
            EventSourceArn=f"arn:aws:sqs:{REGION}:{ACCOUNT}:{self.name}", **more,
        )  # fmt: skip
        return str(made["UUID"])

    async def send(self, url: str, *bodies: str) -> None:
        for body in bodies:
            await self.call("sqs", "send_message", QueueUrl=url, MessageBody=body)

    async def bodies(self, url: str, count: int, seconds: float = 40) -> list[str]:
        """The bodies of so many messages, once they are there; they are taken out."""
        found: list[str] = []
        deadline = time.monotonic() + seconds
        while len(found) < count:
            assert time.monotonic() < deadline, f"{found} after {seconds} s; {self.log()}"
            answer = await self.call("sqs", "receive_message", QueueUrl=url, MaxNumberOfMessages=10)
            for message in answer.get("Messages", []):
                found.append(message["Body"])
                handle = message["ReceiptHandle"]
                await self.call("sqs", "delete_message", QueueUrl=url, ReceiptHandle=handle)
            await asyncio.sleep(0.1)
        return sorted(found)

    async def logged(self, words: str, seconds: float = 30) -> str:
        deadline = time.monotonic() + seconds
        while words not in (log := self.log()):
            assert time.monotonic() < deadline, log
            await asyncio.sleep(0.1)
        return log

    def log(self) -> str:
        files = sorted((self.out / "lambda" / self.name).glob("*.log"))
        return "".join(file.read_text() for file in files)


@pytest.fixture(scope="module")
async def hosted(session, local_registry, image, tmp_path_factory):
    directory = tmp_path_factory.mktemp("hosted")
    with local_cloud.running(directory / "home", local_registry.host) as cloud:
        cloud.client("iam").create_role(RoleName="any", AssumeRolePolicyDocument=TRUST)
        out = directory / "out"
        helper = surroundings(out).helper
        async with hosting(cloud.cloud, local_registry.host, helper, out) as host:
            path = image.partition("/")[2].partition(":")[0]
            uri = f"{ECR}/{path}@{image.partition('@')[2]}"
            yield World(cloud, host, out, uri, "")


@pytest.fixture
def world(hosted, request):
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)[-50:].strip("-")
    yield World(hosted.cloud, hosted.host, hosted.out, hosted.uri, name)
    client = hosted.client("lambda")
    for each in client.list_event_source_mappings()["EventSourceMappings"]:
        client.delete_event_source_mapping(UUID=each["UUID"])


async def test_invoke_gives_what_the_handler_returns(world):
    await world.function("counting")
    assert await world.invoke({"ä": 1}) == ({"event": {"ä": 1}, "count": 1}, "")
    assert await world.invoke(2) == ({"event": 2, "count": 2}, "")


async def test_a_functions_error_is_lambdas_answer(world):
    await world.function("raising")
    answer, error = await world.invoke({})
    assert error == "Unhandled"
    assert (answer["errorType"], answer["errorMessage"]) == ("ValueError", "on purpose")
    assert answer["stackTrace"]


async def test_time_out_memory_and_variables_are_those_of_the_configuration(world):
    variables = {"OWN": "value", "AWS_LAMBDA_FUNCTION_NAME": "mine"}
    await world.function("telling", Timeout=7, MemorySize=300, Environment={"Variables": variables})
    told, _ = await world.invoke({})
    assert told["environ"]["OWN"] == "value"
    assert (told["memory"], told["left"] <= 7000) == ("300", True)
    assert told["arn"] == f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{world.name}"
    assert told["environ"]["AWS_ENDPOINT_URL"].startswith("http://aws.localhost:")


async def test_another_configuration_gets_another_environment_at_once(world):
    await world.function("counting", Environment={"Variables": {"A": "1"}})
    assert (await world.invoke(1))[0]["count"] == 1
    assert (await world.invoke(1))[0]["count"] == 2
    await world.call(
        "lambda", "update_function_configuration", FunctionName=world.name,
        Environment={"Variables": {"A": "2"}},
    )  # fmt: skip
    assert (await world.invoke(1))[0]["count"] == 1


async def test_another_image_is_run_at_once_and_the_one_before_after_a_rollback(world, image):
    other = await variant(image, "handlers", "def counting(event, context): return 'other'\n")
    uri = f"{ECR}/{other.partition('/')[2].partition(':')[0]}@{other.partition('@')[2]}"
    await world.function("counting")
    assert (await world.invoke(1))[0]["count"] == 1
    for given, answer in ((uri, "other"), (world.uri, {"event": 1, "count": 1})):
        await world.call("lambda", "update_function_code", FunctionName=world.name, ImageUri=given)
        assert (await world.invoke(1))[0] == answer


async def test_an_event_beyond_the_quota_is_refused(world):
    await world.function("counting")
    client = world.client("lambda")
    with pytest.raises(client.exceptions.ClientError) as raised:
        await world.invoke("x" * (6 * 1024 * 1024))
    assert raised.value.response["Error"]["Code"] == "RequestTooLargeException"


async def test_a_function_that_the_cloud_does_not_have(world):
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(f"{world.host.url}/functions/no-such/invocations", content="{}")
    assert answer.status_code == 404
    assert answer.json()["Type"] == "ResourceNotFoundException"


async def test_messages_that_succeed_are_deleted(world):
    queue, dead = await world.queues()
    await world.function("batch")
    await world.mapping(FunctionResponseTypes=["ReportBatchItemFailures"])
    await world.send(queue, "a", "b", "c")
    for body in "abc":
        await world.logged(f"'{body}'")
    assert await world.host.drained(20)
    attributes = await world.call(
        "sqs", "get_queue_attributes", QueueUrl=dead, AttributeNames=["All"]
    )
    assert attributes["Attributes"]["ApproximateNumberOfMessages"] == "0"


async def test_only_messages_that_failed_come_to_the_dead_letters(world):
    queue, dead = await world.queues()
    await world.function("batch")
    await world.mapping(FunctionResponseTypes=["ReportBatchItemFailures"], BatchSize=10)
    await world.send(queue, "good", "bad 1", "good", "bad 2")
    assert await world.bodies(dead, 2) == ["bad 1", "bad 2"]
    assert world.log().count("'bad 1'") == 2  # as often as the queue says


async def test_an_answer_that_makes_no_sense_fails_the_batch(world):
    queue, dead = await world.queues()
    await world.function("nonsense")
    await world.mapping(FunctionResponseTypes=["ReportBatchItemFailures"])
    await world.send(queue, "a")
    assert await world.bodies(dead, 1) == ["a"]


@pytest.mark.parametrize(
    ("handler", "error"),
    [
        ("raising", "on purpose"),
        ("exiting", "Runtime.ExitError"),
        ("unserialisable", "Runtime.MarshalError"),
        ("sleeping", "Sandbox.Timedout"),
        ("missing", "Runtime.HandlerNotFound"),
        ("eating", "Runtime.OutOfMemory"),
    ],
)
async def test_every_kind_of_failure_comes_to_the_redrive_policy(world, image, handler, error):
    uri, module = world.uri, "handlers"
    if handler in ("sleeping", "eating"):
        code = (
            "import time\n"
            "def sleeping(event, context): time.sleep(60)\n"
            "def eating(event, context): len(b'x' * (200 << 20))\n"
        )
        made, module = await variant(image, "failing", code), "failing"
        uri = f"{ECR}/{made.partition('/')[2].partition(':')[0]}@{made.partition('@')[2]}"
    queue, dead = await world.queues()
    config = {"Command": [f"{module}.{handler}"]}
    await world.function(handler, uri=uri, Timeout=2, MemorySize=128, ImageConfig=config)
    await world.mapping()
    await world.send(queue, "a")
    assert await world.bodies(dead, 1) == ["a"]
    told = (world.out / "lambda" / "host.log").read_text()
    assert f"1 of 1 messages of {world.name}: " in told
    assert error in told + world.log()


async def test_a_mapping_that_is_disabled_is_not_read(world):
    queue, _ = await world.queues()
    await world.function("batch")
    uuid = await world.mapping(Enabled=False)
    await world.send(queue, "later")
    await asyncio.sleep(3)
    assert not world.log()
    await world.call("lambda", "update_event_source_mapping", UUID=uuid, Enabled=True)
    await world.logged("'later'")


async def test_a_queue_that_is_gone_is_told_and_read_again_when_it_is_back(world):
    queue, _ = await world.queues()
    await world.function("batch")
    await world.mapping()
    await world.send(queue, "first")
    await world.logged("'first'")
    await world.call("sqs", "delete_queue", QueueUrl=queue)
    diary = world.out / "lambda" / "host.log"
    deadline = time.monotonic() + 20
    while f"queue {world.name}: Amazon SQS: " not in diary.read_text():
        assert time.monotonic() < deadline, diary.read_text()
        await asyncio.sleep(0.1)
    queue = await world.queue(VisibilityTimeout="60")
    await world.send(queue, "second")
    await world.logged("'second'")


async def test_an_event_is_repeated_twice_and_its_failure_told(world):
    await world.function("raising")
    told = await world.queue()
    await world.call(
        "lambda", "put_function_event_invoke_config", FunctionName=world.name,
        DestinationConfig={
            "OnFailure": {"Destination": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{world.name}"}
        },
    )  # fmt: skip
    assert await world.invoke({"a": 1}, "Event") == (None, "")
    [text] = await world.bodies(told, 1)
    record = json.loads(text)
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 3
    assert record["requestPayload"] == {"a": 1}
    assert record["responseContext"]["functionError"] == "Unhandled"
    assert record["responsePayload"]["errorMessage"] == "on purpose"
    assert world.log().count("START RequestId: ") == 3


async def test_an_event_that_lambda_may_not_repeat_goes_to_the_dead_letters_at_once(world):
    dead = await world.queue()
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{world.name}"
    await world.function("exiting", DeadLetterConfig={"TargetArn": arn})
    await world.call(
        "lambda", "put_function_event_invoke_config",
        FunctionName=world.name, MaximumRetryAttempts=0,
    )  # fmt: skip
    await world.invoke({"a": 1}, "Event")
    assert [json.loads(body) for body in await world.bodies(dead, 1)] == [{"a": 1}]
    assert world.log().count("START RequestId: ") == 1


async def test_an_event_that_succeeds_is_told_to_a_function(world):
    """The destination is the function itself: what it is told it counts as an event."""
    await world.function("counting")
    listener = World(world.cloud, world.host, world.out, world.uri, f"{world.name}-2")
    await listener.function("talking")
    await world.call(
        "lambda", "put_function_event_invoke_config", FunctionName=world.name,
        DestinationConfig={"OnSuccess": {
            "Destination": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{listener.name}"
        }},
    )  # fmt: skip
    await world.invoke({"a": 1}, "Event")
    log = await listener.logged("on stdout")
    assert "'condition': 'Success'" in log
    assert "'responsePayload': {'event': {'a': 1}, 'count': 1}" in log


async def test_a_schedule_invokes_sixty_times_as_fast(world):
    await world.function("talking")
    await world.call("events", "put_rule", Name=world.name, ScheduleExpression="rate(1 minute)")
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{world.name}"
    target = {"Id": "1", "Arn": arn, "Input": "0"}
    await world.call("events", "put_targets", Rule=world.name, Targets=[target])
    try:
        await world.logged("on stdout 0")
        began = time.monotonic()
        before = world.log().count("on stdout 0")
        while world.log().count("on stdout 0") < before + 4:
            assert time.monotonic() < began + 20
            await asyncio.sleep(0.05)
        assert 2 < time.monotonic() - began < 12
    finally:
        await world.call("events", "disable_rule", Name=world.name)
    await asyncio.sleep(2.5)
    count = world.log().count("on stdout 0")
    await asyncio.sleep(2.5)
    assert world.log().count("on stdout 0") == count


async def test_drained_waits_for_what_is_in_flight(world):
    queue, _ = await world.queues()
    await world.function("batch")
    assert await world.host.drained(20)
    await world.send(queue, "waits")
    assert not await world.host.drained(1.5)  # nobody reads it yet
    await world.mapping()
    assert await world.host.drained(20)
    assert "'waits'" in world.log()


PROGRAM = """
import asyncio, os, sys
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
import anyio, dagger
from kit.functions import surroundings
from ci.cloud import _LOCAL_CREDENTIALS, Cloud
from ci.engine.session import open_session
from ci.home import Home
from ci.interrupts import Interrupted, running
from ci.local.lambdas.host import hosting

async def main():
    cloud = Cloud({account!r}, {region!r}, "", _LOCAL_CREDENTIALS, {port})
    out = Path({out!r})
    async with (
        open_session("embedded", Home.from_environ(os.environ), os.environ),
        dagger.connection(),
        hosting(cloud, {registry!r}, surroundings(out).helper, out) as host,
    ):
        print(host.url, flush=True)
        await asyncio.sleep(300)

try:
    running(main)
except Interrupted:
    sys.exit(130)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_nothing_is_left_of_a_host_that_is_ended(world, local_registry, tmp_path, number):
    """While a function is at work, by Ctrl-C, by a CI system, and by force."""
    await world.function("sleeping", Timeout=60)
    mark = {"HOST_MARK": f"{os.getpid()}-{number}"}
    variables = {"Variables": mark}
    await world.call(
        "lambda", "update_function_configuration",
        FunctionName=world.name, Environment=variables,
    )  # fmt: skip
    program = PROGRAM.format(
        root=str(ROOT), tests=str(ROOT / "tests"), account=ACCOUNT, region=REGION,
        port=world.cloud.cloud.port, out=str(tmp_path), registry=local_registry.host,
    )  # fmt: skip
    with subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, env=os.environ | mark, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            url = await to_thread.run_sync(process.stdout.readline)
            async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
                path = f"{url.strip()}/functions/{world.name}/invocations"
                asleep = asyncio.create_task(http.post(path, content="50"))
                log = tmp_path / "lambda" / world.name
                deadline = time.monotonic() + 40
                while not any("START" in file.read_text() for file in log.glob("*.log")):
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.1)
                began = time.monotonic()
                process.send_signal(number)
                code = await to_thread.run_sync(process.wait)
                assert time.monotonic() - began < 5
                with pytest.raises(httpx.HTTPError):
                    await asleep
        finally:
            process.kill()
            async with httpx.AsyncClient(trust_env=False) as http:  # the others' host again
                api = f"http://127.0.0.1:{world.cloud.cloud.port}/_local/function-host"
                known = (await http.get(api)).json()["url"]
                await http.put(api, json={"url": world.host.url})
    assert code == (130 if number != signal.SIGKILL else -signal.SIGKILL)
    if number != signal.SIGKILL:  # nobody can take leave then
        assert known != url.strip()
    deadline = time.monotonic() + 10
    while left := processes_with(mark):
        assert time.monotonic() < deadline, left
        await asyncio.sleep(0.1)


async def test_without_a_host_lambda_says_what_runs_functions(world):
    await world.function("counting")
    api = f"http://127.0.0.1:{world.cloud.cloud.port}/_local/function-host"
    async with httpx.AsyncClient(trust_env=False) as http:
        await http.request("DELETE", api, json={"url": world.host.url})
        try:
            client = world.client("lambda")
            with pytest.raises(client.exceptions.ClientError) as raised:
                await world.invoke({})
        finally:
            await http.put(api, json={"url": world.host.url})
    assert raised.value.response["Error"]["Code"] == "ServiceException"
    assert "no functions run" in str(raised.value)
