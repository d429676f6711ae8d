"""The study's settings, and its pipeline run by the real DVC on a small data set."""

import csv
import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from imports import check_deps_of_code
from projects import ROOT, Project, copy_repository, dump_yaml, load_yaml, use_tiny

from commands.review.lockfile import md5_of
from published.params import load_published
from workflow.core.errors import UserError
from workflow.core.params import load_params

STAGES = load_yaml(ROOT / "published/dvc.yaml")["stages"]


def edit(path, change):
    content = load_yaml(path)
    change(content)
    dump_yaml(path, content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _, p: p["images"].remove(3), "does not hold 3"),
        (lambda _, p: p["seeds"].append(1), "seeds holds 1 twice"),
        (lambda _, p: p.update(seeds=[1]), r"published\.yaml: seeds"),
        (lambda _, p: p["results"]["tutorial"].update(test_acuracy=0.9), "unknown key"),
        (lambda _, p: p["results"]["tutorial"].update(test_accuracy=88.0), "88"),
        (lambda p, _: p["recipes"].pop("tutorial-two-layers"), "two-layers: no such recipe"),
        (lambda p, _: p["data"]["class_names"].pop(), "has 9 classes, but .* label 9: restore"),
    ],
)
def test_the_settings_are_checked(tmp_path, change, message):
    params, published = load_yaml(ROOT / "params.yaml"), load_yaml(ROOT / "published/params.yaml")
    change(params, published)
    dump_yaml(tmp_path / "params.yaml", params)
    dump_yaml(tmp_path / "published.yaml", published)
    with pytest.raises(UserError, match=message) as error:
        read = load_params(tmp_path / "params.yaml")
        load_published(read, len(read.data.class_names), tmp_path / "published.yaml")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("stage", STAGES)
def test_deps_of_code_are_what_the_stage_imports(stage):
    check_deps_of_code(STAGES[stage]["deps"], f"published/{stage}.py", ROOT)


@pytest.fixture
def project(tiny_source: Path, tmp_path: Path) -> Project:
    """A copy of the project with the tiny data set, one recipe to reproduce, and two seeds."""
    project = copy_repository(tmp_path / "project", left_out=["dvc.lock", "frontier"])
    for folder in ("runs", "seeds"):
        shutil.rmtree(project.root / "published" / folder)
    (project.root / "published/dvc.lock").unlink()
    project.edit_params(lambda params: use_tiny(params, tiny_source))
    project.edit_params(lambda params: params["recipes"]["overfitting"].update(epochs=1))
    edit(
        project.root / "published/params.yaml",
        lambda p: p.update(seeds=[1, 2], results={"tutorial": p["results"]["tutorial"]}),
    )
    return Project(project.root, tiny_source)


def reproduce(project):
    """Run the study and return the names of its stages that ran."""
    names = project.repro("published/dvc.yaml")
    prefix = "published/dvc.yaml:"
    return [name.removeprefix(prefix) for name in names if name.startswith(prefix)]


def read_runs_of_tutorial(project):
    return json.loads((project.root / "published/runs/tutorial.json").read_text())["runs"]


@pytest.mark.slow
def test_a_change_computes_what_it_concerns_alone(project):
    assert sorted(reproduce(project)) == ["measure@tutorial", "overfit", "report"]
    assert reproduce(project) == []
    alone = read_runs_of_tutorial(project)

    results = project.root / "published/params.yaml"
    edit(results, lambda p: p["results"]["tutorial"].update(test_accuracy=0.5))
    assert reproduce(project) == ["report"]
    edit(results, lambda p: p["images"].append(40))
    assert project.ok("python", "-m", "published") == ""
    failed = project.run("dvc", "repro", "published/dvc.yaml")
    assert failed.returncode != 0
    assert "images: 40, but the last test image is 39: correct it" in failed.stderr
    edit(results, lambda p: p.update(seeds=[3, 1, 2], images=[0, 1, 3]))
    assert reproduce(project) == ["measure@tutorial", "report"]
    # A run does not hang on those before it in the same process.
    assert read_runs_of_tutorial(project)[1:] == alone
    with (project.root / "published/results.csv").open(encoding="utf-8", newline="") as stream:
        assert [row["seed"] for row in csv.DictReader(stream)] == ["3", "1", "2"]
    seeds = json.loads((project.root / "published/seeds/tutorial.json").read_text())
    assert [*seeds["test_accuracy"]] == ["1", "2", "3"]
    edit(results, lambda p: p.update(seeds=[1]))
    complaint = project.run("python", "-m", "published")
    assert complaint.returncode == 1
    assert len(complaint.stderr.splitlines()) == 1


