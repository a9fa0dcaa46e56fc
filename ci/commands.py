"""The commands: each takes settings and gives an exit code."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import IO

from ci.errors import InputError, InputErrors
from ci.home import Home
from ci.planning import build_info, plan_view
from ci.planning.build_info import BuildInfo
from ci.planning.plan import Plan, make
from ci.settings import Settings

_LOCAL_HOST = "127.0.0.1:5000"
_SOME_ACCOUNT = "0" * 12


def run(
    settings: Settings, environ: Mapping[str, str], home: Home, out: IO[str], err: IO[str]
) -> int:
    """Does what ``settings.command`` says. Raises PipelineError, KeyboardInterrupt."""
    if settings.command == "engine":
        from ci.engine_command import engine

        return engine(settings, environ, home, out)
    from ci.rehearsal import infrastructure

    settings = infrastructure.as_rehearsed(settings)
    if settings.command == "sample":
        return _sample(settings, environ, home, out, err)
    if settings.command in ("deploy", "record", "rollback", "destroy"):
        from ci.deploy import command

        return command.run(settings, environ, home, out, err)
    if settings.command == "rehearse" and not settings.only:
        from ci.rehearsal import command as rehearsal

        if rehearsal.declared(settings):

            def judged(chosen: Settings) -> Plan:
                return planned(chosen, environ, home, start=True)

            return rehearsal.rehearse(settings, environ, home, judged, out, err)
    if settings.command == "plan":
        return _show_plan(settings, environ, home, out)
    return _build(settings, environ, home, out, err)


def _sample(
    settings: Settings, environ: Mapping[str, str], home: Home, out: IO[str], err: IO[str]
) -> int:
    from ci.sample import commands as sample

    given = (settings, environ, home, out, err)
    match settings.action:
        case "load":
            return sample.load(*given)
        case "upload":
            return sample.upload(*given, data=settings.data, dataset=settings.dataset)
        case "watch":
            return sample.watch(*given)
        case "account":
            return sample.account(*given)
        case "query":
            return sample.query(*given, dataset=settings.dataset)
        case "redrive":
            return sample.redrive(*given, dataset=settings.dataset)
    return sample.walk(*given)


def _show_plan(settings: Settings, environ: Mapping[str, str], home: Home, out: IO[str]) -> int:
    plan = planned(settings, environ, home)
    if settings.json:
        json.dump(plan_view.as_json(plan), out, indent=2, ensure_ascii=False)
        out.write("\n")
    else:
        out.write(plan_view.as_text(plan))
    return 0


def planned(
    settings: Settings, environ: Mapping[str, str], home: Home, *, start: bool = False
) -> Plan:
    """The plan. With ``start``, a local registry runs afterwards; but not before all else is
    found to be right. Raises InputErrors with all problems."""
    problems: list[InputError] = []
    build = BuildInfo(None, None)
    try:
        build = build_info.detect(settings, environ)
    except InputErrors as found:
        problems += found.errors
    if settings.ca_bundle and not settings.ca_bundle.is_file():
        origin = settings.origins["ca_bundle"]
        fix = "name a file of PEM certificates"
        problems.append(InputError(origin, f"{settings.ca_bundle} is no file", fix))
    try:
        make(settings, build, _first_guess(settings, home))
    except InputErrors as found:
        problems += found.errors
    if problems:
        raise InputErrors(problems)
    registry, origin = _registry(settings, environ, home, start=start)
    origins = {**settings.origins, "registry": origin}
    return make(replace(settings, registry=registry, origins=origins), build, registry)


def _first_guess(settings: Settings, home: Home) -> str:
    """The registry, as far as it can be known without asking anybody."""
    if settings.registry:
        return settings.registry
    if not settings.on_this_machine:
        return f"{_SOME_ACCOUNT}.dkr.ecr.{settings.region}.amazonaws.com"
    return _LOCAL_HOST


def _registry(
    settings: Settings, environ: Mapping[str, str], home: Home, *, start: bool
) -> tuple[str, str]:
    """The registry of the run and where it comes from."""
    if settings.registry:
        return settings.registry, settings.origins["registry"]
    if not settings.on_this_machine:
        from ci import aws

        account = aws.account(settings.region)
        return aws.ecr_host(account, settings.region), "the account of the credentials (STS)"
    from ci.local import registry as local_registry

    if start:
        return local_registry.ensure(home, environ).host, "local registry"
    running = local_registry.status(home)
    return (running.host if running else _LOCAL_HOST), "local registry"


def _build(
    settings: Settings, environ: Mapping[str, str], home: Home, out: IO[str], err: IO[str]
) -> int:
    """``layer``, ``app`` and ``rehearse``. The report is written however the run ends."""
    started, clock = datetime.now(UTC), time.monotonic()
    plan = planned(settings, environ, home, start=True)
    # Only now what costs a second to import: what is wrong with the input is told before.
    from ci import ending, report
    from ci.building.story import Story
    from ci.console import Console, folds_of

    folds = folds_of(environ)
    console = Console(err, folds, settings.report, len(plan.images))
    for note in plan.notes:
        console.say(f"note: {note}")
    # Folded logs and the engine's own progress would run into each other.
    progress = None if folds else err
    story = Story(plan)
    ended = ending.of(lambda: story.tell(home, environ, console, progress))
    seconds = time.monotonic() - clock
    result = story.report(started, seconds, ended.error, interrupted=ended.interrupted)
    return ending.told(result, settings, report.summarize, out, err)
