"""Images are scaled some at a time."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from projects import ROOT, load_yaml

from stages import normalize
from workflow.core import paths
from workflow.core.errors import UserError
from workflow.core.params import Idx
from workflow.core.stage import Outputs
from workflow.data.folders import DataSet, Split
from workflow.data.idx import read_images, write_idx
from workflow.data.npz import Blocks

SPLITS: tuple[Split, ...] = ("train", "test")


def test_images_are_scaled_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "images"
    images = np.arange(10 * 6 * 5).reshape(10, 6, 5).astype(np.uint8)
    write_idx(path, images)
    monkeypatch.setattr(normalize, "IMAGES_AT_A_TIME", 4)
    blocks = list(normalize.scaled(path, read_images(path)).blocks)
    assert [len(block) for block in blocks] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate(blocks), images / np.float32(255))


def test_a_file_cut_short_while_it_is_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "images"
    write_idx(path, np.zeros((10, 6, 5), np.uint8))
    scaled = normalize.scaled(path, read_images(path))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="cut short while it was read"):
        list(scaled.blocks)


def idx_data(**changed: Any) -> Idx:
    data = load_yaml(ROOT / "params.yaml")["data"] | {"class_names": ["a", "b", "c"]}
    return Idx.model_validate(data | changed)


def test_labels_that_begin_at_one_are_told_and_taken() -> None:
    images, labels = np.zeros((4, 6, 5), np.uint8), np.array([1, 2, 3, 1])
    with pytest.raises(UserError, match=r"labels are 1 to 3, .* set data\.first_label: 1$"):
        normalize.checked_labels(images, labels, "labels", idx_data())
    # No image is of the first class.
    with pytest.raises(UserError, match=r"label 3 at position 1, .* set data\.first_label: 1$"):
        normalize.checked_labels(images[:2], np.array([2, 3]), "labels", idx_data())
    taken = normalize.checked_labels(images, labels, "labels", idx_data(first_label=1))
    assert taken.tolist() == [0, 1, 2, 0]
    assert taken.dtype == np.uint8
    with pytest.raises(UserError, match=r"label 0 at position 0, .* set data\.first_label: 0"):
        normalize.checked_labels(images, labels - 1, "labels", idx_data(first_label=1))


@pytest.mark.parametrize(
    ("train", "test", "first"), [([1, 2], [2, 1], 0), ([0, 2], [2, 1], 0), ([2, 3], [2, 3], 1)]
)
def test_only_labels_that_may_begin_at_one_are_told_so(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    train: list[int],
    test: list[int],
    first: int,
) -> None:
    data = idx_data(first_label=first)
    for split, labels in (("train", train), ("test", test)):
        write_idx(
            tmp_path / getattr(data.files, f"{split}_images").name, np.zeros((2, 6, 5), np.uint8)
        )
        write_idx(
            tmp_path / getattr(data.files, f"{split}_labels").name, np.array(labels, np.uint8)
        )
    monkeypatch.setattr(paths, "RAW", tmp_path)
    normalize.read_files(data)
    said = "no image is of the class a: if the labels begin at 1, set data.first_label: 1"
    assert (said in capsys.readouterr().out) == (train == [1, 2])


def test_of_many_absent_classes_the_first_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    images, labels = np.zeros((2, 6, 5), np.float32), np.array([7, 9], np.uint8)
    blocks = {split: Blocks(images.shape, images.dtype, iter([images])) for split in SPLITS}
    classes = [f"class {n}" for n in range(256)]
    normalize.write(DataSet(classes, blocks, dict.fromkeys(SPLITS, labels)), Outputs(dict))
    said = capsys.readouterr().out
    for split in SPLITS:
        named = "254 (class 0, class 1, class 2, …)"
        assert f"classes without a {split}ing image: {named}\n" in said


@pytest.mark.parametrize("channels", [(), (3,)])
def test_images_stored_column_by_column_are_turned(
    tmp_path: Path, channels: tuple[int, ...]
) -> None:
    path = tmp_path / "images"
    images = np.random.default_rng(0).integers(0, 256, (3, 6, 5, *channels)).astype(np.uint8)
    write_idx(path, images.swapaxes(1, 2))
    turned = normalize.scaled(path, read_images(path), transpose=True)
    assert turned.shape == images.shape
    np.testing.assert_array_equal(np.concatenate(list(turned.blocks)), images / np.float32(255))
