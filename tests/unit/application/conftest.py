import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "common_layer" / "python")]

from application_fixtures import ENVIRON, Lake, load  # noqa: E402


@pytest.fixture
def lake(monkeypatch):
    from datalake_library.interfaces import clients, parameters
    from moto import mock_aws

    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    for cached in (clients.client, clients.table, parameters.parameter):
        cached.cache_clear()
    with mock_aws():
        lake = Lake()
        monkeypatch.setenv("STATE_MACHINE", lake.machine)
        monkeypatch.setenv("QUEUE_URL", lake.queues["stage-a"])
        monkeypatch.setenv("DEAD_LETTER_QUEUE_URL", lake.queues["stage-a-dlq"])
        yield lake


@pytest.fixture
def invoke(lake):
    """Invoke a function of the fleet as Lambda does, but in process."""
    loaded = {}

    def call(function: str, event):
        if function not in loaded:
            loaded[function] = load(function)
        answer = loaded[function].lambda_handler(json.loads(json.dumps(event)), None)
        return json.loads(json.dumps(answer))

    return call
