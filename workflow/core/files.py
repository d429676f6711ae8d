"""Outputs that appear whole or not at all, in bytes that depend on the content alone."""

import csv
import glob
import io
import json
import math
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workflow.core import paths
from workflow.core.errors import UserError, first_line

# .gitignore and .dvcignore leave such names out, so that what a killed process leaves
# behind is never taken for a result.
PARTIAL_PREFIX = ".partial."


def remove(path: Path) -> None:
    """Delete a file or a folder with all it holds; nothing happens if it is not there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def partial_path(path: Path) -> Path:
    """Where this process writes `path` until it is whole: beside it, on the same file system.

    What a process that ended halfway has left there is deleted.
    """
    for left in path.parent.glob(f"{PARTIAL_PREFIX}*.{glob.escape(path.name)}"):
        process = left.name.removeprefix(PARTIAL_PREFIX).partition(".")[0]
        if process.isdecimal() and not _is_running(int(process)):
            remove(left)
    return path.with_name(f"{PARTIAL_PREFIX}{os.getpid()}.{path.name}")


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it runs, and is somebody else's
        return True
    return True


def flush(path: Path) -> None:
    """Wait until a file, or all files of a folder, are safe on the disk."""
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())


def replace(path: Path, partial: Path) -> None:
    """Put the finished `partial`, flushed before, in the place of `path`."""
    if path.is_dir():  # a file is replaced in one step, a folder has to make room first
        if not partial.is_dir():
            raise UserError(f"{path}: is a folder: name a file, or move the folder away")
        remove(path)
    partial.replace(path)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` if the block ends well, and vanishes if not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(path)
    remove(partial)
    try:
        yield partial
        flush(partial)
        replace(path, partial)
    finally:
        remove(partial)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON with sorted keys.

    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot hold.
    """
    text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write CSV with a header and Unix line ends; None becomes an empty cell."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def parse_table(text: str) -> tuple[list[str], list[list[str]]]:
    """Read CSV: the header, and the rows, of as many cells each.

    Raises:
        ValueError: it is no such table, has no rows, or a column twice.
    """
    try:
        header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    except csv.Error as error:
        raise ValueError(str(error)) from None
    if twice := [name for name in header if header.count(name) > 1]:
        raise ValueError(f"column {twice[0]!r:.40} twice")
    if not rows:
        raise ValueError("no rows")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise ValueError(f"row {number} has {len(row)} cells, the header {len(header)}")
    return header, rows


def parse_json(text: str | bytes) -> Any:
    """Read JSON as the standard has it: no NaN, no infinity, no key twice.

    Raises:
        ValueError: it is no such JSON.
    """
    try:
        return json.loads(
            text,
            object_pairs_hook=_without_twins,
            parse_constant=_finite,
            parse_float=_finite,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(key for key in keys if keys.count(key) > 1)!r:.40} twice")
    return content


# Python would also take 1_000, spaces and the digits of other scripts.
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def _finite(text: str) -> float:
    if not _NUMBER.fullmatch(text) or not math.isfinite(number := float(text)):
        raise ValueError(f"{text!r:.40} is no number")
    return number


def read_columns(path: Path, needed: Sequence[str] = ()) -> dict[str, list[float]]:
    """Read a CSV of numbers with a header: the values of each column, by its name.

    Raises:
        UserError: the file is missing, empty or damaged, or lacks a needed column.
    """
    with reading(path):
        header, rows = parse_table(path.read_text(encoding="utf-8"))
        if missing := [name for name in needed if name not in header]:
            raise ValueError(f"no column {missing[0]}")
        return {name: [_finite(row[n]) for row in rows] for n, name in enumerate(header)}


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        UserError: the file is missing or damaged.
    """
    with reading(path):
        return parse_json(path.read_bytes())


@contextmanager
def reading(path: Path, what: str = "") -> Iterator[None]:
    """Turn whatever goes wrong while a result is read into one line: the file and the remedy.

    Args:
        path: of the result.
        what: of it is read; all of it if empty.

    Raises:
        UserError: the block has raised an Exception.
    """
    make = f"`dvc repro {stage}`" if (stage := paths.MADE_BY.get(path)) else "`dvc repro`"
    try:
        yield
    except (UserError, MemoryError):
        raise
    except FileNotFoundError:
        raise UserError(f"{path} is missing: make it with {make}") from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno:  # without, it is of a library
            raise UserError(
                f"{path}: cannot be read ({first_line(error)}): make it readable, or delete it and"
                f" run {make}"
            ) from None
        part = f"cannot read {what} of it" if what else "damaged"
        # A KeyError says the key alone.
        reason = first_line(error) if isinstance(error, OSError | ValueError) else _classed(error)
        raise UserError(f"{path}: {part} ({reason}): delete it and run {make}") from None


def _classed(error: Exception) -> str:
    return f"{type(error).__name__}: {first_line(error)}"
