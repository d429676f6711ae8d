"""Folders of pictures as a data set: one a class, below train/ and test/ where there are any.

The order of the pictures is that of the bytes of their names in NFC, class by class, which no file
system decides. Which are for testing is told by the folders train/ and test/, or by the hash of
each file, so that pictures that come or go move no other from one side to the other.
"""

import hashlib
import os
import tempfile
import unicodedata
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import numpy as np
from numpy.typing import NDArray

from workflow.core import paths
from workflow.core.errors import UserError
from workflow.core.params import Pictures, check_class_names
from workflow.core.progress import progress_bar, say, some
from workflow.data.npz import Blocks
from workflow.data.pictures import decode, is_picture, prepare, read_file, without_warnings

Split = Literal["train", "test"]

_SPLITS: tuple[Split, ...] = ("train", "test")
_BLOCK_BYTES = 8 * 2**20
# Folders that are called so, and hold folders, are no classes.
_PARTS = {"train", "training", "test", "testing", "val", "valid", "validation"}
_HASH_DIGITS = 13  # a float holds 16**13 exactly


@dataclass(frozen=True)
class _Found:
    """A file in the folder of a class.

    Attributes:
        path: of it.
        name: below the folder of all classes, or of train/ or test/, in NFC.
        class_folder: the name of its class's folder, in NFC.
        split: what it is for, where folders say so.
    """

    path: Path
    name: str
    class_folder: str
    split: Split | None

    @property
    def shown(self) -> str:
        """The name as a message has it: two files may differ in their split alone."""
        return f"{self.split}/{self.name}" if self.split else self.name


@dataclass(frozen=True)
class _Read:
    """What became of a file.

    Attributes:
        pixels: of a picture, as uint8; None of what is none, or is damaged.
        sha256: of the file.
        moves: whether the picture is the first of several.
        damage: what is wrong with it, in one line; empty for nothing.
    """

    pixels: NDArray[np.uint8] | None
    sha256: str = ""
    moves: bool = False
    damage: str = ""


@dataclass(frozen=True)
class DataSet:
    """Pictures with their labels.

    Attributes:
        class_names: in the order of the labels.
        images: by split, (n, height, width[, 3]) float32 in [0, 1], block by block.
        labels: by split, (n,) uint8.
    """

    class_names: list[str]
    images: dict[Split, Blocks]
    labels: dict[Split, NDArray[np.uint8]]


def read_data_set(root: Path, settings: Pictures, store: IO[bytes]) -> DataSet:
    """Read all pictures below a folder.

    Args:
        root: of the folders of the classes, or of train/ and test/.
        settings: what `params.yaml` says of them.
        store: an empty file to keep the prepared pictures in, open until the blocks are read.

    Raises:
        UserError: a picture cannot be used, there are fewer than two classes, names and folders do
            not agree, or one of the splits is without pictures.
    """
    files = sorted(_listed(root), key=lambda file: (file.name.encode(), str(file.path).encode()))
    kept: list[tuple[_Found, str]] = []
    others, moving, damages = [], [], []
    for file, read in _each_read(files, settings):
        if read.damage:
            damages.append(read.damage)
        elif read.pixels is None:
            others.append(file.shown)
        else:
            kept.append((file, read.sha256))
            store.write(read.pixels.tobytes())
            if read.moves:
                moving.append(file.shown)
    store.flush()
    if others:
        say(f"normalize: passed over what is no picture: {some(others)}")
    if moving:
        say(f"normalize: only the first of several frames is taken: {some(moving)}")
    for damage in damages:
        say(f"normalize: passed over: {damage}")
    folders = sorted({file.class_folder for file, _ in kept}, key=str.encode)
    if unusable := sorted({file.class_folder for file in files} - {*folders}):
        say(f"normalize: classes left out, as no picture of theirs can be used: {some(unusable)}")
    names, labels_of = _named_classes(folders, settings.class_names)
    of_split = {split: _rows(kept, split, settings.test_fraction) for split in _SPLITS}
    _tell_duplicates(kept, of_split["test"])
    for split, rows in of_split.items():
        if not len(rows):
            raise UserError(
                f"{root}: no picture is for {split}ing: change data.test_fraction in"
                f" {paths.PARAMS}, or put pictures into folders train/ and test/"
            )
    labels = np.array([labels_of[file.class_folder] for file, _ in kept], np.uint8)
    shape = (*settings.size, 3) if settings.channels == 3 else settings.size
    return DataSet(
        names,
        {split: _blocks(store, rows, shape) for split, rows in of_split.items()},
        {split: labels[rows] for split, rows in of_split.items()},
    )


