"""The IDX format: what is written is read back, and what is wrong is named."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as arrays

from workflow.core.errors import UserError
from workflow.data.idx import read_images, read_labels, write_idx

SIDE = {"min_side": 1, "max_side": 6}


@settings(max_examples=50, deadline=None)
@given(arrays.arrays(np.uint8, arrays.array_shapes(min_dims=3, max_dims=3, **SIDE)))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("idx") / "array"
    write_idx(path, array)
    np.testing.assert_array_equal(read_images(path), array)
    write_idx(path, array.reshape(-1))
    np.testing.assert_array_equal(read_labels(path), array.reshape(-1))


def test_images_may_be_in_colour(tmp_path: Path) -> None:
    images = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    write_idx(tmp_path / "images", images)
    np.testing.assert_array_equal(read_images(tmp_path / "images"), images)
    write_idx(tmp_path / "images", images[..., :2])
    with pytest.raises(UserError, match="2 channels an image"):
        read_images(tmp_path / "images")


def test_labels_may_be_rows_of_32_bits_as_those_of_qmnist(tmp_path: Path) -> None:
    rows = np.array([[5, 0, 300], [9, 1, -2], [0, 1, 70000]], ">i4")
    header = struct.pack(">BBBBII", 0, 0, 0x0C, 2, *rows.shape)
    (tmp_path / "labels").write_bytes(header + rows.tobytes())
    assert read_labels(tmp_path / "labels").tolist() == [5, 9, 0]
    with pytest.raises(UserError, match="2 dimensions, expected 3"):
        read_images(tmp_path / "labels")


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
        read_labels(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_labels(tmp_path / "none")
