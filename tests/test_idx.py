"""The IDX format: what is written is read back, and what is wrong is named."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as arrays

from stages import normalize
from workflow.errors import UserError
from workflow.idx import read_idx, write_idx


@settings(max_examples=50, deadline=None)
@given(arrays.arrays(np.uint8, arrays.array_shapes(min_dims=1, max_dims=3)))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("idx") / "array"
    write_idx(path, array)
    np.testing.assert_array_equal(read_idx(path, array.ndim), array)


def test_the_layout_is_the_published_one(tmp_path: Path) -> None:
    write_idx(tmp_path / "a", np.array([[7, 8, 9]], np.uint8))
    assert (tmp_path / "a").read_bytes() == bytes([0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 3, 7, 8, 9])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "must start with two zero bytes"),
        (b"\x1f\x8b\x08\x00rest", "must start with two zero bytes"),
        (b"\0\0\x0d\x01" + struct.pack(">I", 1) + b"\0\0\0\0", "type code 0x0d"),
        (b"\0\0\x08\x03" + struct.pack(">III", 1, 1, 1) + b"\0", "3 dimensions, expected 1"),
        (b"\0\0\x08\x01\0", "cut short"),
        (b"\0\0\x08\x01" + struct.pack(">I", 0), "empty"),
        (b"\0\0\x08\x01" + struct.pack(">I", 3) + b"ab", "truncated"),
        (b"\0\0\x08\x01" + struct.pack(">I", 3) + b"abcd", "holds something else"),
        (b"\0\0\x08\x01" + struct.pack(">I", 2**32 - 1) + b"ab", "truncated"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "labels"
    path.write_bytes(content)
    with pytest.raises(UserError, match=said) as error:
        read_idx(path, 1)
    assert str(path) in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_idx(tmp_path / "none", 1)


def test_images_are_scaled_in_blocks(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "images"
    images = np.arange(10 * 6 * 5).reshape(10, 6, 5).astype(np.uint8)
    write_idx(path, images)
    monkeypatch.setattr(normalize, "IMAGES_AT_A_TIME", 4)
    blocks = list(normalize.scaled(path, read_idx(path, 3)).blocks)
    assert [len(block) for block in blocks] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate(blocks), images / np.float32(255))


def test_a_file_cut_short_while_it_is_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "images"
    write_idx(path, np.zeros((10, 6, 5), np.uint8))
    scaled = normalize.scaled(path, read_idx(path, 3))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="cut short while it was read"):
        list(scaled.blocks)