def _listed(root: Path) -> Iterator[_Found]:
    """The files in the folders of classes."""
    top = root
    while len(inside := _folders(top)) == 1 and _folders(inside[0]):  # an archive's own folder
        top = inside[0]
    by_name = {folder.name: folder for folder in inside}
    splits: list[tuple[Split | None, Path]] = [(None, top)]
    if set(_SPLITS) <= set(by_name) and all(_folders(by_name[split]) for split in _SPLITS):
        more = sorted(set(by_name) - set(_SPLITS))
        if more:
            raise UserError(
                f"{top}: {', '.join(more)} beside train and test: move the pictures into those two,"
                " or the folder elsewhere"
            )
        splits = [("train", by_name["train"]), ("test", by_name["test"])]
    elif {name.casefold() for name in by_name} <= _PARTS and any(map(_folders, inside)):
        raise UserError(
            f"{top}: {', '.join(by_name)}: which is for what? Call the two folders train and test,"
            " or move the folders of the classes up"
        )
    for split, folder in splits:
        seen: dict[str, Path] = {}
        for class_folder in _folders(folder):
            name = _normalized(class_folder, folder)
            if name in seen:
                raise UserError(
                    f"{folder}: two folders are called {name}, in two spellings of Unicode: put"
                    " their pictures into one"
                )
            seen[name] = class_folder
            for path in class_folder.rglob("*"):
                if path.is_file():
                    yield _Found(path, _normalized(path, folder), name, split)
        beside = [path.name for path in sorted(folder.iterdir()) if path.is_file()]
        if beside:
            say(f"normalize: passed over what is in no folder of a class: {some(beside)}")


def _normalized(path: Path, folder: Path) -> str:
    """A path below a folder, in NFC."""
    name = path.relative_to(folder).as_posix()
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UserError(f"{folder}: {name!r:.99}: a name that is not in UTF-8: rename it") from None
    return unicodedata.normalize("NFC", name)


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _each_read(files: Sequence[_Found], settings: Pictures) -> Iterator[tuple[_Found, _Read]]:
    """Each file and what became of it, in order, read and prepared by one thread a core.

    Pillow decodes and scales without Python's lock. No more is held than the threads work on.
    """

    def read(file: _Found) -> _Read:
        content = read_file(file.path)
        if not is_picture(content, file.name):
            return _Read(None)
        try:
            picture = decode(content, file.shown)
        except UserError as error:
            if settings.skip_damaged:
                return _Read(None, damage=str(error))
            raise UserError(f"{error}; or set data.skip_damaged: true in {paths.PARAMS}") from None
        pixels = prepare(picture, settings.size, settings.channels, settings.fit)
        return _Read(pixels, hashlib.sha256(content).hexdigest(), picture.moves)

    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    waiting: deque[tuple[_Found, Future[_Read]]] = deque()
    with (
        without_warnings(),
        ThreadPoolExecutor(threads) as pool,
        progress_bar(len(files), "normalize", "picture", scaled=True) as bar,
    ):
        try:
            for file in files:
                waiting.append((file, pool.submit(read, file)))
                if len(waiting) > 4 * (threads or 1):
                    first, future = waiting.popleft()
                    yield first, future.result()
                    bar.update()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
                bar.update()
        finally:
            pool.shutdown(cancel_futures=True)


