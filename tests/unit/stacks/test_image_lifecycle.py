"""The repositories' lifecycle policy over a year of builds: what runs is never expired.

The evaluator follows the Amazon ECR User Guide, "How lifecycle policies work" and "Lifecycle policy
properties": rules apply by priority; an image that matches a rule's tags, marked for expiry or
not, cannot be expired by a rule of lower priority; the patterns of one rule must all match.
"""

from __future__ import annotations

import fnmatch
import json
import random
from dataclasses import dataclass, field

import pytest
from kit.templates import INFRASTRUCTURE, resources, template

REPOSITORIES = resources(template(INFRASTRUCTURE), "AWS::ECR::Repository")
KEPT = ("deployed-*", "previous-*", "latest")


@dataclass
class Image:
    pushed: float
    tags: set[str] = field(default_factory=set)

    @property
    def kept(self) -> bool:
        return any(fnmatch.fnmatchcase(tag, pattern) for tag in self.tags for pattern in KEPT)


def policy() -> list[dict]:
    texts = {about["LifecyclePolicy"]["LifecyclePolicyText"] for about in REPOSITORIES.values()}
    [text] = texts
    return json.loads(text)["rules"]


def matches(image: Image, selection: dict) -> bool:
    match selection["tagStatus"]:
        case "any":
            return True
        case "untagged":
            return not image.tags
        case "tagged":
            patterns = selection["tagPatternList"]
            return all(fnmatch.filter(image.tags, pattern) for pattern in patterns)
    raise AssertionError(selection)


def expired(images: list[Image], rules: list[dict], today: float) -> list[Image]:
    """The images that ECR expires on a day."""
    taken: set[int] = set()
    gone: list[Image] = []
    for rule in sorted(rules, key=lambda rule: rule["rulePriority"]):
        selection = rule["selection"]
        matching = [image for image in images if matches(image, selection)]
        number = selection["countNumber"]
        if selection["countType"] == "imageCountMoreThan":
            marked = sorted(matching, key=lambda image: -image.pushed)[number:]
        else:
            assert (selection["countType"], selection["countUnit"]) == ("sinceImagePushed", "days")
            marked = [image for image in matching if today - image.pushed > number]
        gone += [image for image in marked if id(image) not in taken]
        taken |= {id(image) for image in matching}
    return gone


def move(images: list[Image], tag: str, target: Image | None) -> None:
    for image in images:
        image.tags.discard(tag)
    if target:
        target.tags.add(tag)


def year(seed: int, rules: list[dict]) -> tuple[list[Image], list[Image], int]:
    """Images left and expired after a year, and how many were built: builds at any hour, several of
    one commit, some never deployed; an environment that is deployed to once, and then forgotten."""
    dice = random.Random(seed)  # noqa: S311
    images: list[Image] = []
    gone: list[Image] = []
    built = 0
    for day in range(365):
        for _ in range(dice.choice((0, 1, 2, 6) if day else (1,))):
            image = Image(day + dice.random(), {f"build-{built}"})
            built += 1
            images.append(image)
            move(images, f"{built // 3:07x}", image)
            move(images, "latest", image)
            if day == 0 or dice.random() < 0.02:
                deploy(images, "dev", image)
            if day == 0:
                deploy(images, "prod", image)
        today = expired(images, rules, day + 1)
        gone += today
        images = [image for image in images if image not in today]
    return images, gone, built


def deploy(images: list[Image], environment: str, image: Image) -> None:
    before = [each for each in images if f"deployed-{environment}" in each.tags]
    move(images, f"previous-{environment}", before[0] if before else None)
    move(images, f"deployed-{environment}", image)


def test_all_repositories_have_the_policy_and_the_encryption():
    assert len(policy()) == 5
    assert len({json.dumps(each["EncryptionConfiguration"]) for each in REPOSITORIES.values()}) == 1
    for about in REPOSITORIES.values():
        assert about["ImageTagMutability"] == "MUTABLE_WITH_EXCLUSION"
        filters = about["ImageTagMutabilityExclusionFilters"]
        assert {each["ImageTagMutabilityExclusionFilterValue"] for each in filters} == {
            "build-*",
            "in-*",
        }
        assert about["ImageScanningConfiguration"] == {"ScanOnPush": True}


def test_the_policy_is_one_that_ecr_takes():
    rules = policy()
    priorities = [rule["rulePriority"] for rule in rules]
    assert len(set(priorities)) == len(priorities)
    last = max(rules, key=lambda rule: rule["rulePriority"])
    assert [rule for rule in rules if rule["selection"]["tagStatus"] == "any"] == [last]
    assert len([rule for rule in rules if rule["selection"]["tagStatus"] == "untagged"]) == 1
    for rule in rules:
        assert rule["action"] == {"type": "expire"}
        assert ("tagPatternList" in rule["selection"]) == (
            rule["selection"]["tagStatus"] == "tagged"
        )


@pytest.mark.parametrize("seed", range(5))
def test_in_a_year_nothing_that_runs_expires_and_old_images_do(seed):
    left, gone, built = year(seed, policy())
    assert built > 500
    assert not [image for image in gone if image.kept]
    tags = {tag for image in left for tag in image.tags}
    assert {"latest", "deployed-dev", "previous-dev", "deployed-prod"} <= tags
    # What nobody runs goes: about a hundred stay, and what is kept.
    assert len(left) <= 100 + 5
    assert len(gone) == built - len(left) > 300


@pytest.mark.parametrize("dropped", [1, 2, 3])
def test_each_keeping_rule_is_needed(dropped):
    rules = [rule for rule in policy() if rule["rulePriority"] != dropped]
    pattern = KEPT[dropped - 1]
    image = Image(0, {"build-0", pattern.replace("*", "dev")})
    others = [Image(day, {f"build-{day}"}) for day in range(1, 200)]
    assert image in expired([image, *others], rules, 200)
    assert image not in expired([image, *others], policy(), 200)


def test_one_rule_with_all_patterns_would_keep_nothing():
    together = [*policy()[3:], {**policy()[0], "selection": {
        **policy()[0]["selection"], "tagPatternList": list(KEPT)}}]  # fmt: skip
    assert [image for seed in range(3) for image in year(seed, together)[1] if image.kept]


def test_untagged_images_go_after_a_week():
    old, new = Image(0), Image(5)
    assert expired([old, new], policy(), 8) == [old]
