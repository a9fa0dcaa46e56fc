"""What there is to destroy, and in which order it goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ci.deploy import found, order, owned, purge, states
from ci.deploy.bucket import with_nested
from ci.deploy.desk import together
from ci.deploy.found import Found
from ci.deploy.order import Before, Links
from ci.deploy.owned import Piece
from ci.deploy.reach import Reach
from ci.deploy.stateful import holds_data
from ci.errors import InputError, InputErrors, PipelineError
from ci.package.templates import Template


@dataclass(frozen=True)
class Survey:
    """Stacks by name, and what each consists of. ``after`` says what each has to wait for, and
    why; ``order`` is one that keeps to it."""

    there: Mapping[str, Found]
    pieces: Mapping[str, Sequence[Piece]]
    after: Before
    order: Sequence[str]


async def survey(reach: Reach, names: Sequence[str], infrastructure: str) -> Survey:
    """What there is of the application's stacks, ``names``, and of the infrastructure's.

    Raises InputErrors for stacks that cannot be deleted as they are.
    """
    desk = reach.desk
    everything = await together([*names, infrastructure], lambda name: found.stack(desk, name))
    there = {name: stack for name, stack in everything.items() if stack}
    if problems := [problem for stack in there.values() for problem in _hindrances(stack)]:
        raise InputErrors(problems)
    pieces = await together(there, lambda name: owned.pieces(desk, name, there[name].id))
    application = [name for name in there if name != infrastructure]
    links = await together(application, lambda name: _links(reach, there[name]))
    needs = order.before(list(links.values()))
    after: dict[str, dict[str, str]] = {name: {} for name in order.for_deletion(needs)}
    for name, reasons in needs.items():
        for other, why in reasons.items():
            after[other][name] = why
    if infrastructure in there:
        after[infrastructure] = dict.fromkeys(application, "is deployed by it")
    return Survey(there, pieces, after, list(after))


def told(seen: Survey, *, purged: bool) -> Iterator[str]:
    """What goes and what stays, in words."""
    for name in seen.order:
        pieces = seen.pieces[name]
        going = [piece for piece in pieces if not piece.stays]
        yield f"stack {name} goes, with {len(going)} of its {len(pieces)} resources"
        for piece in going:
            if holds_data(piece.kind):
                yield f"  with all that it holds: {_told(piece)}"
        for piece in pieces:
            if piece.stays and purged and purge.known(piece.kind):
                yield f"  purged, though declared Retain: {_told(piece)}"
            elif piece.stays:
                yield f"  stays: {_told(piece)}"


def _told(piece: Piece) -> str:
    return f"{piece.kind} {piece.physical_id} ({piece.place})"


def _hindrances(stack: Found) -> Iterator[InputError]:
    where = f"stack {stack.name}"
    if stack.protected:
        fix = (
            "lift it: aws cloudformation update-termination-protection "
            f"--no-enable-termination-protection --stack-name {stack.name}"
        )
        yield InputError(where, "is protected against deletion", fix)
    busy = not states.ended(stack.status) and stack.status != states.REVIEW
    if busy and stack.status != "DELETE_IN_PROGRESS":
        what = f"is in {stack.status}: somebody is at work on it"
        yield InputError(where, what, "wait until that is done, and run again")


async def _links(reach: Reach, stack: Found) -> Links:
    """What a deployed stack exports and imports, by the template that it was made from."""
    if stack.status == states.REVIEW:
        return Links(stack.name)
    document = await found.template(reach.desk, stack.id)
    try:
        template = await with_nested(reach.desk, document, Path(stack.name))
    except PipelineError:
        # Nested templates may be gone with their bucket; the stack can still be deleted.
        template = Template(Path(stack.name), document)
    pseudo = reach.cloud.pseudo_parameters(stack.name)
    links = order.links(stack.name, template, stack.parameters, pseudo)
    # A deletion does not care about SSM parameters: what read them has read them.
    return replace(links, declares=frozenset(), reads=frozenset())
