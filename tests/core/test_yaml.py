"""YAML is read as DVC reads it, and what is none is named."""

from pathlib import Path

import pytest
from dvc.utils.serialize import dumps_yaml, loads_yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from workflow.core.errors import UserError
from workflow.core.yaml import parse_yaml, read_yaml

WRITTEN_ODDLY = ["4:3", "1:30.5", "yes", "Off", "n", "0o17", "1_000", "010", "1e5", ".5e3", "null"]


@given(st.text("0123456789:.eE+-_oxnyOf~= <'\"#", min_size=1) | st.floats() | st.integers())
@example(WRITTEN_ODDLY)
@example([True, False, None, 1e-05, -0.0, float("inf")])
@settings(deadline=None, derandomize=True, max_examples=50)
def test_what_dvc_writes_is_read_as_it_was(value: object) -> None:
    assert repr(parse_yaml(dumps_yaml({"value": value}))["value"]) == repr(value)


@pytest.mark.parametrize("text", [*WRITTEN_ODDLY, "0x1F", "1e-05", "2.e-4", "1:30", "2024-01-02"])
def test_what_a_person_writes_is_read_as_dvc_reads_it(text: str) -> None:
    ours, theirs = (read(f"value: {text}")["value"] for read in (parse_yaml, loads_yaml))
    assert (ours, type(ours)) == (theirs, type(theirs))


def bomb(of_the_one_before: str) -> bytes:
    """Some hundred bytes that stand for more values than there are atoms."""
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {of_the_one_before.format(f'*a{n - 1}')}" for n in range(1, 150)]
    return "\n".join(lines).encode()


def test_aliases_of_a_person_are_read() -> None:
    content = parse_yaml("a: &a {x: 1, y: &y [2]}\nb: *a\nc: {<<: *a, x: *y}")
    assert content == {"a": {"x": 1, "y": [2]}, "b": {"x": 1, "y": [2]}, "c": {"x": [2], "y": [2]}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"seed: [1", "not valid YAML: did not find expected ',' or ']' in line 2"),
        (b"seed: 1\nseed: 2", 'duplicate key "seed"'),
        (b"seed: 1\n<<<<<<< HEAD\nseed: 2\n", "conflict markers of a merge in line 2"),
        (b"seed: 2024-13-45", "'2024-13-45' is no timestamp in line 1"),
        (b"seed: !!bool maybe", "'maybe' is no bool in line 1"),
        (b"a: 1\nseed: !!int foo", "'foo' is no int in line 2"),
        (b"a: 1\nseed: !!float foo", "'foo' is no float in line 2"),
        (b"a: 1\nseed: 0x" + b"f" * 5000, "is no int in line 2"),
        (b"a: 1\nseed: " + b"9" * 5000, "is no int in line 2"),
        (b"seed: !!set [1]", "in line 1"),
        (b"seed: \0", "control characters"),
        (b"seed: \xff", "not valid YAML"),
        (b"[" * 3000, "nested more than 50 deep: make it flatter"),
        (b"[" * 300_000, "nested more than 50 deep: make it flatter"),
        (b"a: *b", "*b stands for nothing before it"),
        (b"a: &b [*b]", "*b stands for nothing before it"),
        (bomb("[{0}, {0}, {0}, {0}]"), "more than 100000 values, aliases written out"),
        (bomb("{{<<: [{0}, {0}, {0}, {0}]}}"), "more than 100000 values, aliases written out"),
    ],
)
def test_what_is_no_yaml_is_named_in_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "some.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_yaml(path)
    text = str(error.value)
    assert text.startswith(f"{path}: ")
    assert said in text
    assert "\n" not in text


def test_a_line_of_a_text_is_no_conflict_marker() -> None:
    assert parse_yaml('a: "one\n=======\ntwo"') == {"a": "one ======= two"}


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml is missing"):
        read_yaml(tmp_path / "nowhere.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        read_yaml(tmp_path)
