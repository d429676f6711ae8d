"""A sweep by DVC's queue, two runs at a time, shared by two clones, and shown side by side."""

import csv
import json
import re
from pathlib import Path

import pytest
from PIL import Image
from projects import ROOT, Project

from commands.review.reproduction import flat
from commands.sweep import Run, swept_params, table_of


def test_a_setting_inside_a_list_is_swept_like_any_other() -> None:
    runs = []
    for units in (16, 8):
        params = {"recipes": {"mine": {"layers": [{"layer": "flatten"}, {"units": units}]}}}
        runs.append(Run(f"of {units}", flat(params), {"accuracy": units / 100}))
    (name,) = swept_params(runs)
    assert name == "recipes.mine.layers.1.units"
    rows = table_of(runs, [name], "accuracy").splitlines()[2:]
    assert [row.split(" | ")[:3] for row in rows] == [
        ["| 8", "1", "0.0800"],
        ["| 16", "1", "0.1600"],
    ]


@pytest.mark.slow
def test_a_sweep_of_six_runs_is_shared_and_shown(tiny_run: Project, tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    tiny_run.ok("git", "clone", "-q", "--bare", str(tiny_run.root), str(tmp_path / "hub.git"))
    hub = Project(tmp_path / "hub.git", tiny_run.data_source)
    machines = []
    for name in ("first", "second"):
        machine = hub.cloned(tmp_path / name, "main")
        machine.ok("dvc", "remote", "add", "-q", "--local", "--default", "shared", str(storage))
        machines.append(machine)
    first, second = machines
    first.repro("--pull")
    assert first.run("python", "-m", "commands", "sweep").stderr.startswith("sweep: no experiment")

    recipes = ["tutorial", "tutorial-two-layers"]
    sweep = ["-S", "seed=range(1,4)", "-S", f"recipe={','.join(recipes)}"]
    short = ["-S", "recipes.tutorial-two-layers.epochs=1"]
    first.ok("dvc", "exp", "run", "--queue", *sweep, *short)
    first.ok("dvc", "exp", "run", "--queue", "-S", "seed=none")  # one that fails
    first.ok("dvc", "queue", "start", "-j", "2")
    for _ in range(120):
        status = first.ok("dvc", "queue", "status")
        if not re.search(r"Running|Queued", status):
            break
        first.ok("sleep", "2")
    assert status.count("Success") == 6, status
    (failed,) = (line.split()[0] for line in status.splitlines() if "Failed" in line)
    reason = "train: params.yaml: seed: input should be a valid integer, got 'none'; "
    assert reason in first.ok("dvc", "queue", "logs", failed)
    assert reason in (ROOT / "SHARING.md").read_text(encoding="utf-8")

    assert first.ok("git", "status", "--porcelain") == ""
    first.ok("dvc", "exp", "push", "origin")
    second.ok("dvc", "exp", "pull", "origin", *experiments(first))
    assert experiments(second) == experiments(first)
    done = second.command("sweep")
    assert done.returncode == 0, done.stderr
    for name in recipes:
        assert re.search(rf"\| {name} (\| 1 |\| 2 |)\| 3 \|", done.stdout), done.stdout
    with (second.root / "sweep/runs.csv").open(encoding="utf-8") as file:
        runs = list(csv.DictReader(file))
    assert sorted((run["recipe"], run["seed"]) for run in runs) == [
        (recipe, str(seed)) for recipe in recipes for seed in (1, 2, 3)
    ]
    with Image.open(second.root / "sweep/sweep.png") as picture:
        assert picture.width > 400
    assert second.ok("git", "status", "--porcelain") == ""

    # The same run on its own, with all cores to itself.
    (name,) = (
        r["experiment"] for r in runs if (r["recipe"], r["seed"]) == ("tutorial-two-layers", "2")
    )
    results = ["dvc.lock", "metrics/test.json", "plots/history.csv", "plots/predictions.csv"]
    first.ok("dvc", "exp", "run", "--force", "-S", "seed=2", "-S", f"recipe={recipes[1]}", *short)
    alone = first.bytes_of(results)
    for path, content in alone.items():
        assert second.ok("git", "show", f"refs/exps/{reference(second, name)}:{path}") == (
            content.decode()
        )
    assert json.loads(alone["metrics/test.json"])["accuracy"] >= 0


def experiments(project: Project) -> list[str]:
    listed = project.ok("git", "for-each-ref", "--format=%(refname)", "refs/exps")
    return sorted(
        line.rpartition("/")[2] for line in listed.splitlines() if re.search("/../.{38}/", line)
    )


def reference(project: Project, name: str) -> str:
    (found,) = project.ok(
        "git", "for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{name}"
    ).split()
    return found.removeprefix("refs/exps/")
