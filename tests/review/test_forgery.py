"""Ways to forge a result, each on real commits. Whatever the caches say, a run finds it out."""

import csv
import json
import os
import py_compile
from collections.abc import Callable
from pathlib import Path

import pytest
from projects import Project, dump_yaml, load_yaml

from commands.review.lockfile import object_path, recorded_outs
from commands.review.revisions import Revision

VERDICT = "These results are not those of the code."
METRICS, PREDICTIONS = "metrics/test.json", "plots/predictions.csv"

pytestmark = pytest.mark.slow


def change_json(project: Project, **values: float) -> None:
    path = project.root / METRICS
    content = json.loads(path.read_text(encoding="utf-8")) | values
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def edit(project: Project, name: str, old: str, new: str) -> None:
    path = project.root / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def make_all_right(project: Project) -> None:
    """Change each mistake among the predictions into the truth."""
    path = project.root / PREDICTIONS
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            right = {"predicted": row["actual"], "predicted_label": row["actual_label"]}
            writer.writerow(row | right)


def believed(project: Project) -> None:
    """Let DVC record what lies there, as if its stages had written it."""
    project.ok("dvc", "commit", "--force", "-q")
    project.commit("Improve")
    # All that can be told without a run is green.
    assert project.command("check-lock").returncode == 0
    assert project.command("verify").returncode == 0


def found(project: Project) -> str:
    """What reproducing says of a commit that is forged."""
    done = project.command("reproduce")
    assert done.returncode == 1, done.stdout + done.stderr
    project.ok("git", "checkout", "-q", "--force", "HEAD")
    review = project.command("write-review", "--base", "main")
    assert review.returncode == 0, review.stderr
    assert f"review: {VERDICT}" in review.stdout
    report = (project.root / "review/report.md").read_text(encoding="utf-8")
    assert report.splitlines()[2].startswith(f"**{VERDICT}")
    page = (project.root / "review/index.html").read_text(encoding="utf-8")
    assert '<body class="doubtful">' in page
    return done.stdout


def by_hand(project: Project) -> str:
    change_json(project, accuracy=0.9412)
    return "accuracy is 0.9412, the code gives"


def predictions_too(project: Project) -> str:
    make_all_right(project)
    change_json(project, accuracy=1.0, macro_f1=1.0)
    return f"{PREDICTIONS} (stage evaluate): "


def rounded(project: Project) -> str:
    """Code that flatters, run once, and taken back before it is committed."""
    name = "workflow/core/paths.py"
    edit(project, name, "\nDECIMALS = 4", "\nDECIMALS = 1")
    project.repro("evaluate")
    edit(project, name, "\nDECIMALS = 1", "\nDECIMALS = 4")
    return f"{METRICS} (stage evaluate): "


@pytest.mark.parametrize("forge", [by_hand, predictions_too, rounded])
def test_what_dvc_commit_records_is_no_run(
    forger: Project, forge: Callable[[Project], str]
) -> None:
    claim = forge(forger)
    believed(forger)
    told = found(forger)
    assert claim in told
    # Asked to believe the run cache, it does not say what the code gives before it has run it.
    cached = forger.command("reproduce", "--run-cache")
    if forge is not by_hand:
        return
    assert "vouches for nothing" in cached.stdout
    forger.command("write-review", "--base", "main")
    report = (forger.root / "review/report.md").read_text(encoding="utf-8")
    assert "not checked: equal to what DVC's run cache holds" in report


def test_a_forged_run_cache_does_not_accuse_an_honest_commit(forger: Project) -> None:
    honest = forger.ok("git", "rev-parse", "HEAD").strip()
    by_hand(forger)
    believed(forger)
    forger.ok("git", "checkout", "-q", "--force", honest)
    done = forger.command("reproduce", "--run-cache")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the code gives 0.9412" not in done.stdout
    assert "every stage ran; DVC's run cache is wrong" in done.stdout


def test_a_forged_object_of_the_cache_is_not_believed(forger: Project) -> None:
    recorded = recorded_outs(Revision(None, "here", forger.root).lock)["models/model.keras"][1].md5
    stored = object_path(forger.root / ".dvc/cache", recorded)
    stored.chmod(0o644)
    stored.write_bytes(b"forged")
    stored.chmod(0o444)  # as DVC leaves what it need not hash again
    done = forger.command("reproduce", "--run-cache")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "running every stage" in done.stdout


def test_edited_predictions_contradict_the_metrics_that_were_left(forger: Project) -> None:
    make_all_right(forger)
    believed(forger)
    assert forger.command("write-review", "--base", "main").returncode == 0
    report = (forger.root / "review/report.md").read_text(encoding="utf-8")
    assert f"contradicts {PREDICTIONS}, which gives 1.0000" in report


def test_numbers_that_contradict_each_other_are_marked_before_anything_runs(
    forger: Project,
) -> None:
    by_hand(forger)
    believed(forger)
    assert forger.command("write-review", "--base", "main").returncode == 0
    report = (forger.root / "review/report.md").read_text(encoding="utf-8")
    assert report.splitlines()[2].startswith(f"**{VERDICT}")
    (row,) = (line for line in report.splitlines() if line.startswith("| accuracy |"))
    assert f"contradicts {PREDICTIONS}, which gives" in row
    assert "outside its own interval" in row


