"""``rollback``: the functions that the last deployment gave another image get their old one back.

Nothing else goes back: the deployed templates are taken as they are, with other images in them. It
is recorded as every deployment is, so a second rollback goes forward again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ci import cfn_yaml
from ci.deploy import bucket, found, plans, record
from ci.deploy.desk import together
from ci.deploy.images import Use, look_up
from ci.deploy.outcome import Kept, StackOutcome
from ci.deploy.plans import Draft
from ci.deploy.reach import Reach
from ci.deploy.record import Recording, tags
from ci.deploy.running import Function, functions
from ci.errors import InputError, InputErrors, PipelineError, once_started
from ci.package import stacks
from ci.package.places import Place, put
from ci.package.references import NESTED, SAM_FUNCTION
from ci.registry.reference import Reference
from ci.settings import Settings


@dataclass(frozen=True)
class Return:
    """A function and the image that it goes back to."""

    function: Function
    image: Reference


class Rollback:
    """A run of ``rollback``. What has come of it can be read at any time."""

    takes_bucket = True

    def __init__(self, settings: Settings) -> None:
        self._names = stack_names(settings)
        self._done: dict[str, StackOutcome] = {}
        self.recording: Recording | None = None
        self.kept: list[Kept] = []

    @property
    def stacks(self) -> list[StackOutcome]:
        """How each stack ended so far."""
        nothing = "none of its functions goes back to another image"
        return [
            self._done.get(name) or StackOutcome(name, "unchanged", nothing) for name in self._names
        ]

    async def tell(self, reach: Reach) -> None:
        """Rolls back. Raises InputErrors before anything is started."""
        say = reach.desk.say
        seen = await record.look(reach, await functions(reach.desk, self._names))
        returns = wanted(reach, seen)
        if not returns:
            _, previous = tags(reach.settings.prefix)
            what = f"no function of {', '.join(self._names)} ran another image before"
            fix = f"deploy first; the images before carry the tag {previous} in their repositories"
            raise InputError("rollback", what, fix)
        await _require(reach, returns)
        drafts = await together(
            [name for name in self._names if any(r.function.stack == name for r in returns)],
            lambda name: _draft(reach, name, [r for r in returns if r.function.stack == name]),
        )
        plan = await plans.planned(reach, list(drafts.values()), "deploy other images instead")
        plans.tell(reach, plan)
        for name in plan.jobs:
            self._done[name] = StackOutcome(name, "skipped", "nothing was done to it")
        with once_started():
            # A deployment that nobody recorded: only this moment knows what ran before it.
            await record.move(reach, seen)
            await plans.execute(reach, plan, self._done)
            after = await functions(reach.desk, self._names)
            self.recording = await record.move(reach, await record.look(reach, after))
        for line in record.told(reach, self.recording):
            say(line)
        self._judge(returns, after)
        say("a second rollback goes forward again, to the images that ran until now")

    def _judge(self, returns: Sequence[Return], after: Sequence[Function]) -> None:
        """Raises PipelineError for a function that did not go back with its stack."""
        now = {each.name: each.image for each in after}
        for each in returns:
            stack, name = each.function.stack, each.function.name
            if self._done[stack].ok and now.get(name) != each.image:
                what = f"still runs {now.get(name)}: it was changed without its stack {stack}"
                raise PipelineError(f"function {name}", what, "deploy again")


def stack_names(settings: Settings) -> list[str]:
    """The names of the application's stacks, by directory. Raises InputErrors without any."""
    problems: list[InputError] = []
    room = settings.source / stacks.ROOM
    names = list(stacks.named(room, problems).values())
    if not names and not problems:
        problems.append(InputError(str(room), "has no stack in it", "name the tree with --source"))
    if problems:
        raise InputErrors(problems)
    return names


def wanted(reach: Reach, seen: record.Look) -> list[Return]:
    """The functions that ran another image before, each with that one. Pure."""
    result = []
    for each in seen.functions:
        digest = seen.before.get(reach.place(each.image).path, "")
        if digest and digest != each.image.digest:
            image = Reference(each.image.host, each.image.path, digest=digest)
            result.append(Return(each, image))
    return result


async def _require(reach: Reach, returns: Sequence[Return]) -> None:
    """Raises InputErrors for images that are not to be had any more."""
    uses = [Use(each.function.stack, each.function.logical_id, each.image) for each in returns]
    digests = await look_up(reach, uses)
    problems = [
        InputError(
            f"function {each.function.name} of stack {each.function.stack}",
            f"ran {each.image} before, which the registry {reach.place(each.image).host} no longer "
            "holds",
            "deploy another image instead",
        )
        for each in returns
        if digests[each.image] is None
    ]
    if problems:
        raise InputErrors(problems)


async def _draft(reach: Reach, name: str, returns: Sequence[Return]) -> Draft:
    """A stack's deployed template with other images in it, all else as it is."""
    there = await found.stack(reach.desk, name)
    if not there:
        raise PipelineError(f"stack {name}", "is gone", "deploy it")
    places = {(*each.function.within, each.function.logical_id): each.image for each in returns}
    document = await _rewritten(reach, there.id, name, places)
    declared = document.get("Parameters") or {}
    return Draft(
        name, f"template of {name}", cfn_yaml.dump(document), document,
        dict.fromkeys(declared), there.parameters,
    )  # fmt: skip


async def _rewritten(
    reach: Reach, stack_id: str, where: str, wanted: Mapping[tuple[str, ...], Reference]
) -> dict[str, Any]:
    """The template of a stack with other images, those of nested stacks in templates that are
    uploaded for it. ``wanted`` is by logical ids, those of nested stacks first."""
    desk = reach.desk
    document = await found.template(desk, stack_id)
    first = {place[0] for place in wanted}
    if not first <= (document.get("Resources") or {}).keys():
        # A loop makes them, or a macro: CloudFormation keeps what came of it.
        document = await found.template(desk, stack_id, processed=True)
    here = {place[0]: image for place, image in wanted.items() if len(place) == 1}
    for name, image in here.items():
        put(document, _image_of(document, name, where), str(image))
    nested = {each.logical_id: each for each in await found.resources(desk, stack_id)}
    for name in sorted(first - here.keys()):
        below = {place[1:]: image for place, image in wanted.items() if place[0] == name}
        inner = await _rewritten(reach, nested[name].physical_id, f"{where}/{name}", below)
        url = await bucket.upload(desk, cfn_yaml.dump(inner), f"{where}/{name}")
        kind = document["Resources"][name]["Type"]
        put(document, ("Resources", name, "Properties", NESTED[kind]), url)
    return document


def _image_of(document: dict[str, Any], name: str, where: str) -> Place:
    """Where a function's image stands in a template. Raises PipelineError where it has none."""
    resource = (document.get("Resources") or {}).get(name) or {}
    properties: Place = ("Resources", name, "Properties")
    if resource.get("Type") == SAM_FUNCTION:
        return (*properties, "ImageUri")
    if resource.get("Type") == "AWS::Lambda::Function":
        # Whatever decides on the code, such as Fn::If, gives way.
        resource["Properties"]["Code"] = {}
        return (*properties, "Code", "ImageUri")
    what = f"has no function {name} in its template, though the stack runs one"
    raise PipelineError(where, what, "deploy the images of before instead")
