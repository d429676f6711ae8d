"""Progress for people: a bar in a terminal, plain lines elsewhere."""

import io
import sys
from typing import NoReturn

from tqdm import tqdm

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


def say(line: str) -> None:
    """Print one plain line at once, without tearing a bar that is being drawn."""
    if sys.stdout:  # None where it is closed
        tqdm.write(line, file=sys.stdout)
        sys.stdout.flush()
