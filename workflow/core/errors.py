"""Errors as a person meets them: each is one line, whatever has happened.

What was foreseen is a `UserError`. For the rest there is one boundary around each stage and each
command, which asks `in_one_line`; and one around each file and each source, which raises a
`UserError` of whatever a library raises.
"""

import contextlib
import errno
import os
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Iterable
from pathlib import Path

# A disk with less room than this is called full: it is what most files need.
_FULL = 1 << 20
# Whoever ends a group of processes reaches a stage twice: once itself, once as DVC ends.
_SAME_SIGNAL_SECONDS = 1.0
_last_signal = -_SAME_SIGNAL_SECONDS


class UserError(Exception):
    """Something the user can put right: bad params, files, pictures or networks.

    The message is one line that says what is wrong, where, and what to do.
    """


def end_on_signals() -> None:
    """Let SIGTERM end the process as an interrupt does, with nothing half-written left behind.

    Either raises a KeyboardInterrupt; its message says so if it was SIGTERM.
    """
    signal.signal(signal.SIGTERM, _end)
    # Whoever starts a process in the background has it ignore interrupts.
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, _end)


def _end(number: int, _frame: object) -> None:
    global _last_signal
    now = time.monotonic()
    # The second of two must not cut short the tidying up that the first has begun.
    if now - _last_signal > _SAME_SIGNAL_SECONDS:
        _last_signal = now
        raise KeyboardInterrupt("" if number == signal.SIGINT else "ended by SIGTERM")


def in_one_line(error: BaseException, written_to: Iterable[str] = ()) -> str:
    """What happened, in one line; of what nobody foresaw, the traceback goes to a file.

    Args:
        error: whatever was raised.
        written_to: folders that were written to, one of which may be full.
    """
    if isinstance(error, UserError):
        return one_line(error)
    if isinstance(error, MemoryError):
        more = f" ({one_line(error)})" if str(error) else ""
        return f"not enough memory{more}: close other programs or allow more, and run it again"
    if isinstance(error, OSError) and error.strerror:
        # A full disk tells no name.
        where = error.filename or error.filename2
        if where is None and error.errno in (errno.ENOSPC, errno.EDQUOT):
            where = " or ".join(full_folders(written_to) or written_to)
        return one_line(f"{where or '.'}: {error.strerror}")
    return f"unexpected {type(error).__name__}: {first_line(error)}; {_keep_traceback(error)}"


def one_line(what: object) -> str:
    """Any text with its lines joined."""
    return " ".join(str(what).split())


def first_line(error: BaseException, limit: int = 200) -> str:
    """The first line of what an error says, or the name of its class; cut at `limit` letters.

    Where that ends in a colon, the next is a part of it.
    """
    lines = [line for line in str(error).splitlines() if line.strip()]
    end = next((n for n, line in enumerate(lines, 1) if not line.rstrip().endswith(":")), None)
    line = one_line(" ".join(lines[:end])) if lines else type(error).__name__
    return line if len(line) <= limit else f"{line[:limit]}…"


def full_folders(folders: Iterable[str] = ()) -> list[str]:
    """Which of the given folders and the temporary one are on a disk without room."""
    # Python passes over a full TMPDIR without a word, other programs do not.
    temporary = [os.environ["TMPDIR"]] if "TMPDIR" in os.environ else []
    with contextlib.suppress(OSError):
        temporary.append(tempfile.gettempdir())
    full = []
    for folder in dict.fromkeys([*folders, *temporary]):
        with contextlib.suppress(OSError):
            if shutil.disk_usage(folder).free < _FULL:
                full.append(folder)
    return full


def _keep_traceback(error: BaseException) -> str:
    """Write the traceback to a file of the temporary folder, and say where it is."""
    text = "".join(traceback.format_exception(error))
    try:
        number, name = tempfile.mkstemp(prefix="traceback-", suffix=".txt")
        os.close(number)
        Path(name).write_text(text, encoding="utf-8", errors="replace")
    except OSError as failure:
        return f"its traceback cannot be kept: {one_line(failure.strerror or failure)}"
    return f"the traceback is in {name}"
