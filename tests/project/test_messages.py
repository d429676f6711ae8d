"""The messages, side by side; `pytest -s` shows the table, as `python -m tests.messages` does."""

import subprocess
import sys

import pytest
from messages import ROOT, messages


@pytest.mark.parametrize(
    ("file", "kind", "text"),
    [(file, kind, text) for file, _, kind, text in messages()],
)
def test_a_message_is_one_line_without_a_full_stop(file: str, kind: str, text: str) -> None:
    assert text.strip() == text != ""
    assert len(text.splitlines()) == 1
    assert not text.endswith((".", "!"))
    # A reason of a source is followed by the next, and ends with what to do.
    if kind == "UserError" and not text.startswith("{"):
        assert ": " in text or "; " in text, "it says what is wrong, and not what to do"


def test_the_table_has_every_message() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.messages"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    print(done.stdout)
    assert len(done.stdout.splitlines()) == 2 + len(list(messages()))
