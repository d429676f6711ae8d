"""`commands.review.lockfile` must hash as the real DVC does, and refuse what is no lock file."""

from pathlib import Path

import pytest
from projects import Project, dump_yaml

from commands.review.lockfile import (
    hashes_in_folder,
    md5_of,
    object_path,
    parse_lock,
    recorded_outs,
)
from commands.review.revisions import Revision
from workflow.core.errors import UserError


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DVC repository whose only stage writes a file and a nested folder."""
    project = Project(tmp_path_factory.mktemp("locked"))
    project.ok("git", "init", "-q")
    project.name_committer()
    project.ok("dvc", "init", "-q")
    stage = {
        "cmd": "mkdir -p tree/a/b && printf x > tree/a/b/é && printf yy > tree/a-b && "
        "printf 'one\\r\\ntwo' > file",
        "outs": ["file", "tree"],
        "params": [{"values.yaml": ["seed"]}],
    }
    dump_yaml(project.root / "values.yaml", {"seed": 3})
    dump_yaml(project.root / "dvc.yaml", {"stages": {"make": stage}})
    project.repro()
    return project.root


def test_hashes_and_objects_are_those_of_dvc(repository: Path) -> None:
    lock = Revision(None, "here", repository).lock
    outs = recorded_outs(lock)
    assert set(outs) == {"file", "tree"}
    for path, (stage, out) in outs.items():
        assert stage == "make"
        assert md5_of(repository / path) == out.md5
        assert object_path(repository / ".dvc/cache", out.md5).is_file()
    assert outs["tree"][1].is_folder
    folder = object_path(repository / ".dvc/cache", outs["tree"][1].md5)
    assert sorted(hashes_in_folder(folder)) == sorted(
        md5_of(repository / "tree" / name) for name in ("a/b/é", "a-b")
    )
    assert not outs["file"][1].is_folder
    assert lock["make"].params == {"values.yaml": {"seed": 3}}


def test_a_changed_file_in_a_folder_changes_its_hash(repository: Path) -> None:
    file, moved = repository / "tree/a/b/é", repository / "tree/a/b/e"
    before = md5_of(repository / "tree")
    file.rename(moved)
    assert md5_of(repository / "tree") != before
    moved.rename(file)
    assert md5_of(repository / "tree") == before


def test_what_lies_at_a_url_is_known_by_another_mark() -> None:
    text = b"stages: {a: {cmd: a, deps: [{path: 'https://example.org/file', etag: '\"5f3\"'}]}}"
    lock = parse_lock(text, "here", "mend it")
    assert [known.md5 for known in lock["a"].deps] == ['"5f3"']


def test_what_a_merge_has_left_is_for_the_command_that_resolves_results() -> None:
    with pytest.raises(UserError, match=r"^here: holds conflict markers of a merge: .*`make resol"):
        parse_lock(b"stages:\n<<<<<<< HEAD\n  a: 1\n", "here", "mend it")


@pytest.mark.parametrize(
    "text", ["stages:\n  - [a: 1\n", "[]", "stages: {train: {outs: [{path: x}]}}"]
)
def test_what_is_no_lock_file_is_one_clear_line(text: str) -> None:
    with pytest.raises(UserError, match=r"^here: no lock file of DVC .*: mend it$") as raised:
        parse_lock(text.encode(), "here", "mend it")
    assert "\n" not in str(raised.value)
    assert "it is empty" not in str(raised.value)


def test_a_lock_that_an_interrupt_has_emptied_says_how_to_restore_it(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/dvc.lock").touch()
    project = Project(tmp_path)
    project.ok("git", "init", "-q")
    said = (
        r"^sub/dvc\.lock: no lock file of DVC \(it is empty\).* -- sub/dvc\.lock`.*"
        r"`dvc repro sub/dvc\.yaml`$"
    )
    with pytest.raises(UserError, match=said):
        _ = Revision(None, "workspace", tmp_path).lock
    project.name_committer()
    project.commit("An empty lock")
    with pytest.raises(UserError, match=r"^sub/dvc\.lock of main: .*name another revision"):
        _ = Revision("HEAD", "main", tmp_path).lock
