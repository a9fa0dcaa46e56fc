"""What is to be deployed, judged as a whole before anything is started, and then done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ci.deploy import capabilities, images, order, schedule
from ci.deploy import stack as one_stack
from ci.deploy.bucket import with_nested
from ci.deploy.desk import together
from ci.deploy.hindrances import hindrances
from ci.deploy.nested import known
from ci.deploy.order import Before
from ci.deploy.outcome import StackOutcome
from ci.deploy.reach import Reach
from ci.deploy.stack import Job, Rules
from ci.errors import InputErrors
from ci.package import parameters


@dataclass(frozen=True)
class Draft:
    """A stack as it is to be. ``where`` names its template for the user. ``given`` are its
    parameters as in ``Job``, ``values`` what they come to."""

    name: str
    where: str
    text: str
    document: dict[str, Any]
    given: Mapping[str, str | None]
    values: Mapping[str, str]
    tags: Mapping[str, str] | None = None
    policy: str | None = None


@dataclass(frozen=True)
class Plan:
    """What is deployed, and what comes before what."""

    jobs: Mapping[str, Job]
    needs: Before


async def planned(reach: Reach, drafts: Sequence[Draft], lacking: str) -> Plan:
    """The plan of a deployment. ``lacking`` is what to do about images that are not there.

    Raises InputErrors with all that speaks against it.
    """
    by_name = {draft.name: draft for draft in drafts}

    async def read(name: str) -> Any:
        draft = by_name[name]
        return await with_nested(reach.desk, draft.document, Path(draft.where))

    templates = await together(by_name, read)
    pseudo = {name: reach.cloud.pseudo_parameters(name) for name in by_name}
    needs = order.before([
        order.links(name, templates[name], draft.values, pseudo[name])
        for name, draft in by_name.items()
    ])  # fmt: skip
    order.ordered(needs)
    problems = await hindrances(reach.desk, list(by_name))
    used = {
        name: images.uses(name, templates[name], known(templates[name], draft.values, pseudo[name]))
        for name, draft in by_name.items()
    }
    everything = [use for uses in used.values() for use in uses]
    digests = await images.look_up(reach, everything)
    problems += images.missing(reach, everything, digests, lacking)
    if problems:
        raise InputErrors(problems)
    jobs = {
        name: Job(
            name, draft.where, draft.text, draft.given, draft.tags, draft.policy,
            capabilities.needed(templates[name]), bool(templates[name].nested),
            {use.place: digests[use.image] or "" for use in used[name]},
            parameters.shown(
                templates[name].declared,
                {key: value for key, value in draft.given.items() if value is not None},
            ),
        )
        for name, draft in by_name.items()
    }  # fmt: skip
    return Plan(jobs, needs)


def tell(reach: Reach, plan: Plan) -> None:
    """Says what is about to be done, and with which rights."""
    say = reach.desk.say
    say(f"order: {_in_words(plan.needs)}")
    say(f"role of CloudFormation: {reach.role or 'none, so the rights of the credentials at hand'}")
    for name, job in plan.jobs.items():
        say(f"{name}: capabilities {', '.join(job.capabilities) or 'none'}")


async def execute(reach: Reach, plan: Plan, done: dict[str, StackOutcome]) -> None:
    """Deploys what is planned, and notes how each stack ended."""
    rules = Rules(reach.role, reach.settings.allow_replacement)

    def note(outcome: StackOutcome) -> None:
        done[outcome.name] = outcome
        mark = "✓" if outcome.ok else "✗"
        why = f" ({outcome.why})" if outcome.why else ""
        reach.desk.say(f"{mark} stack {outcome.name} {outcome.status}{why}")
        if outcome.error:
            reach.desk.say(f"  {outcome.error}")

    def skip(name: str, other: str) -> None:
        why = f"it {plan.needs[name][other]} of {other}, which is {done[other].status}"
        note(StackOutcome(name, "skipped", why, plan.jobs[name].where))

    await schedule.run(
        plan.needs, lambda name: one_stack.deploy(plan.jobs[name], reach.desk, rules, note), skip
    )


def _in_words(needs: Before) -> str:
    """``a; then b and c; then d``: what goes side by side stands together."""
    left, waves = dict(needs), list[str]()
    while left:
        wave = [name for name in order.ordered(left) if not left[name].keys() & left.keys()]
        waves.append(" and ".join(wave))
        for name in wave:
            del left[name]
    return "; then ".join(waves)
