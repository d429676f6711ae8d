"""Published results beside reproduced ones, up to the pipeline run by the real DVC."""

import csv
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import Project, copy_repository, use_tiny
from imports import own_files_imported
from matplotlib.text import Text

from workflow.errors import UserError
from workflow.figures.published import published_against_reproduced
from workflow.lockfile import md5_of
from workflow.params import load_params
from workflow.published import SCORES, Prediction, Run, read_runs, spread, table
from workflow.published_params import PublishedResult, load_published

ROOT = Path(__file__).parent.parent
NAMES = ["shirt", "shoe", "bag"]


def test_spread_by_hand():
    of = spread("test_loss", [11.0, 12.0, 13.0, 14.0, 15.0])
    assert (of.mean, of.smallest, of.largest) == (13, 11, 15)
    assert of.deviation == pytest.approx(math.sqrt(2.5))
    # 2.776445 is the 97.5 % quantile of Student's t with four degrees of freedom.
    reach = 2.776445 * math.sqrt(2.5) * math.sqrt(1 + 1 / 5)
    assert of.low == pytest.approx(13 - reach, rel=1e-6)
    assert of.high == pytest.approx(13 + reach, rel=1e-6)
    assert of.holds(13 + reach - 1e-4)
    assert not of.holds(13 + reach + 1e-4)


def test_no_interval_reaches_where_a_score_cannot_lie():
    accuracy, loss = spread("test_accuracy", [0.9, 0.99]), spread("test_loss", [0.01, 0.2])
    assert (accuracy.high, loss.low) == (1, 0)
    assert 0 <= accuracy.low < 0.9
    assert loss.high > 1


@pytest.mark.parametrize("count", [2, 5, 10])
def test_the_interval_holds_one_more_run_in_95_of_100_cases(count):
    draws = np.random.default_rng(1).normal(0.88, 0.002, (2000, count + 1))
    share = np.mean([spread("test_accuracy", row[:-1].tolist()).holds(row[-1]) for row in draws])
    assert 0.935 < share < 0.965


def run(seed, accuracy, prediction):
    scores = dict.fromkeys(SCORES, accuracy)
    return Run(seed, scores, {0: Prediction(*prediction)})


def test_table_says_what_lies_inside_and_which_seeds_agree():
    runs = {"small": [run(1, 0.88, (1, 0.7)), run(2, 0.90, (1, 0.9)), run(3, 0.89, (2, 0.5))]}
    published = PublishedResult(
        source="a tutorial",
        train_accuracy=0.89,
        test_accuracy=0.5,
        prediction={"image": 0, "label": 1, "probability": 0.8},
        note="A remark.",
    )
    text = table({"small": published}, runs, NAMES)
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    by_score = {row[1]: row for row in rows if row[1].endswith(("accuracy", "loss"))}
    assert by_score["train accuracy"][2:4] == ["0.8900", "0.8900 ± 0.0100"]
    assert by_score["train accuracy"][4] == "0.8800 to 0.9000"
    assert by_score["train accuracy"][6] == "yes"
    assert by_score["test accuracy"][6] == "**no**"
    assert by_score["test loss"][6] == "–"
    assert rows[-1] == ["`small`", "0", "shoe 0.800", "0.700 to 0.900", "2 of 3"]
    assert "a tutorial. A remark." in text
    # A line with another number of cells would break the table where it is shown.
    assert all(len(row) in (5, 7) for row in rows)


def test_a_class_name_ends_no_cell():
    of = PublishedResult(source="s", prediction={"image": 0, "label": 1, "probability": 0.8})
    runs = {"small": [run(1, 0.88, (1, 0.7)), run(2, 0.90, (1, 0.9))]}
    assert r"| a\|b 0.800 |" in table({"small": of}, runs, ["a", "a|b"])


def test_results_of_ones_own_alone_are_compared_with_nothing():
    runs = {"small": [run(1, 0.88, (1, 0.7)), run(2, 0.90, (1, 0.9))]}
    own = {"small": PublishedResult(source="ours")}
    text = table(own, runs, NAMES)
    assert "| recipe | score | mean ± SD | smallest to largest | 95 % interval |\n" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(SCORES)
    assert {row.count("|") for row in rows} == {6}
    figure = published_against_reproduced(own, runs)
    texts = [artist.get_text() for artist in figure.findobj(Text)]
    assert "one seed" in texts
    assert not any("published" in shown.lower() for shown in [text, *texts])


