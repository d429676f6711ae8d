"""The whole pipeline through the real DVC, on the real data, in a fresh clone."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from projects import STAGES, Project, load_yaml, stages_run

from workflow.model.tensorflow import keras

AFTER_TRAINING = ["train", "evaluate", "visualize"]


def test_five_stages_run_and_git_stays_clean(real: Project) -> None:
    output = (real.root / ".git" / "repro-output").read_text()
    assert stages_run(output) == list(STAGES)
    # The committed lock, metrics, tables and pictures are what the code gives, byte for byte.
    assert real.ok("git", "status", "--porcelain") == ""


def test_what_python_and_editors_leave_beside_code_changes_nothing(
    real: Project, clone: Project
) -> None:
    # The stages of a cold run compile the modules of folders that they depend on.
    assert list((real.root / "workflow/core/__pycache__").iterdir())
    (clone.root / "workflow/core/__pycache__").mkdir(exist_ok=True)
    for name in ("stage.py~", ".stage.py.swp", "__pycache__/more.pyc"):
        (clone.root / "workflow/core" / name).touch()
    assert json.loads(clone.ok("dvc", "status", "--json", "dvc.yaml")) == {}


def test_the_metrics_of_the_test_set_fit_together(real: Project) -> None:
    metrics = json.loads((real.root / "metrics/test.json").read_text())
    assert (
        metrics["accuracy_interval_low"] < metrics["accuracy"] < metrics["accuracy_interval_high"]
    )
    gap = metrics["train_accuracy"] - metrics["accuracy"]
    assert metrics["train_test_gap"] == pytest.approx(gap, abs=1e-4)
    with (real.root / "plots/predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    right = sum(row["actual"] == row["predicted"] for row in rows)
    assert metrics["accuracy"] == round(right / len(rows), 4)


def test_an_edit_of_code_runs_the_stages_that_it_concerns(clone: Project) -> None:
    edited = ["commands/check_params.py", "workflow/data/sources.py", "workflow/figures/style.py"]
    for name in edited:
        with (clone.root / name).open("a") as module:
            module.write("\n# Nothing new.\n")
    assert clone.repro() == ["download", "visualize"]
    changed = clone.ok("git", "diff", "--name-only").split()
    assert changed == [edited[0], "dvc.lock", *edited[1:]]


def test_an_edit_of_params_runs_the_stages_that_it_concerns(clone: Project) -> None:
    def change(params: dict) -> None:
        params["recipes"]["cnn-plain"]["epochs"] += 1
        params["recipes"]["other"] = params["recipes"]["tutorial"] | {"epochs": 1}

    clone.edit_params(change)
    assert clone.repro() == []
    # From DATA_SOURCE, which is asked first, come the same bytes.
    clone.edit_params(lambda params: params["data"].update(sources=["/nowhere"]))
    assert clone.repro() == ["download", "normalize"]
    clone.edit_params(lambda params: params["data"]["files"]["test_labels"].update(sha256="0" * 64))
    done = clone.run("dvc", "repro")
    assert done.returncode != 0
    assert stages_run(done.stdout) == ["download"]


def test_everything_comes_back_from_the_cache(clone: Project) -> None:
    clone.ok("git", "clean", "-fdxq", "data", "models")  # all but the page about them
    assert not (clone.root / "data/raw").exists()
    for name in clone.ok("git", "ls-files", "metrics", "plots").split():
        (clone.root / name).unlink()
    # Its run is no part of the run cache (see dvc.yaml); what it gives finds all the others there.
    assert clone.repro() == ["normalize"]
    assert clone.ok("git", "status", "--porcelain") == ""
    assert (clone.root / "models/model.keras").exists()


def test_another_data_set_needs_no_change_of_code(tiny_run: Project) -> None:
    assert stages_run((tiny_run.root / ".git" / "repro-output").read_text()) == list(STAGES)
    metrics = json.loads((tiny_run.root / "metrics/per_class.json").read_text())
    assert set(metrics) == {"upper", "middle", "lower"}
    # 100 images in batches of 16 leave a last batch of four; they count as well.
    with (tiny_run.root / "plots/history.csv").open() as stream:
        accuracies = [float(row["accuracy"]) for row in csv.DictReader(stream)]
    assert all(round(accuracy * 100, 4) == int(accuracy * 100 + 0.5) for accuracy in accuracies)


@pytest.mark.slow
def test_a_recipe_of_convolutions_and_every_view_of_the_difference(tiny_clone: Project) -> None:
    project = tiny_clone
    small = {"epochs": 1, "batch_size": 16, "validation_fraction": 0.1}
    project.edit_params(lambda params: params["recipes"]["cnn-plain"].update(small))
    project.commit("Train in a moment")
    experiment = project.ok("dvc", "exp", "run", "-n", "try", "-S", "recipe=cnn-plain")
    assert stages_run(experiment) == AFTER_TRAINING
    test_images = np.load(project.root / "data/normalized.npz")["test_images"]
    probabilities = np.load(project.root / "data/predictions.npz")["probabilities"]
    model = keras.models.load_model(project.root / "models/model.keras", safe_mode=True)
    of_keras = keras.ops.softmax(model(test_images)).numpy()
    np.testing.assert_allclose(probabilities, of_keras, rtol=1e-4)

    with (project.root / "plots/history.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert [*row] == ["epoch", "loss", "accuracy", "validation_loss", "validation_accuracy"]
    assert "try" in project.ok("dvc", "exp", "show", "--csv", "--no-pager")
    metrics = json.loads(project.ok("dvc", "metrics", "diff", "--json"))
    assert metrics["metrics/test.json"]["loss"]["diff"]
    assert "cnn-plain" in project.ok("dvc", "params", "diff")
    plots = json.loads(project.ok("dvc", "plots", "diff", "--json"))
    assert not plots.get("errors")
    for name in ("plots/history.csv", "plots/predictions.csv", "plots/per_class.csv"):
        content = json.dumps(plots["data"][name])
        assert "HEAD" in content and "workspace" in content
    pictures = {name for name in plots["data"] if name.startswith("plots/") and ".png" in name}
    drawn = {path.relative_to(project.root).as_posix() for path in project.root.glob("plots/*.png")}
    assert pictures == drawn

    done = project.command("write-review", "--base", "HEAD", "--head", "try")
    assert done.returncode == 0, done.stderr
    report = (project.root / "review/report.md").read_text(encoding="utf-8")
    assert "cnn-plain" in report


def test_every_stage_says_what_it_does(tiny_run: Project) -> None:
    listed = tiny_run.ok("dvc", "stage", "list")
    for stage, declared in load_yaml(tiny_run.root / "dvc.yaml")["stages"].items():
        assert f"{stage} " in listed
        assert declared["desc"].split()[0] in listed


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for orphans in /proc")
@pytest.mark.parametrize(
    ("moment", "shell"),
    [
        ("Running stage 'train'", "/bin/sh"),
        pytest.param("epoch 2/", "/bin/sh", marks=pytest.mark.slow),
        pytest.param("epoch 2/", "/bin/bash", marks=pytest.mark.slow),
    ],
)
def test_a_killed_repro_leaves_no_orphan_and_ends_in_the_same_bytes(
    tiny_clone: Project, moment: str, shell: str
) -> None:
    """`moment` is what the output tells before DVC is killed."""
    project, model = tiny_clone, tiny_clone.root / "models/model.keras"
    before = model.read_bytes()
    project.edit_params(lambda params: params["recipes"]["tutorial"].update(epochs=100_000))
    variables = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "SHELL": shell,  # DVC starts the stages in it
    }
    # Into a file: a pipe that nobody reads any more would end a stage, too.
    log = project.root / ".git" / "killed-output"
    with log.open("w") as output:
        dvc = subprocess.Popen(["dvc", "repro"], cwd=project.root, env=variables, stdout=output)

    def noted(process: Path, name: str) -> bytes:
        """What the system notes of a process; nothing of one that has ended meanwhile."""
        try:
            return (process / name).read_bytes()
        except OSError:
            return b""

    def processes() -> list[Path]:
        return [
            path
            for path in Path("/proc").glob("[0-9]*")
            if os.access(path / "cwd", os.R_OK)
            and (path / "cwd").resolve() == project.root
            and b"stages\0train" in noted(path, "cmdline")
        ]

    def wait_until(condition: Callable[[], bool]) -> None:
        """Wait; a process that hangs is ended by the time limit of the tests."""
        while not condition():
            time.sleep(0.05)

    def has_begun() -> bool:
        """Whether what `moment` names has: the stage, with its imports, or its training."""
        assert dvc.poll() is None, log.read_text()
        importing = [b"numpy" in noted(path, "maps") for path in processes()]
        return moment in log.read_text() and any(importing)

    wait_until(has_begun)
    dvc.send_signal(signal.SIGKILL)
    dvc.wait()
    wait_until(lambda: not processes())
    assert not model.exists()

    project.edit_params(lambda params: params["recipes"]["tutorial"].update(epochs=2))
    project.ok("dvc", "repro", "--force", "--single-item", "train")
    assert model.read_bytes() == before
