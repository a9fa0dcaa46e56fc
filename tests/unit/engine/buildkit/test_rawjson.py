import asyncio
import base64
import json

import pytest

from ci.engine.buildkit.rawjson import (
    Event,
    ExecFailure,
    Progress,
    SolveError,
    command_of,
)
from ci.engine.buildkit.redact import Secrets

START, END = "2026-01-02T03:04:05.25Z", "2026-01-02T03:04:06.750000001Z"


class Heard:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.closed = False

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None:
        self.closed = True


class Said:
    """Standard error of a process that has ended."""

    def __init__(self, *lines: dict | str) -> None:
        self.stderr = asyncio.StreamReader()
        for line in lines:
            self.stderr.feed_data(
                (line if isinstance(line, str) else json.dumps(line)).encode() + b"\n"
            )
        self.stderr.feed_eof()


def followed(*lines: dict | str, secret: str = "") -> tuple[Progress, list[Event]]:
    secrets, heard = Secrets(), Heard()
    if secret:
        secrets.set("s", secret)
    progress = Progress(secrets, heard)

    async def main() -> None:
        await progress.follow(Said(*lines))  # type: ignore[arg-type]

    asyncio.run(main())
    progress.close()
    assert heard.closed
    return progress, heard.events


def log(text: str, stream: int = 1) -> dict:
    data = base64.b64encode(text.encode()).decode()
    return {"logs": [{"vertex": "sha256:a", "stream": stream, "data": data}]}


def vertex(**more: object) -> dict:
    return {"vertexes": [{"digest": "sha256:a", "name": "RUN x", **more}]}


def test_a_step_from_start_to_end() -> None:
    _, events = followed(
        vertex(), vertex(started=START), log("one"), log("two"),
        vertex(started=START, completed=END), vertex(started=START, completed=END),
    )  # fmt: skip
    assert [(e.kind, e.data) for e in events] == [
        ("start", b""), ("log", b"one"), ("log", b"two"), ("done", b""),
    ]  # fmt: skip
    assert events[-1].seconds == pytest.approx(1.5)


def test_a_cached_step_is_no_done_one() -> None:
    _, events = followed(vertex(started=START, completed=END, cached=True))
    assert [event.kind for event in events] == ["start", "cached"]


def test_a_secret_in_two_pieces_of_a_log_is_not_heard() -> None:
    progress, events = followed(
        vertex(started=START), log("a sec"), log("ret b"), vertex(completed=END, error="secret!"),
        "error: failed to solve: secret!", secret="secret",
    )  # fmt: skip
    assert b"".join(e.data for e in events if e.kind == "log") == b"a *** b"
    assert "secret" not in str(events)
    assert str(progress.error()) == "***!"


def test_a_failed_command_with_its_output() -> None:
    message = (
        'process "/bin/sh -c echo \\"x\\"; exit 7" did not complete successfully: exit code: 7'
    )
    progress, _ = followed(
        vertex(started=START), log("out\n"), log("err\n", 2),
        vertex(completed=END, error=message), f"error: failed to solve: {message}",
    )  # fmt: skip
    error = progress.error()
    assert isinstance(error, ExecFailure)
    assert (error.code, error.stdout, error.stderr) == (7, "out", "err")
    assert error.cmd == ["/bin/sh", "-c", 'echo "x"; exit 7']


def test_other_errors_keep_the_words_of_buildkit() -> None:
    progress, _ = followed("error: failed to solve: dockerfile parse error on line 2: x")
    assert type(progress.error()) is SolveError
    assert str(progress.error()) == "dockerfile parse error on line 2: x"
    progress, _ = followed('error: failed to calculate checksum: "/nope": not found')
    assert str(progress.error()).endswith("stat /nope: no such file or directory")
    assert str(followed()[0].error()) == "buildctl ended without a message"


@pytest.mark.parametrize(
    ("process", "command"),
    [
        ('/.dagger-embedded-shim {"args":["sh","-c","echo \\"x\\""],"out":"/o"}',
         ["sh", "-c", 'echo "x"']),
        ("/bin/sh -c echo a  b", ["/bin/sh", "-c", "echo a  b"]),
        ("/bin/tool --flag x", ["/bin/tool", "--flag", "x"]),
    ],
)  # fmt: skip
def test_the_command_of_a_failed_step(process: str, command: list[str]) -> None:
    assert command_of(process) == command
