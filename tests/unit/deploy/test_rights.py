"""What deploying and recording ask of AWS is what the roles of the templates allow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kit.deployments import World
from kit.templates import INFRASTRUCTURE, template

from ci.deploy.desk import Desk

POLICY = {
    "Statement": [{"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"}]
}
QUEUE = {"Type": "AWS::SQS::Queue", "Properties": {}}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Every action that a question was said to need."""
    actions: set[str] = set()
    ask = Desk.ask

    async def noted(self: Desk, service: str, action: str, question: Callable[[Any], Any]) -> Any:
        actions.add(action)
        return await ask(self, service, action, question)

    monkeypatch.setattr(Desk, "ask", noted)
    return actions


def allowed(path: str, role: str) -> set[str]:
    policies = template(path)["Resources"][role]["Properties"]["Policies"]
    return {
        action
        for policy in policies
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
        for action in ([statement["Action"]] if isinstance(statement["Action"], str)
                       else statement["Action"])
    }  # fmt: skip


def test_the_workflows_role_deploys(world: World, asked: set[str]) -> None:
    for tag in "12":
        function = world.function("a", world.image("a", tag))
        world.stack("one", {"rA": function}, StackPolicy=POLICY)
        assert world.run("deploy").code == 0
    world.run("deploy")
    world.client("cloudformation").create_change_set(
        StackName="two", ChangeSetName="deploy-0", ChangeSetType="CREATE",
        TemplateBody='{"Resources": {"r": {"Type": "AWS::SQS::Queue"}}}',
    )  # fmt: skip
    world.stack("two", {"rQueue": QUEUE})
    assert world.run("deploy").code == 0
    assert world.run("rollback").code == 0
    assert len(asked) >= 12
    assert asked <= allowed("codepipeline/github-oidc.yaml", "rRole")


def test_the_record_stages_role_records(world: World, asked: set[str]) -> None:
    world.stack("one", {"rA": world.function("a", world.image("a", "1"))})
    assert world.run("deploy").code == 0
    asked.clear()
    assert world.run("record").code == 0
    assert asked == {"cloudformation:ListStackResources", "lambda:GetFunction"}
    assert asked <= allowed(INFRASTRUCTURE, "rRecordRole")
