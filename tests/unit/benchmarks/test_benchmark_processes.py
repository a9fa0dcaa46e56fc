"""Timing from outside, and the shell programs that stand for the floor and for the script."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from benchmarks import contenders, processes, tree
from benchmarks.processes import Command, Failed, timed

RECORDER = """\
#!/bin/bash
# Writes down when it began and ended, and with what.
echo "began $*" >>"$RECORD"
sleep 0.1
echo "ended $*" >>"$RECORD"
[[ "$*" != *"$FAILING"* ]]
"""


def test_the_time_is_that_of_the_process(tmp_path: Path) -> None:
    took = timed(Command(["sleep", "0.3"], {}), tmp_path / "log", 10)
    assert 0.3 <= took < 0.6


def test_a_failure_shows_the_end_of_the_output(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"ended with 3:\nno such base"):
        timed(Command(["sh", "-c", "echo no such base >&2; exit 3"], {}), tmp_path / "log", 10)


def test_what_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    hanging = Command(["sh", "-c", f"sleep 600 & echo $! >{pid}; wait"], {})
    begun = time.monotonic()
    with pytest.raises(Failed, match="did not end within 1 s"):
        timed(hanging, tmp_path / "log", 1)
    assert time.monotonic() - begun < 5
    stat = Path(f"/proc/{pid.read_text().strip()}/stat")
    for _ in range(50):
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.02)
    pytest.fail("its child still runs")


def test_other_runs_leave_nothing_in_the_environment() -> None:
    kept = processes.environment(
        {"PATH": "/bin", "DAGGER_SESSION_PORT": "1", "PIPELINE_TARGET": "aws", "DOCKER_HOST": "x"}
    )
    assert kept == {"PATH": "/bin"}


def _floor(tmp_path: Path, failing: str = "nothing fails") -> tuple[int, list[str]]:
    """The floor with a program in buildctl's place that only writes down its calls."""
    source = tree.write(tmp_path / "tree", 5)
    recorder, record = tmp_path / "buildctl", tmp_path / "record"
    recorder.write_text(RECORDER)
    recorder.chmod(0o755)
    environ = {
        "PATH": os.environ["PATH"], "BUILDCTL": str(recorder), "RECORD": str(record),
        "FAILING": failing, "SOURCE": str(source), "REGISTRY": "127.0.0.1:5001", "LAYER": "layer",
        "TAGS": "latest build-1 abc", "JOBS": "2", "IMAGE_OUTPUT": "push=true",
    }  # fmt: skip
    done = subprocess.run(
        ["bash", contenders.HERE / "floor.sh"], env=environ, capture_output=True, check=False
    )
    return done.returncode, record.read_text().splitlines()


def test_the_floor_pushes_one_image_before_the_others(tmp_path: Path) -> None:
    code, calls = _floor(tmp_path)
    assert code == 0
    assert [call.split()[0] for call in calls[:3]] == ["began", "ended", "began"]
    assert len(calls) == 10
    names = "127.0.0.1:5001/stg-service-001:{}"
    wanted = ",".join(map(names.format, ("latest", "build-1", "abc")))
    assert calls[0].endswith(f'--output type=image,"name={wanted}",push=true')


def test_the_floor_keeps_to_its_number_of_jobs(tmp_path: Path) -> None:
    _, calls = _floor(tmp_path)
    at_once = most = 0
    for call in calls:
        at_once += 1 if call.startswith("began") else -1
        most = max(most, at_once)
    assert most == 2


def test_the_floor_fails_where_one_function_does(tmp_path: Path) -> None:
    code, _ = _floor(tmp_path, failing="stg-service-004:")
    assert code != 0
