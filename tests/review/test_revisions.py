"""Which commits are compared, and what is said where they cannot be."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from projects import ROOT, Project

from commands.review.revisions import WORKSPACE, Revision, resolve, resolve_base

CloneOf = Callable[[str], Project]


def test_the_base_is_chosen_and_named(clone_of: CloneOf, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = clone_of("main")
    monkeypatch.chdir(clone.root)
    workspace = Revision(None, WORKSPACE)
    main, before = resolve("main"), resolve("main~1")
    base, reason = resolve_base(None, workspace)
    assert (base, reason.partition(":")[0]) == (before, "the commit before")
    (clone.root / "review.yaml").write_text("another\n", encoding="utf-8")
    base, reason = resolve_base(None, workspace)
    assert (base, reason.partition(":")[0]) == (main, "the last commit")
    clone.ok("git", "checkout", "-q", "--force", "seed")
    assert resolve_base(None, workspace)[0] == main
    assert resolve_base("main...", workspace)[0] == main
    assert resolve_base("main~1", workspace)[0] == before


def test_a_first_commit_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    first = Project(tmp_path / "first")
    first.root.mkdir()
    first.ok("git", "init", "-q", "-b", "main")
    first.name_committer()
    for folder in ("commands", "workflow"):
        shutil.copytree(ROOT / folder, first.root / folder)
    (first.root / ".gitignore").write_text("__pycache__\n")
    first.commit("Begin")
    done = first.command("check-metrics")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "nothing to compare with: this is the first commit\n"
    (first.root / "NOTES").touch()
    first.commit("Go on")
    shallow = Project(tmp_path / "shallow")
    first.ok("git", "clone", "-q", "--depth=1", first.root.as_uri(), str(shallow.root))
    done = shallow.command("check-metrics")
    assert done.returncode == 1
    assert "git fetch --unshallow" in done.stderr


def test_a_name_that_is_no_utf_8_is_a_name(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.ok("git", "init", "-q", "-b", "main")
    project.name_committer()
    name = os.fsdecode(b"a \xff")
    (tmp_path / name).touch()
    assert Revision(None, WORKSPACE, tmp_path).files == {name}
    assert Revision(project.commit("Begin"), "main", tmp_path).files == {name}


def test_an_unknown_base_is_one_line(repository: Project) -> None:
    done = repository.command("check-metrics", "--base", "no-such")
    assert done.returncode == 1
    assert re.fullmatch(r"check-metrics: no-such: no such commit here: .*\n", done.stderr)


def test_a_commit_is_not_compared_with_itself(repository: Project) -> None:
    done = repository.command("check-metrics", "--base", "main", "--head", "main")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"nothing to compare: base and head are both [0-9a-f]+\n", done.stdout)


def test_a_folder_of_a_larger_repository_is_no_place_for_a_review(
    repository: Project, tmp_path: Path
) -> None:
    clone = repository.cloned(tmp_path / "above/pipeline", "main")
    shutil.rmtree(clone.root / ".git")
    clone.ok("git", "init", "-q", str(tmp_path / "above"))
    done = clone.command("check-metrics", "--base", "main")
    assert done.returncode == 1
    assert "pipeline/ is a folder of a larger repository" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_experiment_of_two_commits_is_asked_for_by_its_whole_name(clone_of: CloneOf) -> None:
    clone = clone_of("main")
    refs = [f"refs/exps/{n:02}/{n:038}/twice" for n in (1, 2)]
    for ref, commit in zip(refs, ("origin/seed", "main~1"), strict=True):
        clone.ok("git", "update-ref", ref, commit)
    done = clone.command("check-metrics", "--base", "HEAD", "--head", "twice")
    assert done.returncode == 1
    assert f"2 experiments have this name: name {refs[0]} or {refs[1]}\n" in done.stderr
    assert clone.command("check-metrics", "--base", "HEAD", "--head", refs[0]).returncode == 0


@pytest.mark.slow
def test_an_experiment_is_reviewed_by_its_name(clone_of: CloneOf) -> None:
    clone = clone_of("main")
    clone.ok("dvc", "exp", "run", "-q", "--name", "one-more", "-S", "seed=4")
    clone.ok("git", "checkout", "-q", "--force", "main")
    done = clone.command("write-review", "--base", "HEAD", "--head", "one-more")
    assert done.returncode == 0, done.stderr
    report = (clone.root / "review/report.md").read_text(encoding="utf-8")
    assert "| seed | 1 | 4 |" in report
