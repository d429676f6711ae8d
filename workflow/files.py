"""Outputs that appear whole or not at all, in bytes that depend on the content alone."""

import csv
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workflow.errors import UserError

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
    """Where `path` is written until it is whole: beside it, hence on the same file system."""
    return path.with_name(PARTIAL_PREFIX + path.name)


def flush(path: Path) -> None:
    """See to it that a file, or all files of a folder, are safe on the disk."""
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())


def take_place(partial: Path, path: Path) -> None:
    """Let the finished `partial`, flushed before, take the place of `path`."""
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
        take_place(partial, path)
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


def read_columns(path: Path, needed: Sequence[str] = ()) -> dict[str, list[float]]:
    """Read a CSV of numbers with a header: the values of each column, by its name.

    Raises:
        UserError: the file is missing, empty or damaged, or lacks a needed column.
    """
    with _damage_named(path), path.open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
        columns = {name: [float(row[n]) for row in rows] for n, name in enumerate(header)}
        if not rows:
            raise ValueError("no rows")
        if missing := [name for name in needed if name not in columns]:
            raise ValueError(f"no column {missing[0]}")
        return columns


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        UserError: the file is missing or damaged.
    """
    with _damage_named(path):
        return json.loads(path.read_text(encoding="utf-8"))


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a result is read into one line."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}: make it with `dvc repro`") from None
    except (ValueError, IndexError) as error:
        raise UserError(f"{path}: damaged ({error}): delete it and run `dvc repro`") from None
