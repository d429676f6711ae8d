"""Every command of the README is run, as it stands there, in a fresh clone."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from projects import ROOT, STAGES, Project, copy_repository, sliced, stages_run

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
COMMAND = re.compile(r"^((make|dvc|python|pip) |DATA_SOURCE=)")

# Not run below, and why.
ELSEWHERE = {
    "make test": "is a part of what runs this test",
    "make test-all": "is what runs this test",
    "make frontier": "takes up to an hour; frontier/tests runs it on a small data set",
    "make bench": "takes minutes; test_a_round_of_the_benchmark runs one round",
    "dvc exp run -S recipe=cnn-small": "test_pipeline does so with another on a small data set",
    "make review HEAD=NAME": "the same test reviews that experiment",
    "dvc add photos": "tests/stages/test_own_pictures.py does so",
    "DATA_SOURCE=/a/folder make repro": "test_sources and every test with `tiny`",
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


def test_accuracy_is_the_tutorials() -> None:
    metrics = json.loads((ROOT / "metrics/test.json").read_text())
    assert 0.86 <= metrics["accuracy"] <= 0.89


def test_numbers_of_the_page_are_the_committed_ones() -> None:
    metrics = json.loads((ROOT / "metrics/test.json").read_text())
    for name in ("accuracy", "accuracy_interval_low", "accuracy_interval_high"):
        assert f"{metrics[name]:.4f}" in README
    timed = (ROOT / "benchmarks/results/speed.md").read_text()
    quoted = re.findall(r"\b\d+(?:\.\d+)? s\b", README)
    assert len(quoted) >= 4
    assert all(f"| {seconds} " in timed for seconds in quoted)


@pytest.mark.slow
@pytest.mark.timeout(3600)
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
@pytest.mark.timeout(3600)
def test_the_commands_without_make(tmp_path: Path, real: Project) -> None:
    (tmp_path / "clone").mkdir()
    project = copy_repository(tmp_path / "clone")
    env = {"DATA_SOURCE": str(real.root / "data" / "raw"), "PYTHONSAFEPATH": "1"}
    assert "(run `unset PYTHONSAFEPATH` if that is set" in README
    done = project.run("sh", "-ec", f"unset PYTHONSAFEPATH\n{WITHOUT_MAKE}", env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert stages_run(done.stdout) == list(STAGES)
    assert project.ok("git", "status", "--porcelain") == ""


@pytest.mark.slow
def test_plain_keras_uses_the_model_as_the_page_says(real: Project) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    before = "import numpy as np\nimages = np.load('data/normalized.npz')['test_images'][:500]\n"
    after = (
        "ours = np.load('data/predictions.npz')['probabilities'][:500]\n"
        "print((logits.argmax(1) == ours.argmax(1)).all())"
    )
    assert real.ok("python", "-c", before + code + after).splitlines()[-1] == "True"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_round_of_the_benchmark(real: Project, tmp_path: Path) -> None:
    project = sliced(tmp_path, real, images=1000)
    project.commit("A part of the data")
    project.ok("dvc", "repro", "download")
    table = project.ok("python", "-m", "benchmarks", "--rounds", "1", "--only", "speed")
    assert "| one epoch | " in table
    assert (project.root / "benchmarks/results/time.png").stat().st_size > 1000
    written = (project.root / "benchmarks/results/speed.md").read_text()
    assert written.strip() in table


@pytest.mark.slow
def test_cores_are_compared_on_a_few_images(real: Project, tmp_path: Path) -> None:
    project = Project(tmp_path / "clone")
    real.ok("git", "clone", "-q", str(real.root), str(project.root))
    shutil.copytree(real.root / "data" / "raw", project.root / "data" / "raw")
    code = "cores.IMAGES, cores.SHARDS = 512, {128: 4}; samples = cores.measure(1)"
    draw = "cores.picture(samples).savefig('cores.png'); print(cores.table(samples, 1))"
    said = project.ok("python", "-c", f"from benchmarks import cores; {code}; {draw}")
    assert (
        len(re.findall(r"^\| [12] \| 128 \| .* × \| \d+ \| 0\.\d\d × \|$", said, re.MULTILINE)) == 2
    )
    assert re.search(r"two workers on a core each \(\d+\.\d\d ×\)", said)
    assert (project.root / "cores.png").stat().st_size > 1000
