"""Which recipes are compared, and their pipeline, run by the real DVC on a small data set."""

import json
import shutil
import statistics
from pathlib import Path

import pytest
from imports import check_deps_of_code, own_files_imported
from pngs import check_png
from projects import ROOT, Project, copy_repository, dump_yaml, load_yaml, use_tiny

from frontier.params import Reference, load_frontier
from frontier.report import Rung, picture, table
from workflow.core.errors import UserError
from workflow.core.params import load_params

STAGES = load_yaml(ROOT / "frontier/dvc.yaml")["stages"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f["recipes"].append("nope"), r"params\.yaml has no nope: add it there"),
        (lambda f: f["recipes"].append("tutorial"), "recipes holds 'tutorial' twice"),
        (lambda f: f.update(seeds=[1]), "seeds: list should have at least 2"),
        (lambda f: f["references"][0].update(accuracy=93), "references.0.accuracy"),
    ],
)
def test_the_settings_are_checked(tmp_path: Path, change, message: str) -> None:
    settings = load_yaml(ROOT / "frontier/params.yaml")
    change(settings)
    dump_yaml(tmp_path / "frontier.yaml", settings)
    with pytest.raises(UserError, match=message) as error:
        load_frontier(load_params(ROOT / "params.yaml"), tmp_path / "frontier.yaml")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("stage", ["probe", "report"])
def test_deps_of_code_are_what_the_stage_imports(stage: str) -> None:
    check_deps_of_code(STAGES[stage]["deps"], f"frontier/{stage}.py", ROOT)


def test_the_probe_runs_all_the_code_that_measuring_does() -> None:
    measured = own_files_imported(ROOT / "frontier/measure.py", ROOT)
    probed = own_files_imported(ROOT / "frontier/probe.py", ROOT)
    assert measured - probed == {"frontier/measure.py"}


@pytest.fixture
def project(tiny_source: Path, tmp_path: Path) -> Project:
    """A copy of the project with the tiny data set, one recipe and two seeds."""
    project = copy_repository(tmp_path / "project", left_out=["dvc.lock"])
    for name in ("runs", "probes"):
        shutil.rmtree(project.root / "frontier" / name, ignore_errors=True)
    for name in ("dvc.lock", "times.json", "table.md", "frontier.png"):
        (project.root / "frontier" / name).unlink(missing_ok=True)

    def change(params: dict) -> None:
        use_tiny(params, tiny_source)
        tutorial = params["recipes"]["tutorial"]
        params["recipes"] = {"tutorial": tutorial, "longer": tutorial | {"epochs": 3}}

    project.edit_params(change)
    edit(project, lambda f: f.update(recipes=["tutorial"], seeds=[1, 2]))
    return Project(project.root, tiny_source)


def edit(project: Project, change) -> None:
    path = project.root / "frontier/params.yaml"
    content = load_yaml(path)
    change(content)
    dump_yaml(path, content)


def run(project: Project, target: str = "frontier/dvc.yaml") -> list[str]:
    """Run the pipeline, or one stage of it, and return the names of its stages that ran."""
    names = project.repro(target)
    prefix = "frontier/dvc.yaml:"
    return sorted(name.removeprefix(prefix) for name in names if name.startswith(prefix))


@pytest.mark.slow
def test_a_recipe_or_a_seed_more_is_trained_alone(project: Project) -> None:
    project.repro()
    failed = project.run("dvc", "repro", "frontier/dvc.yaml:report")
    assert failed.returncode != 0
    assert "frontier/times.json" in failed.stderr
    project.ok("python", "-m", "frontier", "time", "--rounds", "1")
    assert run(project) == ["report"]
    text = (project.root / "frontier/table.md").read_text(encoding="utf-8")
    runs = [
        json.loads((project.root / f"frontier/runs/tutorial-{seed}.json").read_text())
        for seed in (1, 2)
    ]
    mean = statistics.mean(run["test_accuracy"] for run in runs)
    assert f"| `tutorial` | {mean:.4f} ± " in text
    assert run(project) == []

    edit(project, lambda f: f["recipes"].append("longer"))
    failed = project.run("dvc", "repro", "frontier/dvc.yaml")
    assert "frontier/times.json has no times of longer: run `make frontier-times`" in failed.stderr
    times = json.loads((project.root / "frontier/times.json").read_text())
    times["recipes"]["longer"] = times["recipes"]["tutorial"]
    (project.root / "frontier/times.json").write_text(json.dumps(times))
    assert run(project) == ["report"]
    # Code is edited, and computes the same: only the short trainings run, and the new seed.
    edit(project, lambda f: f["seeds"].append(3))
    with (project.root / "workflow/model/training.py").open("a") as file:
        file.write("# A comment.\n")
    measures = ["measure@longer-3", "measure@tutorial-3"]
    assert run(project) == [*measures, "probe@longer", "probe@tutorial", "report"]
    # It computes something else: it is trained again.
    optimizers = project.root / "workflow/model/optimizers.py"
    optimizers.write_text(
        optimizers.read_text().replace("rate = self.learning_rate", "rate = 2 * self.learning_rate")
    )
    assert run(project, "frontier/dvc.yaml:measure@longer-1") == [
        "measure@longer-1",
        "probe@longer",
    ]


def rung(name: str, seconds: float, accuracy: float) -> Rung:
    return Rung(
        name,
        [accuracy, accuracy + 0.002],
        {"weights": 12345, "megaflop_an_image": 1.5, "file_megabytes": 0.4},
        {"train_seconds": seconds, "predict_milliseconds": 0.1, "peak_megabytes": 800},
    )


def test_the_table_and_the_picture_show_all(tmp_path: Path) -> None:
    rungs = [rung("small", 6, 0.88), rung("large", 600, 0.94)]
    assert "| `large` | 0.9410 ± 0.0014 | 600 s | 100.0 | 12,345 |" in table(rungs, "a machine", 3)
    figure = picture(rungs, [Reference(name="others", accuracy=0.95, source="a paper")])
    (axes,) = figure.axes
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [list(line.get_ydata()) for line in dots] == [[0.88, 0.882], [0.94, 0.942]]
    assert {"small", "large", "others"} <= {text.get_text() for text in axes.texts}
    check_png(figure, tmp_path / "figure.png")


def test_both_pages_have_the_committed_numbers() -> None:
    measured = (ROOT / "frontier/table.md").read_text(encoding="utf-8")
    assert measured in (ROOT / "frontier/README.md").read_text(encoding="utf-8")
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    for line in measured.splitlines()[3:]:  # the tutorial has its row from another study
        if line.startswith("| `"):
            name, accuracy = line.split(" | ")[:2]
            assert f"{name}" in page
            assert accuracy in page
