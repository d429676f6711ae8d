"""Archives of arrays, against NumPy's own."""

import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from workflow.core import paths
from workflow.core.errors import UserError
from workflow.data.npz import Blocks, StoredArray, read_array, write_arrays

Archive = tuple[Path, NDArray[Any], NDArray[Any]]


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Written by NumPy: its path, the images and the labels in it."""
    random = np.random.default_rng(0)
    images = random.random((70, 4, 3), dtype=np.float32)
    labels = random.integers(0, 3, 70).astype(np.uint8)
    np.savez(tmp_path / "data.npz", images=images, labels=labels)
    return tmp_path / "data.npz", images, labels


def test_stored_rows_are_those_of_numpy(archive: Archive) -> None:
    path, images, labels = archive
    with StoredArray(path, "images") as stored:
        assert (stored.shape, stored.dtype) == (images.shape, images.dtype)
        rows = np.array([5, 0, 5, 69])
        np.testing.assert_array_equal(stored.take(rows), images[rows])
        longer = np.ones((6, *images.shape[1:]), np.float32)
        assert stored.take(rows, into=longer) is longer
        np.testing.assert_array_equal(longer[:4], images[rows])
        assert (longer[4:] == 1).all()
        strided = np.ones((12, *images.shape[1:]), np.float32)[::2]
        for unfit in (longer[:3], strided, longer.astype(np.float64), longer[:, 1:]):
            with pytest.raises(ValueError, match="for 4 rows"):
                stored.take(rows, into=unfit)
    np.testing.assert_array_equal(read_array(path, "labels"), labels)


def test_a_damaged_archive_is_named(archive: Archive, tmp_path: Path) -> None:
    path, _, _ = archive
    with pytest.raises(UserError, match="cannot read nothing"):
        read_array(path, "nothing")
    with pytest.raises(UserError, match=r"none\.npz is missing: make it with `dvc repro`"):
        read_array(tmp_path / "none.npz", "images")
    np.savez_compressed(tmp_path / "small.npz", images=np.zeros(3))
    with pytest.raises(UserError, match="compressed"):
        read_array(tmp_path / "small.npz", "images")
    with StoredArray(path, "images") as stored:
        path.write_bytes(path.read_bytes()[:400])
        with pytest.raises(UserError, match="truncated"):
            stored.take(np.array([50]))


def header(text: str, version: int = 1) -> bytes:
    content = text.encode("latin1")
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H", len(content)) + content


def described(shape: str, descr: str = "'<f4'", order: bool = False) -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (header(described("(2, 4)", "'|O'")), "object elements"),
        (header(described("(2, 4)", "'<U0'")), "<U0 elements"),
        (header(described("(2, 4)", "[('a', '<f4')]")), "elements"),
        (header(described("(2, 4)", order=True)) + bytes(32), "it is in Fortran order"),
        (header(described("(True, 4)")) + bytes(16), "shape (True, 4)"),
        (header(described("(-1,)")), "shape (-1,)"),
        (header(described("()")) + bytes(4), "shape ()"),
        (header(described(f"({10**20 - 1},)")), "its header does not fit its"),
        (header(described("(2, 4)")) + bytes(31), "its header does not fit its"),
        (header(described("(2, 4)")) + bytes(33), "its header does not fit its"),
        (header(described("(2, 4)").replace("}", "")), "cannot read a of it"),
        (header(described("-" * 5000 + "1")), "cannot read a of it"),
        (header(described("(2, 4)"), version=255), "version (255, 0) of NumPy's format"),
        (b"", "cannot read a of it"),
        (b"\x93NUMPY", "cannot read a of it"),
    ],
)
def test_an_array_that_is_none_of_ours_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.writestr("a.npy", content)
    with pytest.raises(UserError) as error:
        read_array(tmp_path / "data.npz", "a")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_any_byte_that_is_flipped_in_an_array_is_found(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    write_arrays(path, {"a": np.arange(3, dtype=np.uint8)})
    whole = path.read_bytes()
    end = whole.index(b"PK\x01\x02")
    silent = []
    for position in range(end):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        os.utime(path, ns=(0, position))
        try:
            np.testing.assert_array_equal(read_array(path, "a"), np.arange(3, dtype=np.uint8))
        except UserError:
            continue
        silent.append(position)
    # Of the header before the entry: version, time, date, checksum and sizes, which stand in the
    # directory at the end as well, and are read there.
    assert set(silent) <= set(range(4, 26))


def test_an_entry_that_reaches_into_the_next_is_named(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    write_arrays(path, {"a": np.zeros(3, np.uint8), "b": np.ones(3, np.uint8)})
    content = bytearray(path.read_bytes())
    of_a = content.index(b"PK\x01\x02")
    for field in (20, 24):  # the sizes, compressed and not
        (size,) = struct.unpack_from("<I", content, of_a + field)
        struct.pack_into("<I", content, of_a + field, size + 2)
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot read a of it"):
        read_array(path, "a")


def test_the_stage_that_makes_an_archive_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    for path, stage in ((paths.NORMALIZED, "normalize"), (paths.PROBABILITIES, "evaluate")):
        path.write_bytes(b"no zip")
        said = rf"{path}: cannot read a of it \(.*\): delete it and run `dvc repro {stage}`$"
        with pytest.raises(UserError, match=said):
            read_array(path, "a")


def test_arrays_written_in_blocks_are_those_of_numpy(tmp_path: Path) -> None:
    images = np.arange(210, dtype=np.float32).reshape(7, 6, 5)
    labels = np.arange(7, dtype=np.uint8)
    blocks = Blocks(images.shape, images.dtype, (images[start : start + 3] for start in (0, 3, 6)))
    write_arrays(tmp_path / "ours.npz", {"images": blocks, "labels": labels})
    with np.load(tmp_path / "ours.npz") as loaded:
        assert list(loaded) == ["images", "labels"]
        np.testing.assert_array_equal(loaded["images"], images)
        np.testing.assert_array_equal(loaded["labels"], labels)


def test_archives_have_no_header_that_depends_on_the_version_of_python(tmp_path: Path) -> None:
    write_arrays(tmp_path / "ours.npz", {"labels": np.arange(7, dtype=np.uint8)})
    with zipfile.ZipFile(tmp_path / "ours.npz") as archive:
        entry = archive.getinfo("labels.npy")
    local_header = (tmp_path / "ours.npz").read_bytes()[:30]
    assert entry.extract_version < 45  # 45: zip64
    assert local_header[28:30] == b"\0\0"  # no extra field


def test_large_archives_are_read_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.arange(210, dtype=np.float32).reshape(7, 6, 5)
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    write_arrays(tmp_path / "ours.npz", {"labels": np.arange(7), "images": images})
    np.testing.assert_array_equal(read_array(tmp_path / "ours.npz", "images"), images)


def test_blocks_that_do_not_add_up_are_named(tmp_path: Path) -> None:
    blocks = Blocks((7, 6), np.dtype(np.float32), [np.zeros((3, 6), np.float32)])
    with pytest.raises(ValueError, match="images: 200 bytes instead of 296"):
        write_arrays(tmp_path / "ours.npz", {"images": blocks})
