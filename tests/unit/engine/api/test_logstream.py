import asyncio
import base64
import json
from pathlib import Path

import pytest

from ci.engine.api.logstream import TRACE, LogStream, trace_of
from ci.engine.buildkit.rawjson import Event

ID = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        (f"00-{ID}-b7ad6b7169203331-01", ID),
        (None, "0" * 32),
        ("", "0" * 32),
        (f"00-{ID}", "0" * 32),
        (f"00-{ID.upper()}-b7ad6b7169203331-01", "0" * 32),
    ],
)
def test_trace_of_a_header(header: str | None, trace: str) -> None:
    assert trace_of(header) == trace


def test_every_subscriber_gets_every_record_whenever_it_comes(tmp_path: Path) -> None:
    async def read(stream: LogStream, after: int = 0) -> list[tuple[int, dict]]:
        return [(n, json.loads(text)) async for n, text in stream.follow(after)]

    async def main() -> None:
        stream = LogStream(tmp_path / "log")
        early = asyncio.create_task(read(stream))
        await asyncio.sleep(0)
        TRACE.set(ID)
        solve = stream.listener()
        solve(Event("start", "sha256:1", "RUN x"))
        solve(Event("log", "sha256:1", "RUN x", b"one\n", stream=1))
        await asyncio.sleep(0.01)
        late = asyncio.create_task(read(stream, after=1))
        await asyncio.sleep(0.01)
        solve(Event("log", "sha256:1", "RUN x", b"two\n", stream=1))
        solve(Event("done", "sha256:1", "RUN x"))
        stream.close()
        first, second = await early, await late
        bodies = [record_of(event)["body"]["stringValue"] for _, event in first]
        assert bodies == ["one\n", "two\n", ""]
        assert [number for number, _ in first] == [1, 2, 3]
        assert second == first[1:]
        records = [record_of(event) for _, event in first]
        assert {base64.b64decode(r["traceId"]).hex() for r in records} == {ID}
        assert {"key": "stdio.eof", "value": {"boolValue": True}} in records[-1]["attributes"]

    def record_of(event: dict) -> dict:
        return event["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]

    asyncio.run(main())