@pytest.mark.parametrize(
    "content", [None, "", "[]", "{}", '{"runs": []}', '{"runs": [{"test_accuracy": 1}]}']
)
def test_a_missing_or_broken_file_of_runs_is_named(tmp_path, content):
    path = tmp_path / "tutorial.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=r"tutorial\.json: .*make published"):
        read_runs(path, [1, 2], [0])


def test_runs_of_older_params_are_named():
    path = ROOT / "published/runs/tutorial.json"
    assert [run.seed for run in read_runs(path, range(1, 11), [0, 1, 3])] == list(range(1, 11))
    with pytest.raises(UserError, match="other seeds"):
        read_runs(path, range(10), [0, 1, 3])
    with pytest.raises(UserError, match="other images"):
        read_runs(path, range(1, 11), [0, 1, 2])


def edit(path, change):
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(params)
    path.write_text(yaml.safe_dump(params), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _, p: p["images"].remove(3), "does not hold 3"),
        (lambda _, p: p["seeds"].append(1), "seeds holds 1 twice"),
        (lambda _, p: p.update(seeds=[1]), r"published.params\.yaml: seeds"),
        (lambda _, p: p["results"]["tutorial"].update(test_acuracy=0.9), "unknown key"),
        (lambda _, p: p["results"]["tutorial"].update(test_accuracy=88.0), "88"),
        (lambda p, _: p["recipes"].pop("tutorial-two-layers"), "two-layers: no such recipe"),
        (
            lambda p, _: p["data"]["class_names"].pop(),
            "data.class_names has 9 names, but .* label 9: restore the names",
        ),
    ],
)
def test_published_params_are_checked(tmp_path, change, message):
    for folder in ("", "published"):
        (tmp_path / folder).mkdir(exist_ok=True)
        for name in ("params.yaml", "dvc.yaml"):
            shutil.copy(ROOT / folder / name, tmp_path / folder)
    root, published = tmp_path / "params.yaml", tmp_path / "published/params.yaml"
    edit(root, lambda params: edit(published, lambda results: change(params, results)))
    assert re.search(message, complaint_of_check_params(tmp_path))


