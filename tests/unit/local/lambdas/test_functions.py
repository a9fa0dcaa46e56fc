import json

import pytest

from ci.aws import Credentials
from ci.cloud import Cloud
from ci.local.lambdas.functions import NoSuchFunction, NotServed, deployed, plain_name

CLOUD = Cloud("123456789012", "us-east-1", "", Credentials("key", "secret"), 5100)
ECR = "123456789012.dkr.ecr.us-east-1.amazonaws.com"


class Client:
    """Lambda's GetFunction with a given answer."""

    class exceptions:  # noqa: N801
        class ResourceNotFoundException(Exception):
            pass

    def __init__(self, configuration=None, **code):
        self._answer = {"Configuration": configuration, "Code": code}

    def get_function(self, FunctionName):  # noqa: N803
        if not self._answer["Configuration"]:
            raise self.exceptions.ResourceNotFoundException
        return self._answer


def configured(**more):
    return {"FunctionName": "f", "PackageType": "Image", "RevisionId": "r", **more}


def test_a_function_is_as_its_stack_declares_it():
    config = {"EntryPoint": ["/x"], "Command": ["a", "b"], "WorkingDirectory": "/w"}
    client = Client(
        configured(
            Timeout=7, MemorySize=300, ImageConfigResponse={"ImageConfig": config},
            Environment={"Variables": {"OWN": "1", "AWS_ENDPOINT_URL": "mine"}},
        ),
        ImageUri=f"{ECR}/name:tag",
        ResolvedImageUri=f"{ECR}/name@sha256:{'0' * 64}",
    )  # fmt: skip
    revision, function = deployed(CLOUD, client, "f", "127.0.0.1:5000")
    assert revision == "r"
    assert function.image == f"127.0.0.1:5000/name@sha256:{'0' * 64}"
    assert (function.seconds, function.memory_mb) == (7, 300)
    assert function.entrypoint == ("/x",)
    assert function.command == ("a", "b")
    assert function.workdir == "/w"
    assert function.services == {"aws.localhost": 5100}
    assert function.environ["OWN"] == "1"
    assert function.environ["AWS_ENDPOINT_URL"] == "mine"  # what a stack says counts
    assert function.arn == "arn:aws:lambda:us-east-1:123456789012:function:f"


def test_what_a_stack_leaves_out_is_lambdas_default_or_the_images():
    client = Client(configured(), ImageUri=f"{ECR}/name:tag")
    _, function = deployed(CLOUD, client, "f", "127.0.0.1:5000")
    assert function.image == "127.0.0.1:5000/name:tag"
    assert (function.seconds, function.memory_mb) == (3, 128)
    assert (function.command, function.entrypoint, function.workdir) == (None, None, None)
    assert function.environ == {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_ENDPOINT_URL": "http://aws.localhost:5100",
    }


def test_an_image_of_another_registry_stays_where_it_is():
    client = Client(configured(), ImageUri="127.0.0.1:5000/name:tag")
    assert deployed(CLOUD, client, "f", "127.0.0.1:9")[1].image == "127.0.0.1:5000/name:tag"


def test_a_function_that_is_not_there_and_one_that_is_no_image():
    with pytest.raises(NoSuchFunction, match="Function not found: f"):
        deployed(CLOUD, Client(), "f", "r")
    with pytest.raises(NotServed, match="only container images"):
        deployed(CLOUD, Client(configured(PackageType="Zip")), "f", "r")


@pytest.mark.parametrize(
    "given",
    [
        "name",
        "name:alias",
        "123456789012:name",
        "123456789012:function:name",
        "123456789012:function:name:7",
        "arn:aws:lambda:us-east-1:123456789012:function:name",
        "arn:aws:lambda:us-east-1:123456789012:function:name:$LATEST",
    ],
)
def test_a_function_has_many_names(given):
    assert plain_name(given) == "name"


def test_functions_of_equal_configuration_are_equal():
    client = Client(json.loads(json.dumps(configured())), ImageUri="r/i:t")
    first, second = (deployed(CLOUD, client, "f", "r")[1] for _ in range(2))
    assert first == second
