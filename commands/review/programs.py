"""Other programs, run so that a failure is one line."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from workflow.core.errors import UserError, full_folders

_SET_BY_HOOKS = ("GIT_DIR", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_WORK_TREE")
# With it, Python would not find `stages` in the folder that it is run in.
_LEFT_OUT = (*_SET_BY_HOOKS, "PYTHONSAFEPATH")


def environment() -> dict[str, str]:
    """The environment variables for Git, DVC and the stages that DVC starts with this Python."""
    # A Git hook sets these for its own repository, whichever folder is meant here.
    variables = {k: v for k, v in os.environ.items() if k not in _LEFT_OUT}
    # What runs in another folder means the same source.
    source = variables.get("DATA_SOURCE")
    if source and Path(source).is_dir():
        variables["DATA_SOURCE"] = str(Path(source).resolve())
    tools = f"{Path(sys.executable).parent}{os.pathsep}{variables.get('PATH', '')}"
    return variables | {"PATH": tools}


def output_of(command: Sequence[str], folder: Path = Path(), failure: str = "") -> bytes:
    """Run a program and return its standard output.

    Args:
        command: the program and its arguments.
        folder: where to run it.
        failure: a text in standard error that means a failure, whatever the status.

    Raises:
        UserError: the program is missing or fails; the message is what it says.
    """
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment(), capture_output=True, check=False
        )
    except FileNotFoundError:
        raise UserError(f"{command[0]} is not installed: install it, or run `make setup`") from None
    complaint = done.stderr.decode(errors="replace").strip()
    if done.returncode or (failure and failure in complaint):
        name = " ".join(word for word in command[:6] if word not in (sys.executable, "-m"))
        reason = " ".join((complaint or done.stdout.decode(errors="replace")).split())
        full = "".join(f"; {where} is full: make room there" for where in full_folders())
        raise UserError(f"`{name}` fails: {reason[-400:] or f'status {done.returncode}'}{full}")
    return done.stdout
