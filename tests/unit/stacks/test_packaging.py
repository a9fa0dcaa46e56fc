"""The project's own stacks as packaging reads them: judged, and every image found and pinned."""

from __future__ import annotations

from dataclasses import replace

import pytest
from kit.templates import FUNCTIONS, ROOT, STACKS

from ci.package import pinning, references, stacks
from ci.package.pinning import Images
from ci.registry.reference import parse_repository

ACCOUNT = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::Region": "us-east-1",
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
}
DIGEST = f"sha256:{'1' * 64}"


def test_packaging_finds_nothing_wrong():
    assert [stack.name for stack in stacks.read(ROOT, "dev")] == STACKS


@pytest.mark.parametrize("registry", [ACCOUNT, "127.0.0.1:5000"])
def test_every_image_of_a_run_is_pinned_once(registry):
    built = {name: parse_repository(f"{registry}/dev-{name}").at(DIGEST) for name in FUNCTIONS}
    images = Images(built, ("build-7",), registry, ACCOUNT)
    pinned = []
    for stack in stacks.read(ROOT, "dev"):
        file = stack.parameters.tagged(stack.template.declared, "build-7")
        result = pinning.pinned(replace(stack, parameters=file), images, PSEUDO, by_digest=True)
        assert result.notes == ()
        pinned += [use.function for use in result.uses if use.uri.endswith(f"@{DIGEST}")]
    assert sorted(pinned) == FUNCTIONS


def test_the_state_machines_definitions_are_uploaded():
    local = [
        reference.value
        for stack in stacks.read(ROOT, "dev")
        for reference in references.local_files(stack.template.document)
    ]
    assert local == ["statemachine/stage-a.asl.json", "statemachine/stage-b.asl.json"]
