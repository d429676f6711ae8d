"""Every command of the README is run, as it stands there, in a fresh clone."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, STAGES, Project, copy_repository, stages_run

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
COMMAND = re.compile(r"^((make|dvc|python|pip) |DATA_SOURCE=)")

# Not run below, and why.
ELSEWHERE = {
    "make test": "is what runs this test",
    "make bench": "takes minutes; test_a_round_of_the_benchmark runs one round",
    "dvc exp run -S recipe=cnn": "test_pipeline does so on a small data set",
    "DATA_SOURCE=/a/folder make repro": "tests/test_sources.py and every test with `tiny`",
}
ACTIVATE = ". .venv/bin/activate"
WITHOUT_MAKE = next(block for block in BLOCKS if "pip install" in block)


def commands_in_order() -> list[str]:
    """All commands, from blocks and from running text, in the order of the page."""
    found = []
    text = re.sub(r"^\|.*\n", "", README, flags=re.MULTILINE)  # tables name, they do not tell
    for block, span in re.findall(r"```sh\n(.*?)```|`([^`\n]+)`", text, re.DOTALL):
        if block and block != WITHOUT_MAKE:
            found += block.strip().splitlines()
        elif COMMAND.match(span) and "dvc.yaml" not in span:
            found.append(span)
    return list(dict.fromkeys(found))


def test_the_page_leads_with_the_two_commands() -> None:
    assert BLOCKS[0].split("\n")[:2] == ["make repro", "make test"]


def test_every_file_that_is_linked_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_accuracy_is_the_tutorials(real: Project) -> None:
    metrics = json.loads((real.root / "metrics/test.json").read_text())
    assert 0.86 <= metrics["accuracy"] <= 0.89


def test_numbers_of_the_page_are_the_committed_ones() -> None:
    metrics = json.loads((ROOT / "metrics/test.json").read_text())
    for name in ("accuracy", "accuracy_interval_low", "accuracy_interval_high"):
        assert f"{metrics[name]:.4f}" in README
    rows = [row for row in README.splitlines() if row.startswith("| `tutorial")]
    assert len(rows) == 5
    table = iter((ROOT / "published/table.md").read_text().splitlines())
    for row in rows:
        recipe, _, published, mean, interval = (cell.strip() for cell in row.strip("| ").split("|"))
        while not next(table).startswith(f"| {recipe} "):
            pass
        scores = next(line for line in table if "| test accuracy |" in line)
        assert all(f"| {cell} |" in scores for cell in (published, mean, interval)), row
    outside = (ROOT / "published/table.md").read_text().count("| **no** |")
    assert f"{outside} of all 14 published scores do not" in README.replace("\n", " ")
    with (ROOT / "published/results.csv").open() as stream:
        runs = [row for row in csv.DictReader(stream) if row["recipe"] == "tutorial"]
    accuracies = sorted(row["test_accuracy"] for row in runs)
    assert f"{accuracies[0]} and {accuracies[-1]}" in (ROOT / "review.yaml").read_text()
    speed = (ROOT / "benchmarks/results/speed.md").read_text().splitlines()
    quoted = [row for row in README.splitlines() if " × |" in row]
    assert len(quoted) >= 3
    assert set(quoted) <= set(speed)


@pytest.mark.parametrize(("moved", "left"), [(True, False), (False, True)])
def test_an_environment_that_was_moved_is_made_anew(
    tmp_path: Path, moved: bool, left: bool
) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    program = tmp_path / ".venv/bin/dvc"
    program.parent.mkdir(parents=True)
    place = tmp_path / "elsewhere" if moved else tmp_path
    program.write_text(f"#!{place}/.venv/bin/python\n")
    subprocess.run(["make", "help"], cwd=tmp_path, check=True, capture_output=True)
    assert program.exists() is left


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_every_command(tmp_path: Path) -> None:
    """On a machine with nothing but Python, git and make: no environment of ours is active."""
    (tmp_path / "clone").mkdir()
    project = copy_repository(tmp_path / "clone")
    project.run("dvc", "remote", "remove", "shared")  # which a reader may have added by now
    project.run("git", "commit", "-qam", "Share nothing")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "python3").symlink_to(sys._base_executable)  # type: ignore[attr-defined]
    fresh = {"PATH": f"{tools}:/usr/bin:/bin"}
    activated = False
    for command in commands_in_order():
        activated = activated or command == ACTIVATE
        needs_no_more = command.startswith(("make", "DATA_SOURCE=", ACTIVATE))
        assert activated or needs_no_more, f"{command}: the page has not said to activate yet"
        if command in ELSEWHERE:
            continue
        # A storage of the reader's own must not be touched.
        run = command.replace("/tmp/dvc-storage", str(tmp_path / "storage"))  # noqa: S108
        script = run if needs_no_more else f"{ACTIVATE} && {run}"
        done = project.run("sh", "-c", script, env=fresh)
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        if command == "make repro":
            assert stages_run(done.stdout) == list(STAGES)
            assert project.ok("git", "status", "--porcelain") == ""
            again = project.run("sh", "-c", command, env=fresh)
            assert stages_run(again.stdout) == []
        if command == "make published":
            assert stages_run(done.stdout) == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_commands_without_make(tmp_path: Path, real: Project) -> None:
    (tmp_path / "clone").mkdir()
    project = copy_repository(tmp_path / "clone")
    source = {"DATA_SOURCE": str(real.root / "data" / "raw")}
    done = project.run("sh", "-ec", WITHOUT_MAKE, env=source)
    assert done.returncode == 0, done.stdout + done.stderr
    assert stages_run(done.stdout) == list(STAGES)
    assert project.ok("git", "status", "--porcelain") == ""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_round_of_the_benchmark(real: Project, tmp_path: Path) -> None:
    project = Project(tmp_path / "clone")
    real.ok("git", "clone", "-q", str(real.root), str(project.root))
    shutil.copytree(real.root / "data" / "raw", project.root / "data" / "raw")
    table = project.ok("python", "-m", "benchmarks", "--rounds", "1", "--only", "speed")
    assert "| one epoch | " in table
    assert (project.root / "benchmarks/results/time.png").stat().st_size > 1000
    written = (project.root / "benchmarks/results/speed.md").read_text()
    assert written.strip() in table
