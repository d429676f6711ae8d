"""The whole pipeline through the real DVC, on the real data, in a fresh clone."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import STAGES, Project, stages_run

from workflow.reproducible import keras


def test_five_stages_run_and_git_stays_clean(real: Project) -> None:
    output = (real.root / ".git" / "repro-output").read_text()
    assert stages_run(output) == list(STAGES)
    # The committed lock, metrics, tables and pictures are what the code gives, byte for byte.
    assert real.ok("git", "status", "--porcelain") == ""


def test_the_metrics_of_the_test_set_fit_together(real: Project) -> None:
    metrics = json.loads((real.root / "metrics/test.json").read_text())
    assert (
        metrics["accuracy_interval_low"] < metrics["accuracy"] < metrics["accuracy_interval_high"]
    )
    gap = metrics["train_accuracy"] - metrics["accuracy"]
    assert metrics["train_test_gap"] == pytest.approx(gap, abs=1e-4)


def test_metrics_follow_from_the_predictions(real: Project) -> None:
    with (real.root / "plots/predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    right = sum(row["actual"] == row["predicted"] for row in rows)
    metrics = json.loads((real.root / "metrics/test.json").read_text())
    assert metrics["accuracy"] == round(right / len(rows), 4)


def test_second_repro_runs_nothing(real: Project) -> None:
    assert real.repro() == []


def test_a_comment_in_visualize_runs_visualize_alone(clone: Project) -> None:
    with (clone.root / "stages/visualize.py").open("a") as script:
        script.write("\n# Nothing new.\n")
    assert clone.repro() == ["visualize"]
    assert clone.ok("git", "status", "--porcelain").split() == [
        "M", "dvc.lock", "M", "stages/visualize.py",
    ]  # fmt: skip


def test_changing_another_recipe_runs_nothing(clone: Project) -> None:
    other = {**yaml.safe_load((clone.root / "params.yaml").read_text())["recipes"]["tutorial"]}
    clone.edit_params(lambda params: params["recipes"].update({"other": other | {"epochs": 1}}))
    assert clone.repro() == []
    clone.edit_params(lambda params: params["recipes"]["other"].update(epochs=3))
    assert clone.repro() == []


def test_changing_sources_runs_nothing_and_checksums_download(clone: Project) -> None:
    clone.edit_params(lambda params: params["data"].update(sources=["/nowhere"]))
    assert clone.repro() == []
    clone.edit_params(lambda params: params["data"]["files"]["test_labels"].update(sha256="0" * 64))
    done = clone.run("dvc", "repro")
    assert done.returncode != 0
    assert stages_run(done.stdout) == ["download"]


def test_everything_but_the_raw_data_comes_back_from_the_cache(clone: Project) -> None:
    shutil.rmtree(clone.root / "data")
    shutil.rmtree(clone.root / "models")
    for name in clone.ok("git", "ls-files", "metrics", "plots").split():
        (clone.root / name).unlink()
    assert clone.repro() == []
    assert clone.ok("git", "status", "--porcelain") == ""


def test_a_recipe_of_convolutions(tiny: Project) -> None:
    tiny.edit_params(lambda params: params["recipes"]["cnn"].update(epochs=1, batch_size=16))
    tiny.ok("dvc", "repro")
    tiny.commit("Train the dense recipe")
    assert stages_run(tiny.ok("dvc", "exp", "run", "-S", "recipe=cnn")) == [
        "train", "evaluate", "visualize",
    ]  # fmt: skip
    test_images = np.load(tiny.root / "data/normalized.npz")["test_images"]
    probabilities = np.load(tiny.root / "data/predictions.npz")["probabilities"]
    model = keras.models.load_model(tiny.root / "models/model.keras", safe_mode=True)
    of_keras = keras.ops.softmax(model(test_images)).numpy()
    np.testing.assert_allclose(probabilities, of_keras, rtol=1e-4)
    assert tiny.ok("python", "-m", "commands.predict", "0").startswith("test image 0: ")


def test_recipe_of_an_experiment_and_every_view_of_the_difference(clone: Project) -> None:
    small = {
        "layers": [{"layer": "flatten"}, {"layer": "dense", "units": 8, "activation": "relu"}],
        "head": "softmax",
        "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9},
        "batch_size": 7000,
        "epochs": 2,
        "validation_fraction": 0.1,
    }
    clone.edit_params(lambda params: params["recipes"].update(small=small))
    clone.commit("Add a small recipe")
    assert stages_run(clone.ok("dvc", "exp", "run", "-n", "try", "-S", "recipe=small")) == [
        "train", "evaluate", "visualize",
    ]  # fmt: skip
    with (clone.root / "plots/history.csv").open() as stream:
        history = list(csv.DictReader(stream))
    assert list(history[0]) == [
        "epoch", "loss", "accuracy", "validation_loss", "validation_accuracy",
    ]  # fmt: skip
    assert [row["epoch"] for row in history] == ["1", "2"]
    assert "try" in clone.ok("dvc", "exp", "show", "--csv", "--no-pager")
    clone.commit("Take the small recipe")

    metrics = json.loads(clone.ok("dvc", "metrics", "diff", "HEAD~1", "--json"))
    assert metrics["metrics/test.json"]["accuracy"]["diff"] < 0
    assert "small" in clone.ok("dvc", "params", "diff", "HEAD~1")
    plots = json.loads(clone.ok("dvc", "plots", "diff", "HEAD~1", "--json"))
    assert not plots.get("errors")
    names = json.loads((clone.root / "metrics/per_class.json").read_text())
    for name in ("plots/history.csv", "plots/predictions.csv", "plots/per_class.csv"):
        content = json.dumps(plots["data"][name])
        assert "HEAD~1" in content and "workspace" in content
    params = yaml.safe_load((clone.root / "params.yaml").read_text())
    assert list(names) == sorted(params["data"]["class_names"])
    pictures = {name for name in plots["data"] if name.startswith("plots/") and ".png" in name}
    assert pictures == {
        p.relative_to(clone.root).as_posix() for p in clone.root.glob("plots/*.png")
    }


def test_dag_lists_the_five_stages_and_each_says_what_it_does(real: Project) -> None:
    assert all(stage in real.ok("dvc", "dag", "--mermaid") for stage in STAGES)
    listed = real.ok("dvc", "stage", "list")
    for stage in STAGES:
        description = yaml.safe_load((real.root / "dvc.yaml").read_text())["stages"][stage]["desc"]
        assert description.split()[0] in listed


def test_another_data_set_needs_no_change_of_code(tiny: Project) -> None:
    assert tiny.repro() == list(STAGES)
    metrics = json.loads((tiny.root / "metrics/per_class.json").read_text())
    assert set(metrics) == {"upper", "middle", "lower"}
    # 100 images in batches of 16 leave a last batch of four; they count as well.
    with (tiny.root / "plots/history.csv").open() as stream:
        accuracies = [float(row["accuracy"]) for row in csv.DictReader(stream)]
    assert all(round(accuracy * 100, 4) == int(accuracy * 100 + 0.5) for accuracy in accuracies)


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for orphans in /proc")
@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
@pytest.mark.parametrize("moment", ["Running stage 'train'", "epoch 2/"])
def test_a_killed_repro_leaves_no_orphan_and_ends_in_the_same_bytes(
    tiny: Project, moment: str, shell: str
) -> None:
    import os
    import signal
    import subprocess
    import sys
    import time

    tiny.edit_params(lambda params: params["recipes"]["tutorial"].update(epochs=100_000))
    environment = os.environ | {
        "DATA_SOURCE": str(tiny.data_source),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "SHELL": shell,  # DVC starts the stages in it
    }
    # Into a file: a pipe that nobody reads any more would end a stage, too.
    log = tiny.root / ".git" / "repro-output"
    with log.open("w") as output:
        dvc = subprocess.Popen(["dvc", "repro"], cwd=tiny.root, env=environment, stdout=output)

    def noted(process: Path, name: str) -> bytes:
        """What the system notes of a process; nothing of one that has ended meanwhile."""
        try:
            return (process / name).read_bytes()
        except OSError:
            return b""

    def processes(of: bytes) -> list[Path]:
        return [
            path
            for path in Path("/proc").glob("[0-9]*")
            if os.access(path / "cwd", os.R_OK)
            and (path / "cwd").resolve() == tiny.root
            and of in noted(path, "cmdline")
        ]

    def wait_until(condition: Callable[[], bool], seconds: int) -> None:
        deadline = time.monotonic() + seconds
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert condition()

    def has_begun() -> bool:
        """Whether what `moment` names has: the stage, with its imports, or its training."""
        importing = [b"numpy" in noted(path, "maps") for path in processes(b"stages.train")]
        return moment in log.read_text() and any(importing)

    wait_until(has_begun, 120)
    dvc.send_signal(signal.SIGKILL)
    dvc.wait()
    wait_until(lambda: not processes(b"stages."), 20)
    assert not (tiny.root / "models/model.keras").exists()

    tiny.edit_params(lambda params: params["recipes"]["tutorial"].update(epochs=2))
    assert tiny.repro() == ["train", "evaluate", "visualize"]
    model = (tiny.root / "models/model.keras").read_bytes()
    tiny.repro("--force", "train")
    assert (tiny.root / "models/model.keras").read_bytes() == model
