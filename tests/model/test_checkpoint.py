"""Interrupted training goes on to the bytes of an uninterrupted one."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from projects import Project
from small import CLASSES, EVERY_PIECE, LAYERS, SHAPE, Data, recipe

import workflow.model.checkpoint
from workflow.core.stage import Outputs
from workflow.data.npz import StoredArray
from workflow.model.checkpoint import Checkpoint
from workflow.model.cluster import Cluster
from workflow.model.recipe import build_model
from workflow.model.results import EpochResult
from workflow.model.tensorflow import set_seed
from workflow.model.training import train

CHECKPOINT = "models/.checkpoint.npz"
RESULTS = ("models/model.keras", "plots/history.csv")
EACH_EPOCH = {"CHECKPOINT_SECONDS": "0"}
EPOCHS = 400


@pytest.fixture
def project(tiny_clone: Project) -> Project:
    """Hundreds of short epochs, in two shards, with all that a training has to remember."""
    layers = [*LAYERS["one"], {"layer": "batch_normalization"}, {"layer": "dropout", "rate": 0.3}]

    def change(params: dict) -> None:
        params["recipes"]["tutorial"] |= EVERY_PIECE | {
            "layers": layers,
            "epochs": EPOCHS,
            "batch_size": 24,
            "shards": 2,
            "early_stopping": {"patience": EPOCHS},
        }

    tiny_clone.edit_params(change)
    return tiny_clone


def train_until(project: Project, epoch: int, number: int) -> str:
    """Send a signal to a training when it has said so many epochs; all that it said."""
    log = project.root / ".git" / "train-output"
    with log.open("w") as output:
        training = subprocess.Popen(
            [sys.executable, "-m", "stages", "train"],
            cwd=project.root,
            env=os.environ | EACH_EPOCH,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + 200
    while f"epoch {epoch}/" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.002)
        if training.poll() is not None:
            break
    training.send_signal(number)
    training.wait(60)
    return log.read_text()


@pytest.mark.slow
def test_a_training_that_is_killed_again_and_again_ends_in_the_same_bytes(
    project: Project,
) -> None:
    project.ok("python", "-m", "stages", "train")
    uninterrupted = project.bytes_of(RESULTS)
    for name in RESULTS:
        (project.root / name).unlink()
    signals = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
    begun = 0
    for kill in range(20):
        said = train_until(project, begun + 7, signals[kill % 3])
        if resumed := re.search(r"goes on after epoch (\d+)", said):
            assert int(resumed[1]) >= begun
        kept = re.findall(r"epoch (\d+)/", said)
        begun = max(begun, int(kept[-1]) - 1) if kept else begun
        assert not any((project.root / name).exists() for name in RESULTS)
    assert begun > 20
    env = EACH_EPOCH
    said = project.ok("python", "-m", "stages", "train", env=env)
    assert "goes on after epoch" in said
    assert project.bytes_of(RESULTS) == uninterrupted
    assert not (project.root / CHECKPOINT).exists()


@pytest.mark.slow
def test_an_interrupt_says_where_the_next_run_goes_on(project: Project) -> None:
    said = train_until(project, 5, signal.SIGINT)
    last = said.strip().splitlines()[-1]
    assert re.match(r"train: interrupted; the next run goes on after epoch [4-9]\d*: run", last)
    assert (project.root / CHECKPOINT).exists()
    assert ".checkpoint" not in project.ok("git", "status", "--porcelain", "--ignored=no")


def trained_in(folder: Path, data: Data, identity: str, epochs: int) -> list[EpochResult]:
    """The curves of a training whose stage depends on what `identity` stands for."""
    path, _, labels = data
    chosen = recipe(epochs=epochs)
    set_seed(1)
    model = build_model(chosen, SHAPE, CLASSES)
    checkpoint = Checkpoint(Outputs(lambda: {"data": identity}), Cluster())
    with StoredArray(path, "images") as images:
        return train(model, chosen, images, labels, 1, checkpoint=checkpoint)


@pytest.mark.parametrize("damage", [None, b"", b"no archive"])
def test_a_checkpoint_of_other_code_params_or_data_is_never_taken(
    data: Data,
    damage: bytes | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workflow.model.checkpoint, "SECONDS", 0)
    (tmp_path / "models").mkdir()
    first = trained_in(tmp_path, data, "one", 2)
    assert (tmp_path / CHECKPOINT).exists()
    assert trained_in(tmp_path, data, "one", 3)[:2] == first
    assert "goes on after epoch 2" in capsys.readouterr().out
    if damage is not None:
        (tmp_path / CHECKPOINT).write_bytes(damage)
    assert trained_in(tmp_path, data, "one" if damage is not None else "other", 2) == first
    assert "goes on after" not in capsys.readouterr().out
