"""Image URIs of templates, nailed to digests.

A change set then touches exactly the functions whose image changed: a tag would be another one
for every function, in every build.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ci.package import parameters
from ci.package.expressions import NOTHING, Scope, Unknown
from ci.package.places import Place, at, put, resources, tell
from ci.package.references import GLOBALS, SAM_FUNCTION
from ci.package.stacks import Stack
from ci.package.templates import Template
from ci.registry.reference import InvalidReference, Reference, parse

_URI: Mapping[str, Place] = {
    "AWS::Lambda::Function": ("Code", "ImageUri"),
    SAM_FUNCTION: ("ImageUri",),
}


@dataclass(frozen=True)
class Images:
    """The images of a run: name of each function → its repository at its digest.

    ``tags`` are those that the run put on each. ``registry`` is where they are, and
    ``account_registry`` the host of the account's ECR, by which templates call it: the same on
    AWS, while a local registry stands in for it.
    """

    built: Mapping[str, Reference]
    tags: Sequence[str]
    registry: str
    account_registry: str

    def place(self, reference: Reference) -> Reference:
        """Where the image that a template names can be had."""
        host, _, folder = self.registry.partition("/")
        if reference.host != self.account_registry:
            return reference
        return replace(
            reference, host=host, path=f"{folder}/{reference.path}" if folder else reference.path
        )

    def named(self, reference: Reference) -> tuple[str, Reference] | None:
        """The function of the run whose repository ``reference`` names, and its image."""
        repository = self.place(reference).repository
        for name, image in self.built.items():
            if image.repository == repository:
                return name, image
        return None


@dataclass(frozen=True)
class Use:
    """An image that a stack runs. ``where`` is the property; ``function`` is blank for an image
    that is none of the run's; ``made`` says whether the run pushed just this image."""

    where: str
    uri: str
    reference: Reference
    function: str = ""
    made: bool = False


@dataclass(frozen=True)
class Pinned:
    """A stack's template, all that it runs, and remarks for the user."""

    template: Template
    uses: tuple[Use, ...]
    notes: tuple[str, ...]


def pinned(stack: Stack, images: Images, pseudo: Mapping[str, str], *, by_digest: bool) -> Pinned:
    """The images of a stack and its nested stacks; ``by_digest`` pins those of the run.

    ``pseudo`` are the pseudo parameters (``AWS::Region`` …). An URI that only the deployment can
    tell stays as it is, with a note.
    """
    template = stack.template
    values = {**parameters.known(template.declared, stack.parameters.values), **pseudo}
    uses: list[Use] = []
    notes: list[str] = []
    result = _pinned(template, values, _Work(images, by_digest, uses, notes))
    return Pinned(result, tuple(uses), tuple(notes))


@dataclass(frozen=True)
class _Work:
    images: Images
    by_digest: bool
    uses: list[Use]
    notes: list[str]


def _pinned(template: Template, values: Mapping[str, str], work: _Work) -> Template:
    scope = Scope(values, template.document)
    document = copy.deepcopy(template.document)
    for place, value in uris(template.document, scope):
        where = f"{template.path}: {tell(place)}"
        try:
            uri = scope.text(value)
            use = _use(where, uri, work.images)
        except Unknown as unknown:
            work.notes.append(f"{where}: only the deployment tells it ({unknown}): left as it is")
            continue
        except InvalidReference as error:
            work.notes.append(f"{where}: {uri!r} is no image ({error}): left as it is")
            continue
        if work.by_digest and use.function and not use.reference.digest:
            image = work.images.built[use.function]
            use = replace(use, uri=f"{use.reference.repository}@{image.digest}", made=True)
            put(document, place, use.uri)
        work.uses.append(use)
    nested = tuple(
        (place, _pinned(child, child_values(template, place, child, scope), work))
        for place, child in template.nested
    )
    return replace(template, document=document, nested=nested)


def _use(where: str, uri: str, images: Images) -> Use:
    reference = parse(uri)
    if not (found := images.named(reference)):
        return Use(where, uri, reference)
    name, image = found
    made = reference.digest == image.digest if reference.digest else reference.tag in images.tags
    return Use(where, uri, reference, name, made)


def uris(document: dict[str, Any], scope: Scope) -> Iterator[tuple[Place, Any]]:
    """Every image URI; those of resources and branches that a condition rules out are not."""
    for place, resource in resources(document):
        path = _URI.get(str(resource.get("Type")))
        if path and (
            "Condition" not in resource or scope.holds(resource["Condition"]) is not False
        ):
            yield from _branches(resource, ("Properties", *path), place, scope)
    yield from _branches(document, (*GLOBALS, "ImageUri"), (), scope)


def _branches(node: Any, path: Place, place: Place, scope: Scope) -> Iterator[tuple[Place, Any]]:
    """The values at ``path`` below ``place``, through ``Fn::If`` on the way and at the end."""
    if isinstance(node, dict) and set(node) == {"Fn::If"}:
        choice = node["Fn::If"]
        if isinstance(choice, list) and len(choice) == 3:
            holds = scope.holds(choice[0])
            for index in (1, 2):
                if holds is None or holds == (index == 1):
                    below = (*place, "Fn::If", index)
                    yield from _branches(choice[index], path, below, scope)
    elif path:
        if isinstance(node, dict) and path[0] in node:
            yield from _branches(node[path[0]], path[1:], (*place, path[0]), scope)
    elif node is not None and node != NOTHING:
        yield place, node


def child_values(template: Template, place: Place, child: Template, scope: Scope) -> dict[str, str]:
    """What the parameters of a nested stack are, as far as its parent tells it."""
    given = at(template.document, (*place[:-1], "Parameters"))
    given = given if isinstance(given, dict) else {}
    values, unknown = {}, set()
    for name, value in given.items():
        try:
            values[name] = scope.text(value)
        except Unknown:
            unknown.add(name)
    found = parameters.known(child.declared, values)
    pseudo = {name: value for name, value in scope.values.items() if name.startswith("AWS::")}
    # Its own stack's name is CloudFormation's choice.
    pseudo.pop("AWS::StackName", None)
    return {name: value for name, value in found.items() if name not in unknown} | pseudo
