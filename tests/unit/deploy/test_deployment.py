"""``deploy`` against the local cloud: what is asserted is what is there afterwards."""

from __future__ import annotations

from kit.deployments import World

QUEUE = {"Type": "AWS::SQS::Queue", "Properties": {}}


def test_a_stack_is_made_updated_and_left_alone(world: World) -> None:
    world.stack("one", {"rQueue": QUEUE}, Outputs={"oUrl": {"Value": {"Ref": "rQueue"}}})
    made = world.run("deploy")
    print(made.err, made.out)
    assert made.code == 0
    assert made.statuses == {"one": "created"}
    assert made.changes("one") == {"rQueue": "added"}
    [url] = world.client("sqs").list_queues()["QueueUrls"]
    assert made.stacks["one"]["outputs"] == {"oUrl": url}
