"""Which stack comes before which: by exports and imports, and by parameters of SSM.

A stack that imports comes after the one that exports. One that reads an SSM parameter, by the type
of a parameter of its own or by a dynamic reference, comes after the one that declares it. Pure.

Sources: AWS CloudFormation User Guide, "Get exported outputs from a deployed stack",
"CloudFormation-supplied parameter types", "Get a plaintext value from Systems Manager Parameter
Store".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ci.cfn_parameters import as_text
from ci.deploy import nested
from ci.errors import InputError
from ci.package.expressions import Scope, Unknown
from ci.package.places import at
from ci.package.templates import Template

_DYNAMIC = re.compile(r"\{\{resolve:ssm(?:-secure)?:([^:}]+)(?::\d+)?\}\}")
_LOOKED_UP = ("AWS::SSM::Parameter::Value<", "AWS::SSM::Parameter::Name")

Before = Mapping[str, Mapping[str, str]]
"""Stack → the stacks that come before it, each with why."""


@dataclass(frozen=True)
class Links:
    """What a stack gives to others and takes from them: names of exports, of SSM parameters."""

    name: str
    exports: frozenset[str] = frozenset()
    imports: frozenset[str] = frozenset()
    declares: frozenset[str] = frozenset()
    reads: frozenset[str] = frozenset()


def links(
    name: str, template: Template, given: Mapping[str, str], pseudo: Mapping[str, str]
) -> Links:
    """The links of a stack and of those nested in it. ``given`` are its parameters' values.

    A name that only the deployment can tell links nothing.
    """
    exports: set[str] = set()
    imports: set[str] = set()
    declares: set[str] = set()
    reads = set(_looked_up(template, given))
    for part in nested.parts(template, nested.known(template, given, pseudo)):
        document, scope = part.document, part.scope
        exports |= set(_names(_at_each(document, "Outputs", scope, ("Export", "Name")), scope))
        parameters = (
            at(resource, ("Properties", "Name"))
            for resource in _section(document, "Resources", scope)
            if resource.get("Type") == "AWS::SSM::Parameter"
        )
        declares |= set(_names(parameters, scope))
        for node in _live(document, scope):
            if isinstance(node, dict) and "Fn::ImportValue" in node:
                imports |= set(_names([node["Fn::ImportValue"]], scope))
            if isinstance(node, str) or (isinstance(node, dict) and len(node) == 1):
                for text in _names([node], scope):
                    reads |= set(_DYNAMIC.findall(text))
    return Links(name, *map(frozenset, (exports, imports, declares, reads)))


def before(stacks: Sequence[Links]) -> Before:
    """The stacks that come before each; of several reasons the first by name.

    Raises InputError where two stacks give the same name.
    """
    exporter = _owners({stack.name: stack.exports for stack in stacks}, "export")
    declarer = _owners({stack.name: stack.declares for stack in stacks}, "declare")
    found: dict[str, dict[str, str]] = {}
    for stack in stacks:
        reasons = found.setdefault(stack.name, {})
        takes = [(exporter, "imports", each) for each in sorted(stack.imports)]
        takes += [(declarer, "reads", each) for each in sorted(stack.reads)]
        for owners, verb, name in takes:
            if (owner := owners.get(name)) and owner != stack.name:
                reasons.setdefault(owner, f"{verb} {name}")
    return found


def ordered(needs: Before) -> list[str]:
    """Every stack after those that it needs, else by name. Raises InputError for a circle."""
    left, done = dict(needs), list[str]()
    while left:
        ready = sorted(name for name, reasons in left.items() if not reasons.keys() & left.keys())
        if not ready:
            raise _circle(left)
        done.append(ready[0])
        del left[ready[0]]
    return done


def for_deletion(needs: Before) -> list[str]:
    """Every stack after those that need it; where that leaves a choice, in deployment order."""
    order = ordered(needs)
    left, done = list(order), list[str]()
    while left:
        free = next(n for n in left if not any(n in needs[other] for other in left if other != n))
        done.append(free)
        left.remove(free)
    return done


def _circle(left: Before) -> InputError:
    path = [min(left)]
    while (following := min(left[path[-1]].keys() & left.keys())) not in path:
        path.append(following)
    circle = path[path.index(following) :]
    told = "; ".join(
        f"{name} {left[name][other]} of {other}"
        for name, other in zip(circle, [*circle[1:], circle[0]], strict=True)
    )
    what = f"need each other, so none can be deployed first: {told}"
    fix = "move what is shared into a stack of its own that the others need"
    return InputError(f"stacks {', '.join(circle)}", what, fix)


def _owners(given: Mapping[str, frozenset[str]], verb: str) -> dict[str, str]:
    """Who gives each name. Raises InputError where two do."""
    owners: dict[str, str] = {}
    for stack, names in given.items():
        for name in sorted(names):
            if name in owners:
                where = f"stacks {owners[name]} and {stack}"
                fix = "give it another name in one of them"
                raise InputError(where, f"both {verb} {name}", fix)
            owners[name] = stack
    return owners


def _looked_up(template: Template, given: Mapping[str, str]) -> Iterator[str]:
    """The SSM parameters that a template's own parameters name."""
    for name, about in template.declared.items():
        if str(about.get("Type")).startswith(_LOOKED_UP):
            value = given.get(name, about.get("Default"))
            if value is not None:
                yield as_text(value)


def _names(values: Any, scope: Scope) -> Iterator[str]:
    for value in values:
        try:
            yield scope.text(value)
        except (Unknown, RecursionError):
            continue


def _section(document: Mapping[str, Any], section: str, scope: Scope) -> Iterator[dict[str, Any]]:
    """The members of a section that no condition rules out."""
    members = document.get(section)
    for member in members.values() if isinstance(members, dict) else ():
        if isinstance(member, dict) and (
            "Condition" not in member or scope.holds(member["Condition"]) is not False
        ):
            yield member


def _at_each(
    document: Mapping[str, Any], section: str, scope: Scope, place: tuple[str, ...]
) -> Iterator[Any]:
    for member in _section(document, section, scope):
        yield at(member, place)


def _live(document: Mapping[str, Any], scope: Scope) -> Iterator[Any]:
    """Every value in the resources and outputs that may come to be."""
    for section in ("Resources", "Outputs"):
        for member in _section(document, section, scope):
            yield from _below(member, scope)


def _below(node: Any, scope: Scope) -> Iterator[Any]:
    yield node
    if isinstance(node, dict) and set(node) == {"Fn::If"}:
        choice = node["Fn::If"]
        if isinstance(choice, list) and len(choice) == 3:
            holds = scope.holds(choice[0])
            for index in (1, 2):
                if holds is None or holds == (index == 1):
                    yield from _below(choice[index], scope)
        return
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        yield from _below(child, scope)