def complaint_of_check_params(folder):
    checked = subprocess.run(
        [sys.executable, "-m", "commands.check_params"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 1
    assert len(checked.stderr.splitlines()) == 1
    return checked.stderr


def test_a_lock_that_an_interrupt_has_emptied_says_the_way_back(tmp_path):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "published").mkdir()
    (tmp_path / "published/dvc.lock").touch()
    said = complaint_of_check_params(tmp_path)
    assert "published/dvc.lock: no lock file of DVC (it is empty): restore it with" in said
    assert "run `dvc repro published/dvc.yaml`" in said


def committed_run(recipe, seed):
    path = ROOT / f"published/runs/{recipe}.json"
    return next(run for run in json.loads(path.read_text())["runs"] if run["seed"] == seed)


def test_committed_results_are_those_of_the_runs():
    published = load_published(load_params(ROOT / "params.yaml"), ROOT / "published/params.yaml")
    with (ROOT / "published/results.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["recipe", "seed", *SCORES]
    wanted = [(recipe, seed) for recipe in published.results for seed in published.seeds]
    assert [(row["recipe"], int(row["seed"])) for row in rows] == wanted
    for row in rows:
        content = committed_run(row["recipe"], int(row["seed"]))
        assert {score: float(row[score]) for score in SCORES} == {s: content[s] for s in SCORES}


def test_the_pipeline_and_the_reproduction_give_the_same_scores():
    params = load_params(ROOT / "params.yaml")
    published = load_published(params, ROOT / "published/params.yaml")
    if params.recipe not in published.results or params.seed not in published.seeds:
        pytest.skip(f"params.yaml names {params.recipe} with seed {params.seed}: not reproduced")
    content = committed_run(params.recipe, params.seed)
    scores = json.loads((ROOT / "metrics/test.json").read_text())
    assert content["test_accuracy"] == scores["accuracy"]
    assert content["test_loss"] == scores["loss"]
    assert content["train_accuracy"] == scores["train_accuracy"]


@pytest.mark.parametrize("stage", ["reproduce", "overfit", "report"])
def test_every_module_that_a_stage_imports_is_a_dep(stage):
    stages = yaml.safe_load((ROOT / "published/dvc.yaml").read_text(encoding="utf-8"))["stages"]
    declared = {dep for dep in stages[stage]["deps"] if dep.endswith(".py")}
    assert declared == own_files_imported(ROOT / f"stages/{stage}.py", ROOT)


@pytest.fixture
def project(tiny_source: Path, tmp_path: Path) -> Project:
    """A copy of the project with the tiny data set, one recipe to reproduce, and two seeds."""
    project = copy_repository(tmp_path / "project", left_out=["dvc.lock"])
    shutil.rmtree(project.root / "published/runs")
    (project.root / "published/dvc.lock").unlink()
    project.edit_params(lambda params: use_tiny(params, tiny_source))
    project.edit_params(lambda params: params["recipes"]["overfitting"].update(epochs=1))
    edit(
        project.root / "published/params.yaml",
        lambda p: p.update(seeds=[1, 2], results={"tutorial": p["results"]["tutorial"]}),
    )
    return Project(project.root, tiny_source)


def reproduce(project):
    """Run the pipeline and return the names of the stages that ran."""
    return [
        name.removeprefix("published/dvc.yaml:") for name in project.repro("published/dvc.yaml")
    ]


def test_a_change_computes_what_it_concerns_alone(project):
    assert sorted(reproduce(project)) == [
        "download",
        "normalize",
        "overfit",
        "report",
        "reproduce@tutorial",
    ]
    assert reproduce(project) == []
    runs = project.root / "published/runs/tutorial.json"
    alone = json.loads(runs.read_text())["runs"]

    results = project.root / "published/params.yaml"
    edit(results, lambda p: p["results"]["tutorial"].update(test_accuracy=0.5))
    assert reproduce(project) == ["report"]
    edit(results, lambda p: p["images"].append(40))
    failed = project.run("dvc", "repro", "published/dvc.yaml")
    assert failed.returncode != 0
    assert "images: 40, but the last test image is 39: correct it" in failed.stderr
    edit(results, lambda p: p.update(seeds=[3, 1, 2], images=[0, 1, 3]))
    assert reproduce(project) == ["reproduce@tutorial", "report"]
    # A run does not hang on those before it in the same process.
    assert (
        json.loads((project.root / "published/runs/tutorial.json").read_text())["runs"][1:] == alone
    )
    with (project.root / "published/results.csv").open(encoding="utf-8", newline="") as stream:
        assert [row["seed"] for row in csv.DictReader(stream)] == ["3", "1", "2"]


def test_recipes_of_ones_own_are_measured_as_the_readme_says(project):
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    own = yaml.safe_load(re.search(r"```yaml\n(seeds:.*?)```", page, re.DOTALL)[1])
    edit(project.root / "published/params.yaml", lambda p: (p.clear(), p.update(own)))
    assert "reproduce@tutorial" in reproduce(project)
    with (project.root / "published/results.csv").open(encoding="utf-8", newline="") as stream:
        assert [int(row["seed"]) for row in csv.DictReader(stream)] == own["seeds"]


def test_forged_results_are_caught_by_running(project):
    """Another table of runs, with the lock to fit, in a change of nothing else."""
    project.repro("--all-pipelines")
    project.commit("Record the results")
    runs, lock = project.root / "published/runs/tutorial.json", project.root / "published/dvc.lock"
    before = md5_of(runs)
    content = json.loads(runs.read_text())
    content["runs"][0]["test_accuracy"] = 0.9999
    runs.write_text(json.dumps(content))
    lock.write_text(lock.read_text().replace(before, md5_of(runs)))
    project.commit("Claim more")
    command = ("python", "-m", "commands.reproduce", "--base")
    told = project.run(*command, "HEAD~1")
    assert told.returncode == 1
    assert "published/runs/tutorial.json (stage published/dvc.yaml:reproduce@tuto" in told.stdout
    # Nothing of published/ has changed since, so that it is not run.
    assert project.run(*command, "HEAD").returncode == 0
