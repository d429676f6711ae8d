"""Tables and JSON: what is damaged or doubtful is named, and never believed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from projects import ROOT

from workflow.core.errors import UserError
from workflow.core.files import partial_path, read_columns, read_json, write_csv, write_json

DEEP = "[" * 100_000


def one_line(error: pytest.ExceptionInfo[UserError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    columns = {"epoch": [1.0, 2.0], "loss": [1e-07, 0.25], "gap": [-1.5, 3e22]}
    write_csv(tmp_path / "a.csv", list(columns), zip(*columns.values(), strict=True))
    assert read_columns(tmp_path / "a.csv", ["loss"]) == columns
    content = {"a": 1, "b": {"c": 0.1, "d": [None, True, "NaN"]}, "e": -1e-9}
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json") == content


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not enough values"),
        ("a,b\n", "no rows"),
        ("a,b\n1,2,3\n", "row 1 has 3 cells, the header 2"),
        ("a,b\n1,2\n1\n", "row 2 has 1 cells, the header 2"),
        ("a,a\n1,2\n", "column 'a' twice"),
        ("a,b\n1,nan\n", "'nan' is no number"),
        ("a,b\n1,-inf\n", "'-inf' is no number"),
        ("a,b\n1,1e999\n", "'1e999' is no number"),
        ("a,b\n1,1_0\n", "'1_0' is no number"),
        ("a,b\n1,٣\n", "'٣' is no number"),
        ("a,b\n1,True\n", "'True' is no number"),
        ("a,c\n1,2\n", "no column b"),
        (f"a,b\n1,{'1' * 131_073}\n", "field larger than field limit"),
        ('a,b\n1,"2\n', "unexpected end of data"),
        ("a,b\n1,\0\n", "is no number"),
    ],
)
def test_a_doubtful_table_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "history.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        read_columns(path, ["b"])
    assert one_line(error).startswith(f"{path}: damaged (")
    assert said in one_line(error)
    assert "delete it and run `dvc repro`" in one_line(error)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": NaN}', "'NaN' is no number"),
        ('{"a": -Infinity}', "'-Infinity' is no number"),
        ('{"a": 1e999}', "'1e999' is no number"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "key 'c' twice"),
        (DEEP, "nested too deeply"),
        ("", "Expecting value"),
        ("{'a': 1}", "Expecting property name"),
        ('"\udcff"', "codec can't decode"),
        ("1" * 5000, "Exceeds the limit"),
    ],
)
def test_doubtful_json_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "test.json"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(UserError) as error:
        read_json(path)
    assert one_line(error).startswith(f"{path}: damaged (")
    assert said in one_line(error)


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("plots/history.csv", "train"),
        ("metrics/test.json", "evaluate"),
        ("metrics/mine.json", ""),
    ],
)
def test_the_stage_that_makes_a_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, stage: str
) -> None:
    monkeypatch.chdir(tmp_path)
    repro = f"dvc repro {stage}".strip()
    with pytest.raises(UserError, match=f"{name} is missing: make it with `{repro}`"):
        read_json(Path(name))
    Path(name).mkdir(parents=True)
    with pytest.raises(UserError, match=f"{name}: cannot be read .*Is a directory.* `{repro}`"):
        read_json(Path(name))


WRITING = """
import sys, time
from pathlib import Path
from workflow.core.files import written_whole
letter, size = sys.argv[1], 5_000_000
with written_whole(Path("result")) as partial:
    with partial.open("w") as stream:
        for _ in range(10):
            stream.write(letter * (size // 10))
            stream.flush()
            print("more", flush=True)
            sys.stdin.readline()
"""


def test_of_two_processes_that_write_the_same_each_result_is_whole(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITING, letter],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for letter in "ab"
    ]
    for _ in range(10):  # in turn, so that each has half a file while the other writes
        for writer in writers:
            assert writer.stdout and writer.stdin
            assert writer.stdout.readline() == "more\n"
            writer.stdin.write("\n")
            writer.stdin.flush()
    assert [writer.wait() for writer in writers] == [0, 0]
    for writer in writers:
        assert writer.stdin and writer.stdout
        writer.stdin.close()
        writer.stdout.close()
    content = (tmp_path / "result").read_text()
    assert content in ("a" * 5_000_000, "b" * 5_000_000)
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


def test_what_a_killed_process_left_is_deleted_and_a_running_one_keeps_its_own(
    tmp_path: Path,
) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    litter, in_use = (tmp_path / f".partial.{pid}.result" for pid in (ended.pid, os.getppid()))
    for path in (litter, in_use):
        path.mkdir()
        (path / "half").touch()
    assert partial_path(tmp_path / "result").name == f".partial.{os.getpid()}.result"
    assert not litter.exists()
    assert (in_use / "half").exists()


def test_json_of_the_repository_is_read(tmp_path: Path) -> None:
    for path in (ROOT / "metrics").glob("*.json"):
        assert read_json(path) == json.loads(path.read_text())
