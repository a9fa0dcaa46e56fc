"""Which session a run gets, and what it hears where it gets none."""

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import anyio
import pytest
from aiohttp import web

from ci.engine import session as module
from ci.engine.session import open_session
from ci.errors import InputError, PipelineError
from ci.home import Home


def attempt(choice: str, environ: Mapping[str, str]) -> module.Session:
    async def main() -> module.Session:
        async with open_session(choice, Home(Path("/nonexistent/home")), environ) as session:
            return session

    return anyio.run(main)


def program(directory: Path, text: str) -> dict[str, str]:
    """An environment whose PATH starts with a ``dagger`` that is this shell script."""
    path = directory / "dagger"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return {"PATH": f"{directory}:{os.environ['PATH']}"}


def test_dagger_is_wanted_and_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no `dagger` CLI on PATH") as caught:
        attempt("dagger", {"PATH": str(tmp_path)})
    assert "--engine embedded" in caught.value.fix


def test_a_cli_that_ends_at_once(tmp_path: Path) -> None:
    environ = program(tmp_path, "echo 'cannot reach the engine' >&2; exit 1")
    with pytest.raises(PipelineError) as caught:
        attempt("dagger", environ)
    assert caught.value.where == str(tmp_path / "dagger")
    assert "ended without starting a session\n    cannot reach the engine" in caught.value.what
    assert "--engine embedded" in caught.value.fix


def test_a_cli_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLI_SECONDS", 0.3)
    with pytest.raises(PipelineError, match="did not start a session within"):
        attempt("dagger", program(tmp_path, "exec sleep 60"))


def test_a_cli_that_answers_something_else(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="answered something that is no session"):
        attempt("dagger", program(tmp_path, "echo hello; sleep 60"))


def test_auto_goes_on_to_the_embedded_engine(tmp_path: Path) -> None:
    """Which then says what it lacks: this home has nothing installed."""
    with pytest.raises(PipelineError) as caught:
        attempt("auto", program(tmp_path, "exit 1"))
    assert "embedded engine" in caught.value.where


@pytest.mark.parametrize(
    ("environ", "what"),
    [
        ({"DAGGER_SESSION_PORT": "x", "DAGGER_SESSION_TOKEN": "t"}, "is 'x', no port"),
        ({"DAGGER_SESSION_PORT": "80"}, "is set without DAGGER_SESSION_TOKEN"),
        ({"DAGGER_SESSION_PORT": "1", "DAGGER_SESSION_TOKEN": "t"}, "does not answer"),
    ],
)
def test_an_environment_that_names_no_session(environ: dict[str, str], what: str) -> None:
    with pytest.raises(InputError, match=what) as caught:
        attempt("auto", environ)
    assert "unset DAGGER_SESSION_PORT" in caught.value.fix


def served(
    status: int, body: str, inside: Callable[[module.Session], None] = lambda _: None
) -> module.Session:
    """An attempt at a session that answers every request so."""

    async def main() -> module.Session:
        async def answer(_: web.Request) -> web.Response:
            return web.Response(status=status, text=body, content_type="application/json")

        app = web.Application()
        app.router.add_post("/query", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = str(runner.addresses[0][1])
        environ = {"DAGGER_SESSION_PORT": port, "DAGGER_SESSION_TOKEN": "t"}
        try:
            async with open_session("auto", Home(Path("/nonexistent")), environ) as session:
                inside(session)
                return session
        finally:
            await runner.cleanup()

    return anyio.run(main)


def test_a_session_that_refuses_the_token() -> None:
    with pytest.raises(InputError, match="refuses the session token"):
        served(401, "")


@pytest.mark.parametrize(("status", "body"), [(200, "<html>"), (404, "{}"), (200, '{"data":1}')])
def test_a_port_that_is_no_session(status: int, body: str) -> None:
    with pytest.raises(InputError, match=f"is none: HTTP {status}"):
        served(status, body)


def test_inside_dagger_run() -> None:
    session = served(200, '{"data":{"version":"v0.21.8"}}')
    assert (session.kind, session.version) == ("dagger", "v0.21.8")
    assert session.how == "inside dagger run"


def test_the_sdk_finds_the_session_only_while_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGGER_SESSION_PORT", "before")
    monkeypatch.delenv("DAGGER_SESSION_TOKEN", raising=False)
    seen = {}

    def note(session: module.Session) -> None:
        seen[os.environ["DAGGER_SESSION_PORT"]] = os.environ["DAGGER_SESSION_TOKEN"]

    session = served(200, '{"data":{"version":"v0.21.8"}}', note)
    assert seen == {str(session.port): "t"}
    assert os.environ["DAGGER_SESSION_PORT"] == "before"
    assert "DAGGER_SESSION_TOKEN" not in os.environ
