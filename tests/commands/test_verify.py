"""A single flipped byte is found, named, and mended by the command that is printed."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from projects import ROOT, Project, dump_yaml

from commands.review.lockfile import LockedStage, object_path
from commands.review.revisions import Revision


def verify(project: Project) -> tuple[int, str]:
    done = project.command("verify")
    return done.returncode, done.stdout + done.stderr


def locked(project: Project) -> dict[str, LockedStage]:
    return Revision(None, "here", project.root).lock


def flip_a_byte(path: Path) -> None:
    """As a failing disk would: the size, the permissions and the time stay what they were."""
    state = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(state.st_mode)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


@pytest.fixture
def reproduced(tiny_run: Project, tmp_path: Path) -> Project:
    """A copy of a project whose pipeline has run, with data and cache, for a test to damage."""
    shutil.copytree(tiny_run.root, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project", tiny_run.data_source)


@pytest.mark.slow
def test_every_kind_of_damage_is_found_and_mended(reproduced: Project) -> None:
    status, said = verify(reproduced)
    assert status == 0, said
    lock = locked(reproduced)
    cache = reproduced.root / ".dvc" / "cache"
    raw = next(out for out in lock["download"].outs)
    inside_folder = next(
        path
        for path in sorted((cache / "files" / "md5").glob("??/*"))
        if path.stat().st_size == 100 + 8  # the labels of the training images
    )
    victims = {
        object_path(cache, lock["train"].outs[0].md5): "train",
        object_path(cache, raw.md5): "download",
        inside_folder: "download",
        reproduced.root / "data/normalized.npz": "normalize",
        reproduced.root / "metrics/test.json": "evaluate",
    }
    for victim, stage in victims.items():
        flip_a_byte(victim)
        status, said = verify(reproduced)
        assert status == 1
        line = next(line for line in said.splitlines() if str(victim.name) in line)
        assert f"written by stage {stage}" in line
        command = line.split("was edited: ")[1]
        reproduced.ok("sh", "-c", command)
        status, said = verify(reproduced)
        assert status == 0, said
    assert reproduced.ok("git", "status", "--porcelain") == ""


@pytest.mark.slow
def test_an_edited_run_and_an_edited_size_are_found_and_mended(reproduced: Project) -> None:
    entry = next(
        path
        for path in (reproduced.root / ".dvc/cache/runs").glob("??/*/*")
        if "stages train" in path.read_text()
    )
    whole = entry.read_text()
    for content in (whole.replace("md5: ", "md5: 0", 1), "", "[1]", "a: [", "1"):
        entry.write_text(content)
        status, said = verify(reproduced)
        (line,) = said.splitlines()
        assert status == 1
        assert str(entry.name) in line
        reproduced.ok("sh", "-c", line.rpartition(": ")[2])
        assert not entry.exists()
    lock = reproduced.root / "dvc.lock"
    recorded = lock.read_text()
    for before in ("size: ", "nfiles: "):
        for position in [match.end() for match in re.finditer(before, recorded)][:4]:
            lock.write_text(f"{recorded[:position]}1{recorded[position:]}")
            status, said = verify(reproduced)
            assert status == 1
            assert "verify: dvc.lock records of " in said
            assert f" {before}1" in said
            reproduced.ok("sh", "-c", said.partition("`")[2].partition("`")[0])
            assert lock.read_text() == recorded
    assert verify(reproduced)[0] == 0


@pytest.mark.slow
def test_a_wrong_size_in_a_run_is_found_and_mended(reproduced: Project) -> None:
    runs = list((reproduced.root / ".dvc/cache/runs").glob("??/*/*"))
    for path, key in (
        ("models/model.keras", "size"),
        ("data/normalized.npz", "size"),
        ("data/raw", "size"),
        ("data/raw", "nfiles"),
    ):
        pattern = re.compile(rf"path: {path}\n(?:  .*\n)*?  {key}: ")
        entry, found = next(
            (run, found) for run in runs if (found := pattern.search(run.read_text()))
        )
        whole = entry.read_text()
        entry.write_text(f"{whole[: found.end()]}7{whole[found.end() :]}")
        status, said = verify(reproduced)
        assert status == 1
        assert f"{entry.name} (of an earlier result) records a wrong size of {path}: " in said
        reproduced.ok("sh", "-c", said.rpartition(": ")[2])
        assert not entry.exists()
        entry.write_text(whole)
    assert verify(reproduced)[0] == 0


@pytest.mark.slow
def test_an_object_that_no_lock_mentions_is_checked_as_well(reproduced: Project) -> None:
    model = locked(reproduced)["train"].outs[0].md5
    reproduced.edit_params(lambda params: params.update(seed=7))
    reproduced.repro()
    flip_a_byte(object_path(reproduced.root / ".dvc" / "cache", model))
    status, said = verify(reproduced)
    assert status == 1
    assert "of an earlier result" in said


@pytest.mark.slow
def test_the_model_of_another_run_is_not_called_damaged(reproduced: Project) -> None:
    reproduced.edit_params(lambda params: params.update(seed=7))
    reproduced.repro()
    reproduced.ok("git", "restore", ".")
    status, said = verify(reproduced)
    assert status == 1
    assert "models/model.keras (written by stage train) is of another run" in said
    assert "damaged" not in said
    for line in said.splitlines():
        reproduced.ok("sh", "-c", line.split("another run: ")[1])
    status, said = verify(reproduced)
    assert status == 0, said


def test_an_output_that_is_not_there_is_not_counted(reproduced: Project) -> None:
    _, before = verify(reproduced)
    (reproduced.root / "models/model.keras").unlink()
    status, said = verify(reproduced)
    assert status == 0
    named, counted = said.splitlines()
    assert "not there" in named and "models/model.keras" in named
    assert int(counted.split()[1]) == int(before.split()[1]) - 1


def test_what_git_keeps_comes_back_from_git(reproduced: Project) -> None:
    (reproduced.root / "metrics/test.json").unlink()
    (reproduced.root / "plots/sample.png").unlink()
    (reproduced.root / "plots/sample.png").symlink_to("nowhere")
    status, said = verify(reproduced)
    assert status == 1
    assert "metrics/test.json (written by stage evaluate) is missing: git restore" in said
    assert "plots/sample.png (written by stage visualize) is a link to nothing: rm -f" in said
    for line in said.splitlines():
        reproduced.ok("sh", "-c", line.rpartition(": ")[2])
    assert verify(reproduced)[0] == 0
    assert reproduced.ok("git", "status", "--porcelain") == ""


def test_an_emptied_lock_file_says_how_to_restore_it(reproduced: Project) -> None:
    (reproduced.root / "dvc.lock").write_text("")
    for command in ("verify", "check-lock", "check-params"):
        done = reproduced.command(command)
        assert done.returncode == 1
        assert "dvc.lock: no lock file" in done.stderr
        assert "(it is empty): restore it with `git checkout HEAD -- dvc.lock`" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    reproduced.ok("git", "checkout", "HEAD", "--", "dvc.lock")
    assert verify(reproduced)[0] == 0


def test_without_a_lock_file_one_line_says_so(reproduced: Project) -> None:
    (reproduced.root / "dvc.lock").unlink()
    status, said = verify(reproduced)
    assert (status, len(said.splitlines())) == (1, 1)
    assert "dvc.lock is missing: run `dvc repro`" in said


@pytest.mark.slow
def test_another_pipeline_and_a_folder_with_a_space_are_mended_as_well(tmp_path: Path) -> None:
    root = tmp_path / "my project"
    stages = {
        "dvc.yaml": {"make": {"cmd": "printf one > 'the model'", "outs": ["the model"]}},
        "published/dvc.yaml": {
            "report": {
                "cmd": "printf two > published/table.md",
                "wdir": "..",
                "outs": [{"published/table.md": {"cache": False}}],
            }
        },
    }
    for name, content in stages.items():
        (root / name).parent.mkdir(parents=True)
        dump_yaml(root / name, {"stages": content})
    project = Project(root)
    project.ok("git", "init", "-q")
    project.ok("dvc", "init", "-q")
    project.ok("dvc", "repro", "-q", "--all-pipelines")
    environment = {"PYTHONPATH": str(ROOT)}

    def check() -> subprocess.CompletedProcess[str]:
        return project.run("python", "-m", "commands", "verify", env=environment)

    assert check().returncode == 0, check().stderr
    model = locked(project)["make"].outs[0].md5
    for victim, stage in {
        root / "published/table.md": "published/dvc.yaml:report",
        object_path(root / ".dvc/cache", model): "make",
    }.items():
        flip_a_byte(victim)
        done = check()
        assert done.returncode == 1
        line = next(line for line in done.stdout.splitlines() if victim.name in line)
        assert f"written by stage {stage})" in line
        # The object of a file that is linked to it is damaged in both places.
        for line in done.stdout.splitlines():
            project.ok("sh", "-c", line.split("was edited: ")[1])
        assert check().returncode == 0, check().stdout
