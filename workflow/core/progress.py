"""Progress for people: a bar in a terminal, plain lines elsewhere."""

import io
import sys
from collections.abc import Sequence
from typing import NoReturn

from tqdm import tqdm

_NAMED = 3  # of many
# A terminal or log that cannot show a × or – gets a question mark instead.
for _stream in (sys.stdout, sys.stderr):
    if isinstance(_stream, io.TextIOWrapper):
        _stream.reconfigure(errors="replace")


def in_terminal() -> bool:
    """Whether a bar that redraws itself can be shown."""
    return sys.stderr is not None and sys.stderr.isatty()


def progress_bar(total: int, description: str, unit: str, scaled: bool = False) -> "tqdm[NoReturn]":
    """A tqdm bar on standard error that stays silent when the output is no terminal.

    Args:
        total: how much there is to do.
        description: what is being done.
        unit: what is counted.
        scaled: show thousands as k, M and so on.
    """
    return tqdm(
        total=total,
        desc=description,
        unit=unit,
        unit_scale=scaled,
        disable=not in_terminal(),
        leave=False,
    )


def counted(number: int, what: str) -> str:
    """A number of things whose plural ends in s: `1 source`, `2 sources`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def some(names: Sequence[str]) -> str:
    """How many names there are, and the first of them, in one line."""
    shown = ", ".join(repr(name) if not name.isprintable() else name for name in names[:_NAMED])
    return f"{len(names)} ({shown}{', …' if len(names) > _NAMED else ''})"


def say(line: str) -> None:
    """Print one plain line at once, without tearing a bar that is being drawn."""
    if sys.stdout:  # None where it is closed
        tqdm.write(line, file=sys.stdout)
        sys.stdout.flush()