def _named_classes(
    folders: Sequence[str], listed: Sequence[str] | None
) -> tuple[list[str], dict[str, int]]:
    """The names of the classes, and the label of each folder.

    A name of `data.class_names` stands for the folder that is called so, in whatever case.
    """
    if len(folders) < 2 or len(folders) > 256:
        found = ", ".join(folders) or "none"
        raise UserError(
            f"{paths.RAW}: {len(folders)} folders with pictures ({found:.60}): there must be one"
            " for each of 2 to 256 classes"
        )
    if listed is None:
        try:
            names = check_class_names(list(folders))
        except ValueError as error:
            raise UserError(f"{paths.RAW}: the name of a folder: {error}") from None
        return names, {name: label for label, name in enumerate(names)}
    labels: dict[str, int] = {}
    for folder in folders:
        fitting = [n for n, name in enumerate(listed) if name == folder] or [
            n for n, name in enumerate(listed) if name.casefold() == folder.casefold()
        ]
        if not fitting or fitting[0] in labels.values():
            raise UserError(
                f"{paths.PARAMS}: data.class_names has no name of its own for the folder {folder}:"
                " add it, or move the folder away"
            )
        labels[folder] = fitting[0]
    without = [name for n, name in enumerate(listed) if n not in labels.values()]
    if without:
        raise UserError(
            f"{paths.PARAMS}: data.class_names: there is no folder with pictures for"
            f" {', '.join(without)}: correct the name, or delete it"
        )
    return list(listed), labels


def _rows(kept: Sequence[tuple[_Found, str]], split: str, fraction: float) -> NDArray[np.int64]:
    """The places of the pictures of a split, in order."""
    bound = round(fraction * 16**_HASH_DIGITS)

    def side(file: _Found, sha256: str) -> str:
        return file.split or ("test" if int(sha256[:_HASH_DIGITS], 16) < bound else "train")

    return np.array([n for n, read in enumerate(kept) if side(*read) == split], np.int64)


def _tell_duplicates(kept: Sequence[tuple[_Found, str]], test_rows: NDArray[np.int64]) -> None:
    """Name files of the same bytes that are on both sides or in two classes."""
    for_test = {*test_rows.tolist()}
    by_hash: dict[str, list[int]] = {}
    for row, (_, sha256) in enumerate(kept):
        by_hash.setdefault(sha256, []).append(row)
    torn, disputed = [], []
    for rows in by_hash.values():
        names = " = ".join(kept[row][0].shown for row in rows)
        if len({row in for_test for row in rows}) > 1:
            torn.append(names)
        if len({kept[row][0].class_folder for row in rows}) > 1:
            disputed.append(names)
    if torn:
        say(f"normalize: the same picture is for training and for testing: {some(torn)}")
    if disputed:
        say(f"normalize: the same picture is of two classes: {some(disputed)}")


def _blocks(store: IO[bytes], rows: NDArray[np.int64], shape: tuple[int, ...]) -> Blocks:
    """The stored pictures at some rows, as float32 in [0, 1]."""
    size = int(np.prod(shape))
    at_a_time = max(1, _BLOCK_BYTES // size)

    def read() -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(rows), at_a_time):
            block = rows[start : start + at_a_time]
            pixels = np.empty((len(block), size), np.uint8)
            for place, row in enumerate(block.tolist()):
                store.seek(row * size)
                pixels[place] = np.frombuffer(store.read(size), np.uint8)
            yield np.divide(pixels.reshape(-1, *shape), np.float32(255), dtype=np.float32)

    return Blocks((len(rows), *shape), np.dtype(np.float32), read())


def scratch_file() -> IO[bytes]:
    """A file without a name beside the npz, on the disk that has room for that."""
    paths.NORMALIZED.parent.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryFile(dir=paths.NORMALIZED.parent)
