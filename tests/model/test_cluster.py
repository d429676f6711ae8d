"""Training on several processes, which stand for several machines: the same bytes as one gives."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from projects import Project, clone_of
from small import EVERY_PIECE

from workflow.core.errors import UserError
from workflow.data.npz import write_arrays
from workflow.model.cluster import join_cluster

RESULTS = ("models/model.keras", "plots/history.csv")


def sharded(params: dict[str, Any]) -> None:
    """Four shards, every piece of a recipe, and a smaller last batch."""
    params["recipes"]["tutorial"] |= EVERY_PIECE | {"batch_size": 24, "shards": 4, "epochs": 2}


@pytest.fixture
def machines(tiny_run: Project, tmp_path: Path) -> list[Project]:
    """Three clones with the same commit and data."""
    clones = []
    for number in range(3):
        project = clone_of(tiny_run, tmp_path / f"machine {number}")
        project.ok("dvc", "checkout", "data/normalized.npz", "data/classes.json")
        project.edit_params(sharded)
        clones.append(project)
    return clones


def start(projects: Sequence[Project], log: Path) -> list[subprocess.Popen[bytes]]:
    """Start one worker a project, on free ports of loopback."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in projects]
    addresses = [f"127.0.0.1:{listener.getsockname()[1]}" for listener in listeners]
    for listener in listeners:
        listener.close()
    workers = []
    for index, project in enumerate(projects):
        task = {"type": "worker", "index": index}
        configuration = {"cluster": {"worker": addresses}, "task": task}
        with (log / f"worker{index}").open("wb") as output:
            workers.append(
                subprocess.Popen(
                    [sys.executable, "-m", "stages", "train"],
                    cwd=project.root,
                    env=os.environ | {"TF_CONFIG": json.dumps(configuration)},
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            )
    return workers


def outcomes(workers: Sequence[subprocess.Popen[bytes]], log: Path) -> list[tuple[int, str]]:
    """How each worker ended, and what it said last."""
    ended = []
    for index, worker in enumerate(workers):
        status = worker.wait(300)
        ended.append((status, (log / f"worker{index}").read_text().strip().splitlines()[-1]))
    return ended


@pytest.mark.slow
def test_two_and_three_workers_give_the_bytes_of_one(
    machines: list[Project], tmp_path: Path
) -> None:
    chief = machines[0]
    chief.ok("python", "-m", "stages", "train")
    alone = chief.bytes_of(RESULTS)
    for count in (2, 3):
        for name in RESULTS:
            (chief.root / name).unlink()
        ended = outcomes(start(machines[:count], tmp_path), tmp_path)
        assert [status for status, _ in ended] == [0] * count, ended
        assert chief.bytes_of(RESULTS) == alone
        # The chief alone writes.
        assert not any((other.root / RESULTS[0]).exists() for other in machines[1:])


@pytest.mark.slow
def test_a_worker_with_other_data_is_named(machines: list[Project], tmp_path: Path) -> None:
    data = machines[1].root / "data/normalized.npz"
    with np.load(data) as stored:
        arrays = {**stored, "train_labels": stored["train_labels"][::-1]}
    data.unlink()  # a link into the cache, perhaps
    write_arrays(data, arrays)
    for status, last in outcomes(start(machines[:2], tmp_path), tmp_path):
        assert status == 1
        assert "worker 1 has another data/normalized.npz than worker 0" in last
    assert not (machines[0].root / RESULTS[0]).exists()


@pytest.mark.slow
def test_a_worker_that_dies_ends_the_others(machines: list[Project], tmp_path: Path) -> None:
    for machine in machines:
        machine.edit_params(
            lambda params: params["recipes"]["tutorial"].update(epochs=100_000, early_stopping=None)
        )
    workers = start(machines[:2], tmp_path)
    deadline = time.monotonic() + 200
    while "epoch 1/" not in (tmp_path / "worker0").read_text() and time.monotonic() < deadline:
        time.sleep(0.1)
    workers[1].send_signal(signal.SIGKILL)
    (status, last), _ = outcomes(workers, tmp_path)
    assert status == 1
    assert last.startswith("train: a worker has ended or cannot be reached")
    assert not (machines[0].root / RESULTS[0]).exists()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "Invalid JSON"),
        ('{"cluster": {"worker": []}, "task": {"type": "worker", "index": 0}}', "cluster.worker"),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
            "task.index is 1, but the last worker is 0",
        ),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "chief", "index": 0}}', "task.type"),
    ],
)
def test_a_wrong_configuration_is_named(
    text: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match=f"^TF_CONFIG: .*{named}"):
        join_cluster()