def test_what_lies_beside_the_commit_is_not_read(forger: Project) -> None:
    """What Git ignores, and the environment: a stage that reads them gives another result."""
    (forger.root / "data/better.txt").write_text("0.97", encoding="utf-8")
    told = """
    import os, pathlib
    beside = pathlib.Path("data/better.txt")
    overall["accuracy"] = float(
        os.environ.get("BETTER") or (beside.read_text() if beside.exists() else accuracy)
    )
    write_json(outputs.path(paths.TEST_METRICS)"""
    edit(forger, "stages/evaluate.py", "\n    write_json(outputs.path(paths.TEST_METRICS)", told)
    forger.repro()
    forger.commit("Read what is not declared")
    done = forger.run("python", "-m", "commands", "reproduce", env={"BETTER": "0.97"})
    assert done.returncode == 1
    assert "accuracy is 0.97, the code gives" in done.stdout
    # Nor is what the commit holds and no stage declares.
    forger.ok("git", "add", "-f", "data/better.txt")
    forger.commit("Keep it")
    assert "accuracy is 0.97, the code gives" in found(forger)


def test_a_package_does_not_stand_in_for_a_module_that_is_declared(forger: Project) -> None:
    package = forger.root / "workflow/metrics"
    package.mkdir()
    source = (forger.root / "workflow/metrics.py").read_text(encoding="utf-8")
    flattering = f"{source}\n\ndef macro_f1(counts):\n    return 0.99\n"
    (package / "__init__.py").write_text(flattering, encoding="utf-8")
    forger.repro("--force", "evaluate")
    forger.repro()
    forger.commit("Improve")
    assert json.loads((forger.root / METRICS).read_text())["macro_f1"] == 0.99
    assert forger.command("check-lock").returncode == 0
    # Before anything runs: nothing has changed that the results are made from.
    forger.command("write-review", "--base", "main")
    report = (forger.root / "review/report.md").read_text(encoding="utf-8")
    assert report.splitlines()[2].startswith(f"**{VERDICT}")
    assert f"stage evaluate: {METRICS} of " in report
    assert "macro_f1 is 0.99, the code gives" in found(forger)


@pytest.mark.parametrize("escape", ["absolute", "upwards", "link"])
def test_a_lock_that_names_places_outside_deletes_nothing(
    forger: Project, tmp_path: Path, escape: str
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "work.txt").write_text("of years", encoding="utf-8")
    lock = load_yaml(forger.root / "dvc.lock")
    place = {"absolute": str(precious), "upwards": "../../../../../../" * 3 + str(precious)}
    path = place.get(escape, "workflow/core/elsewhere/work.txt")
    if escape == "link":  # where a stage declares what lies there; links elsewhere are removed
        (forger.root / "workflow/core/elsewhere").symlink_to(precious)
    outs = [{"path": path, "md5": "0" * 32}]
    lock["stages"]["ghost"] = {"cmd": "true", "outs": outs}
    dump_yaml(forger.root / "dvc.lock", lock)
    forger.commit("Name a place")
    done = forger.command("reproduce")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "dvc.lock names it as a result" in line
    assert (precious / "work.txt").exists()


def test_a_compiled_module_in_git_does_not_stand_in_for_its_source(forger: Project) -> None:
    source = forger.root / "stages/evaluate.py"
    honest = source.read_text(encoding="utf-8")
    source.write_text(honest.replace('"accuracy": accuracy', '"accuracy": 0.98'), encoding="utf-8")
    compiled = py_compile.compile(
        str(source), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    source.write_text(honest, encoding="utf-8")
    forger.repro("--force", "evaluate")
    forger.repro()
    assert json.loads((forger.root / METRICS).read_text())["accuracy"] == 0.98
    forger.ok("git", "add", "-f", os.path.relpath(compiled, forger.root))
    forger.commit("Improve")
    assert forger.command("check-lock").returncode == 0
    assert "accuracy is 0.98, the code gives" in found(forger)


def test_a_metric_that_no_stage_writes_is_named(forger: Project) -> None:
    pipeline = load_yaml(forger.root / "dvc.yaml")
    evaluate = pipeline["stages"]["evaluate"]
    evaluate["metrics"] = [item for item in evaluate["metrics"] if METRICS not in item]
    pipeline["metrics"] = [METRICS]
    dump_yaml(forger.root / "dvc.yaml", pipeline)
    lock = load_yaml(forger.root / "dvc.lock")
    outs = lock["stages"]["evaluate"]["outs"]
    lock["stages"]["evaluate"]["outs"] = [out for out in outs if out["path"] != METRICS]
    dump_yaml(forger.root / "dvc.lock", lock)
    change_json(forger, accuracy=0.99)
    forger.commit("Improve")
    done = forger.command("check-lock")
    assert done.returncode == 1
    assert f"{METRICS}: dvc.yaml shows it as a result, but no stage writes it" in done.stdout


def test_a_result_of_reproducing_that_came_with_a_commit_is_not_believed(forger: Project) -> None:
    by_hand(forger)
    believed(forger)
    forger.command("reproduce", "--run-cache")
    path = forger.root / "review/reproduction.json"
    told = json.loads(path.read_text(encoding="utf-8")) | {"every_stage_ran": True}
    forged = forger.ok("git", "rev-parse", "HEAD").strip()
    path.write_text(json.dumps(told), encoding="utf-8")
    forger.ok("git", "add", "-f", "review/reproduction.json")
    forger.commit("Vouch for the commit before")
    done = forger.command("write-review", "--base", "main", "--head", forged)
    assert done.returncode == 0, done.stderr
    report = (forger.root / "review/report.md").read_text(encoding="utf-8")
    assert "| Reproduced byte for byte on a clean copy | not checked: run" in report
