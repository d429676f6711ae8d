"""How a command ends, and what `python -m commands` says of the names."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from projects import ROOT, Project

from commands import __main__ as runner
from commands import check_lock
from workflow.core.errors import UserError


def _missing() -> int:
    return len(Path("no-such-file").read_bytes())


def _wrong() -> int:
    raise UserError("params.yaml: wrong")


def _interrupted() -> int:
    raise KeyboardInterrupt


def _ended() -> int:
    os.kill(os.getpid(), signal.SIGTERM)
    return 0


def _unforeseen() -> int:
    return {"a": 1}["b"]


@pytest.mark.parametrize(
    ("work", "status", "said"),
    [
        (lambda: 0, 0, ""),
        (lambda: 1, 1, ""),
        (_wrong, 1, "check-lock: params.yaml: wrong\n"),
        (_missing, 1, "check-lock: no-such-file: No such file or directory\n"),
        (_interrupted, 130, ""),
        (_ended, 130, "check-lock: ended by SIGTERM\n"),
        (_unforeseen, 1, "check-lock: unexpected KeyError: 'b'; the traceback is in "),
    ],
)
def test_a_command_ends_with_its_status_and_at_most_one_line(
    work: Callable[[], int],
    status: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(check_lock, "main", lambda arguments: work())
    monkeypatch.setattr(sys, "argv", ["commands", "check-lock"])
    assert runner.main() == status
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(said) if "traceback" in said else told.err == said
    assert told.err.count("\n") == (1 if said else 0)


@pytest.mark.parametrize("arguments", [(), ("--help",), ("no-such",)])
def test_the_names_are_listed_where_none_is_given_or_it_is_wrong(
    arguments: tuple[str, ...],
) -> None:
    done = Project(ROOT).run("python", "-m", "commands", *arguments)
    assert done.returncode == (2 if arguments == ("no-such",) else 0)
    for file in (ROOT / "commands").glob("[a-z]*.py"):
        assert file.stem.replace("_", "-") in done.stdout


@pytest.mark.slow
def test_every_command_tells_its_options() -> None:
    for file in sorted((ROOT / "commands").glob("[a-z]*.py")):
        name = file.stem.replace("_", "-")
        done = Project(ROOT).command(name, "--help")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"usage: python -m commands {name} ")


@pytest.mark.parametrize(
    ("package", "name", "while_importing", "status", "lines"),
    [
        ("stages", "train", "workflow.model.keras_file", 1, 1),
        ("stages", "visualize", "matplotlib.figure", 1, 1),
        ("commands", "write-review", "commands.review.change", 130, 0),
        ("commands", "write-review", "jinja2", 130, 0),
    ],
)
def test_an_interrupt_while_modules_are_imported_ends_quietly(
    package: str, name: str, while_importing: str, status: int, lines: int
) -> None:
    code = f"""
import os, runpy, signal, sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {while_importing!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
runpy.run_module({package!r}, run_name="__main__", alter_sys=True)
"""
    done = Project(ROOT).run("python", "-c", code, name)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.count("\n") == lines, done.stderr


def test_a_closed_standard_output_is_no_error() -> None:
    code = (
        "from workflow.core.progress import progress_bar, say; say('x'); progress_bar(1, 'x', 'x')"
    )
    done = subprocess.run(
        ["sh", "-c", f'"$0" -c "{code}" >&- 2>&-', sys.executable], cwd=ROOT, check=False
    )
    assert done.returncode == 0


def test_a_reader_that_has_read_enough_is_no_error() -> None:
    code = (
        "import sys; from commands import __main__ as runner, check_lock;"
        " check_lock.main = lambda arguments: print('x' * 10**6);"
        " sys.argv[1:] = ['check-lock']; runner.main()"
    )
    done = subprocess.run(
        ["sh", "-c", f'"$0" -c "{code}" | head -c 1', sys.executable],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == (b"x", b"")
