"""`workflow.lockfile` must hash as the real DVC does, and refuse what is no lock file."""

import subprocess
from pathlib import Path

import pytest
import yaml

from workflow.errors import UserError
from workflow.lockfile import (
    hashes_in_folder,
    md5_of,
    object_path,
    parse_lock,
    read_lock,
    recorded_outs,
)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DVC repository whose only stage writes a file and a nested folder."""
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["dvc", "init", "-q"], check=True)
    stage = {
        "cmd": "mkdir -p tree/a/b && printf x > tree/a/b/é && printf yy > tree/a-b && "
        "printf 'one\\r\\ntwo' > file",
        "outs": ["file", "tree"],
        "params": [{"values.yaml": ["seed"]}],
    }
    Path("values.yaml").write_text("seed: 3\n", encoding="utf-8")
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {"make": stage}}), encoding="utf-8")
    subprocess.run(["dvc", "repro", "-q"], check=True)
    return tmp_path


def test_hashes_and_objects_are_those_of_dvc(repository: Path) -> None:
    outs = recorded_outs(read_lock())
    assert set(outs) == {"file", "tree"}
    for path, (stage, out) in outs.items():
        assert stage == "make"
        assert md5_of(Path(path)) == out.md5
        assert object_path(Path(".dvc/cache"), out.md5).is_file()
    assert outs["tree"][1].is_folder
    folder = object_path(Path(".dvc/cache"), outs["tree"][1].md5)
    assert sorted(hashes_in_folder(folder)) == sorted(
        md5_of(Path("tree", name)) for name in ("a/b/é", "a-b")
    )
    assert not outs["file"][1].is_folder
    assert read_lock()["make"].params == {"values.yaml": {"seed": 3}}


def test_a_changed_file_in_a_folder_changes_its_hash(repository: Path) -> None:
    before = md5_of(Path("tree"))
    Path("tree/a/b/é").rename("tree/a/b/e")
    assert md5_of(Path("tree")) != before


def test_what_lies_at_a_url_is_known_by_another_mark() -> None:
    dep = {"path": "https://example.org/file", "etag": '"5f3"', "size": 3}
    lock = parse_lock(yaml.safe_dump({"stages": {"a": {"cmd": "a", "deps": [dep]}}}), "here")
    assert [known.md5 for known in lock["a"].deps] == ['"5f3"']


@pytest.mark.parametrize(
    "text", ["stages:\n<<<<<<< HEAD\n  a: 1\n", "[]", "stages: {train: {outs: [{path: x}]}}"]
)
def test_what_is_no_lock_file_is_one_clear_line(text: str) -> None:
    with pytest.raises(UserError, match=r"^here: no lock file of DVC.*git checkout") as raised:
        parse_lock(text, "here")
    assert "\n" not in str(raised.value)
    assert "it is empty" not in str(raised.value)


def test_a_lock_that_an_interrupt_has_emptied_says_the_way_back() -> None:
    said = (
        r"^sub/dvc\.lock: no lock file of DVC \(it is empty\).* -- sub/dvc\.lock`.*"
        r"`dvc repro sub/dvc\.yaml`$"
    )
    with pytest.raises(UserError, match=said):
        parse_lock("", "sub/dvc.lock")
    with pytest.raises(UserError, match=r"^sub/dvc\.lock of main: .*name another revision"):
        parse_lock("", "sub/dvc.lock", "main")


def test_a_missing_lock_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="dvc repro"):
        read_lock(tmp_path / "dvc.lock")
