"""How a command ends."""

import signal
import subprocess
import sys
import time
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


@pytest.mark.parametrize("module", ["stages.train", "commands.predict", "commands.review"])
@pytest.mark.parametrize("seconds", [0.25, 0.6])
def test_an_interrupt_while_modules_are_imported_is_one_word(module: str, seconds: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", module, "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    # Whatever it was doing by then, it says no more than a line of that.
    assert process.returncode
    assert said.decode().count("\n") <= 1, said.decode()
    assert "Traceback" not in said.decode()


def test_a_reader_that_has_read_enough_is_no_error() -> None:
    code = "from commands.main import run_command; run_command('it', lambda: print('x' * 10**6))"
    done = subprocess.run(
        ["sh", "-c", f'"$0" -c "{code}" | head -c 1', sys.executable],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == (b"x", b"")
