"""An image whose handlers do what functions should and should not do."""

import pytest
from dagger import dag

HANDLERS = """
import os, sys, time

count = 0

def counting(event, context):
    global count
    count += 1
    return {"event": event, "count": count}

def sleeping(event, context):
    time.sleep(event)
    return counting(event, context)

def telling(event, context):
    return {
        "environ": dict(os.environ),
        "path": sys.path,
        "name": context.function_name,
        "memory": context.memory_limit_in_mb,
        "arn": context.invoked_function_arn,
        "left": context.get_remaining_time_in_millis(),
    }

def exiting(event, context):
    print("last words", flush=True)
    os._exit(3)

def killed(event, context):
    os.kill(os.getpid(), 9)

def filling(event, context):
    text = b"x" * (event * 1024 * 1024)
    return counting(event, context)["count"]

def forking(event, context):
    children = []
    for _ in range(2):
        if not (child := os.fork()):
            text = b"x" * (event // 2 * 1024 * 1024)
            time.sleep(0.5)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)

def talking(event, context):
    print("on stdout", event)
    print("on stderr", event, file=sys.stderr)
    os.write(1, b"no line end")
    time.sleep(event)

def shouting(event, context):
    for number in range(event):
        print(f"{number:0100}")

def large(event, context):
    return "x" * event

def unserialisable(event, context):
    return object()

def raising(event, context):
    raise ValueError("on purpose")

def batch(event, context):
    bad = [r["messageId"] for r in event["Records"] if "bad" in r["body"]]
    print("bodies", sorted(r["body"] for r in event["Records"]))
    return {"batchItemFailures": [{"itemIdentifier": id} for id in bad]}

def nonsense(event, context):
    return {"batchItemFailures": [{"itemIdentifier": "none of them"}]}
"""


@pytest.fixture(scope="session")
async def image(session, base_image, local_registry):
    dockerfile = f'FROM {base_image}\nCOPY handlers.py .\nCMD ["handlers.counting"]\n'
    context = dag.directory().with_new_file("Dockerfile", dockerfile)
    context = context.with_new_file("handlers.py", HANDLERS)
    return await context.docker_build().publish(f"{local_registry.host}/e2e-handlers:latest")
