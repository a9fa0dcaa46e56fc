"""Against awslambdaric's protocol, spoken here by hand over real sockets."""

import asyncio
import json
import time

import aiohttp
import pytest

from ci.local.lambdas.runtime_api import MAX_EVENT, MAX_RESPONSE, serving

ARN = "arn:aws:lambda:us-east-1:123456789012:function:f"


class Runtime:
    """The function's side of the Runtime API."""

    def __init__(self, port: int, http: aiohttp.ClientSession) -> None:
        self._base = f"http://127.0.0.1:{port}/2018-06-01/runtime"
        self._http = http

    async def next(self):
        async with self._http.get(f"{self._base}/invocation/next") as answer:
            return answer.headers, await answer.read()

    async def post(self, path: str, body: bytes, **headers: str):
        async with self._http.post(f"{self._base}/{path}", data=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def work(self, handler, times: int) -> None:
        for _ in range(times):
            headers, event = await self.next()
            request_id = headers["Lambda-Runtime-Aws-Request-Id"]
            await self.post(f"invocation/{request_id}/response", handler(event))


def on_loop(scenario):
    """Run ``scenario(api, runtime)`` with a server and a runtime's connection."""

    async def main():
        async with serving(ARN) as api, aiohttp.ClientSession() as http:
            await asyncio.wait_for(scenario(api, Runtime(api.port, http)), 20)

    asyncio.run(main())


def test_an_invocation_carries_what_lambda_gives_a_runtime():
    async def scenario(api, runtime):
        invocation = asyncio.create_task(api.invoke(b'{"a": 1}', 7))
        begun = time.time()
        headers, event = await runtime.next()
        assert event == b'{"a": 1}'
        assert headers["Lambda-Runtime-Invoked-Function-Arn"] == ARN
        deadline = int(headers["Lambda-Runtime-Deadline-Ms"]) / 1000
        assert begun + 6.9 < deadline < time.time() + 7.1
        request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        status, _ = await runtime.post(f"invocation/{request_id}/response", b'"done"')
        assert status == 202
        result = await invocation
        assert (result.ok, result.json()) == (True, "done")

    on_loop(scenario)


def test_many_invocations_queue_for_one_runtime_and_keep_their_own_results():
    async def scenario(api, runtime):
        worker = asyncio.create_task(runtime.work(lambda event: b"[" + event + b"]", 200))
        results = await asyncio.gather(*(api.invoke(b"%d" % n, 5) for n in range(200)))
        assert [result.json() for result in results] == [[n] for n in range(200)]
        await worker

    on_loop(scenario)


def test_a_handlers_error_comes_back_with_its_type():
    async def scenario(api, runtime):
        invocation = asyncio.create_task(api.invoke(b"{}", 5))
        headers, _ = await runtime.next()
        request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        error = {"errorType": "KeyError", "errorMessage": "'x'", "stackTrace": []}
        await runtime.post(f"invocation/{request_id}/error", json.dumps(error).encode())
        result = await invocation
        assert (result.ok, result.error_type, result.json()) == (False, "KeyError", error)

    on_loop(scenario)


def test_the_time_limit_counts_from_when_the_runtime_takes_the_event():
    async def scenario(api, runtime):
        invocation = asyncio.create_task(api.invoke(b"{}", 0.2))
        await asyncio.sleep(0.4)
        assert not invocation.done()
        headers, _ = await runtime.next()
        result = await invocation
        assert result.error_type == "Sandbox.Timedout"
        request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        message = f"RequestId: {request_id} Error: Task timed out after 0.20 seconds"
        assert result.json()["errorMessage"] == message
        status, answer = await runtime.post(f"invocation/{request_id}/response", b"1")
        assert (status, answer["errorType"]) == (400, "InvalidRequestID")

    on_loop(scenario)


def test_an_error_of_initialization_is_the_result_of_every_invocation():
    async def scenario(api, runtime):
        waiting = asyncio.create_task(api.invoke(b"{}", 5))
        await asyncio.sleep(0)
        header = {"Lambda-Runtime-Function-Error-Type": "Runtime.ImportModuleError"}
        await runtime.post("init/error", b'{"errorMessage": "no module"}', **header)
        for result in (await waiting, await api.invoke(b"{}", 5)):
            assert result.error_type == "Runtime.ImportModuleError"
            assert result.json() == {"errorMessage": "no module"}

    on_loop(scenario)


@pytest.mark.parametrize("body", [b"", b"garbage", b"[1]", b"{}"])
def test_an_error_report_without_a_type_is_an_error_still(body):
    async def scenario(api, runtime):
        await runtime.post("init/error", body)
        result = await api.invoke(b"{}", 5)
        assert (result.error_type, result.payload) == ("Runtime.Unknown", body)

    on_loop(scenario)


def test_an_invocation_that_was_given_up_is_not_handed_out():
    async def scenario(api, runtime):
        given_up = asyncio.create_task(api.invoke(b'"first"', 5))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait([given_up])
        second = asyncio.create_task(api.invoke(b'"second"', 5))
        await runtime.work(lambda event: event, 1)
        assert (await second).json() == "second"

    on_loop(scenario)


def test_a_runtime_that_went_away_leaves_its_place_in_the_queue():
    async def scenario(api, runtime):
        gone = asyncio.create_task(runtime.next())
        await asyncio.sleep(0.1)
        gone.cancel()
        await asyncio.sleep(0.1)
        invocation = asyncio.create_task(api.invoke(b"1", 5))
        await runtime.work(lambda event: event, 1)
        assert (await invocation).json() == 1

    on_loop(scenario)


def test_sizes_beyond_lambdas_quotas_are_refused_as_lambda_does():
    async def scenario(api, runtime):
        assert (await api.invoke(b"1" * (MAX_EVENT + 1), 5)).error_type == "RequestTooLarge"
        invocation = asyncio.create_task(api.invoke(b"1", 5))
        headers, _ = await runtime.next()
        path = f"invocation/{headers['Lambda-Runtime-Aws-Request-Id']}/response"
        status, answer = await runtime.post(path, b"1" * (MAX_RESPONSE + 1))
        assert (status, answer["errorType"]) == (413, "Function.ResponseSizeTooLarge")
        assert (await invocation).error_type == "Function.ResponseSizeTooLarge"

        largest = asyncio.create_task(api.invoke(b"1" * MAX_EVENT, 5))
        await runtime.work(lambda _: b"2" * MAX_RESPONSE, 1)
        assert len((await largest).payload) == MAX_RESPONSE

    on_loop(scenario)


def test_the_server_ends_at_once_while_a_runtime_waits_for_work():
    async def main():
        async with aiohttp.ClientSession() as http:
            async with serving(ARN) as api:
                waiting = asyncio.create_task(Runtime(api.port, http).next())
                await asyncio.sleep(0.1)
                begun = time.monotonic()
            assert time.monotonic() - begun < 2
            with pytest.raises(aiohttp.ClientError):
                await waiting

    asyncio.run(main())
