"""How a command ends."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT

from commands.main import run_command
from workflow.errors import UserError


def _missing() -> int:
    return len(Path("no-such-file").read_bytes())


def _wrong() -> int:
    raise UserError("params.yaml: wrong")


def _interrupted() -> int:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("work", "status", "said"),
    [
        (lambda: 0, 0, ""),
        (lambda: 1, 1, ""),
        (_wrong, 1, "it: params.yaml: wrong\n"),
        (_missing, 1, "it: no-such-file: No such file or directory\n"),
        (_interrupted, 130, ""),
    ],
)
def test_a_command_ends_with_its_status_and_at_most_one_line(
    work: Callable[[], int], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        run_command("it", work)
    assert left.value.code == status
    assert capsys.readouterr() == ("", said)


@pytest.mark.parametrize(
    ("module", "while_importing"),
    [
        ("stages.train", "workflow.stage"),
        ("stages.train", "numpy"),
        ("stages.train", "tensorflow"),
        ("stages.visualize", "matplotlib.figure"),
        ("commands.review", "commands.main"),
        ("commands.review", "pandas"),
    ],
)
def test_an_interrupt_while_modules_are_imported_is_one_word(
    module: str, while_importing: str
) -> None:
    code = f"""
import os, runpy, signal, sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {while_importing!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, module], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode
    assert (done.stdout, done.stderr) == ("", "interrupted\n")


def test_a_closed_standard_output_is_no_error() -> None:
    code = "from workflow.progress import progress_bar, say; say('x'); progress_bar(1, 'x', 'x')"
    done = subprocess.run(
        ["sh", "-c", f'"$0" -c "{code}" >&- 2>&-', sys.executable], cwd=ROOT, check=False
    )
    assert done.returncode == 0


def test_a_reader_that_has_read_enough_is_no_error() -> None:
    code = "from commands.main import run_command; run_command('it', lambda: print('x' * 10**6))"
    done = subprocess.run(
        ["sh", "-c", f'"$0" -c "{code}" | head -c 1', sys.executable],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == (b"x", b"")