# `measure` looks into the results, to see that they fit the params.
READ_WITHOUT_EFFECT = {"measure": "published/params.yaml: results"}


@pytest.mark.slow
def test_every_stage_needs_and_reads_just_what_it_declares(project, tmp_path):
    reproduce(project)
    recorder = str(ROOT / "tests/record_params.py")
    for stage, declared in STAGES.items():
        item = ["tutorial"] if "matrix" in declared else []

        def filled(text, item=item):
            return text.replace("${item.recipe}", *item) if item else text

        alone = tmp_path / stage
        for dep in declared["deps"]:
            (alone / dep).parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (project.root / dep).is_dir() else shutil.copy2
            copy(project.root / dep, alone / dep)
        for name in ("params.yaml", "published/params.yaml", "published/dvc.yaml"):
            shutil.copy2(project.root / name, alone / name)
        said = Project(alone).ok(sys.executable, recorder, f"published.{stage}", *item)
        for kind in ("outs", "plots"):
            for entry in declared.get(kind, []):
                name = filled(next(iter(entry)))
                assert (alone / name).read_bytes() == (project.root / name).read_bytes(), name

        names = set()
        for entry in declared["params"]:
            files = entry if isinstance(entry, dict) else {"": [entry]}
            for file, keys in files.items():
                names |= {f"{file}: {key}" if file else filled(key) for key in keys}
        seen = {*json.loads(said.splitlines()[-1])}
        ignored = READ_WITHOUT_EFFECT.get(stage, "nothing")
        undeclared = {
            key
            for key in seen
            if not key.startswith(ignored)
            and not any(f"{key}.".startswith(f"{name}.") for name in names)
        }
        unread = {
            name for name in names if not any(f"{key}.".startswith(f"{name}.") for key in seen)
        }
        assert (stage, undeclared, unread) == (stage, set(), set())


@pytest.mark.slow
def test_recipes_of_ones_own_are_measured_as_the_page_says(project):
    page = (ROOT / "published/README.md").read_text(encoding="utf-8")
    path = project.root / "published/own.yaml"
    path.write_text(re.search(r"```yaml\n(results:.*?)```", page, re.DOTALL)[1], encoding="utf-8")
    own = load_yaml(path)
    path.unlink()
    (name,) = own["results"]
    project.edit_params(lambda p: p["recipes"].update({name: p["recipes"]["tutorial"]}))
    edit(project.root / "published/params.yaml", lambda p: p.update(own, images=[]))
    assert f"measure@{name}" in reproduce(project)
    with (project.root / "published/results.csv").open(encoding="utf-8", newline="") as stream:
        rows = [(row["recipe"], row["seed"]) for row in csv.DictReader(stream)]
    assert rows == [(name, "1"), (name, "2")]


@pytest.mark.slow
def test_forged_results_are_caught_by_running(project):
    """Another table of runs, with the lock to fit, in a change of nothing else."""
    project.repro("--all-pipelines")
    project.commit("Record the results")
    results = project.root / "published/params.yaml"
    edit(results, lambda p: p["results"]["tutorial"].update(test_accuracy=0.5))
    assert reproduce(project) == ["report"]
    project.commit("Correct what is published")
    # Only that stage is run again; what the others gave is as it was.
    told = project.command("reproduce", "--base", "HEAD~1")
    assert told.returncode == 0, told.stdout + told.stderr
    assert "'published/dvc.yaml:measure@tutorial' didn't change" in told.stdout
    assert "Running stage 'published/dvc.yaml:report'" in told.stdout
    # The run with the pipeline's seed gives what the pipeline gives.
    metrics = json.loads((project.root / "metrics/test.json").read_text())
    first = read_runs_of_tutorial(project)[0]
    assert first["seed"] == load_yaml(project.root / "params.yaml")["seed"]
    assert (first["test_accuracy"], first["test_loss"]) == (metrics["accuracy"], metrics["loss"])
    assert first["train_accuracy"] == metrics["train_accuracy"]

    runs, lock = project.root / "published/runs/tutorial.json", project.root / "published/dvc.lock"
    before = md5_of(runs)
    content = json.loads(runs.read_text())
    content["runs"][0]["test_accuracy"] = 0.9999
    runs.write_text(json.dumps(content))
    lock.write_text(lock.read_text().replace(before, md5_of(runs)))
    project.commit("Claim more")
    told = project.command("reproduce", "--base", "HEAD~1")
    assert told.returncode == 1
    assert "published/runs/tutorial.json (stage published/dvc.yaml:measure@tuto" in told.stdout
    # Nothing of published/ has changed since, so that it is not run.
    assert project.command("reproduce", "--base", "HEAD").returncode == 0
