"""Folders of pictures as a data set."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from workflow.core.errors import UserError
from workflow.core.params import Pictures
from workflow.data.folders import DataSet, read_data_set
from workflow.data.pictures import decode, prepare


def settings(**changed: Any) -> Pictures:
    content = {"format": "pictures", "folder": "data/own", "size": [6, 5], "test_fraction": 0.3}
    return Pictures.model_validate(content | changed)


def noise(seed: int, size: tuple[int, int] = (20, 16)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8))


def write(root: Path, name: str, seed: int) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    noise(seed).save(path)
    return path


def read(root: Path, **changed: Any) -> tuple[DataSet, dict[str, np.ndarray]]:
    """The data set and its images, with the blocks read."""
    store = io.BytesIO()
    data = read_data_set(root, settings(**changed), store)
    images = {split: np.concatenate(list(of.blocks)) for split, of in data.images.items()}
    for split, of in data.images.items():
        assert images[split].shape == of.shape
    return data, images


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes, one picture after another of its own."""
    for number in range(20):
        write(tmp_path, f"cat/{number}.png", number)
        write(tmp_path, f"🐕 dog/{number}.png", 100 + number)
    return tmp_path


def test_every_picture_is_there_once_as_predict_sees_it(root: Path) -> None:
    data, images = read(root)
    assert data.class_names == ["cat", "🐕 dog"]
    found = np.concatenate([images["train"], images["test"]])
    labels = np.concatenate([data.labels["train"], data.labels["test"]])
    assert found.shape == (40, 6, 5, 3)
    for path in root.glob("*/*.png"):
        pixels = prepare(decode(path.read_bytes(), "p"), (6, 5), 3, "pad")
        (row,) = np.flatnonzero((found == pixels / np.float32(255)).all(axis=(1, 2, 3)))
        assert data.class_names[labels[row]] == path.parent.name


def test_grey_pictures_have_no_channel(root: Path) -> None:
    assert read(root, channels=1)[1]["train"].shape[1:] == (6, 5)


def test_a_picture_more_moves_no_other(root: Path) -> None:
    before, images = read(root)
    write(root, "cat/00.png", 7000)
    write(root, "🐕 dog/5 and more.png", 7001)
    after, more = read(root)
    for split in ("train", "test"):
        rows = [(more[split] == image).all(axis=(1, 2, 3)).any() for image in images[split]]
        assert all(rows)
    assert sum(map(len, after.labels.values())) == sum(map(len, before.labels.values())) + 2


def test_copies_fall_on_one_side_and_those_of_two_classes_are_named(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(20):
        (root / f"cat/copy of {number}.png").write_bytes((root / f"cat/{number}.png").read_bytes())
    (root / "cat/stray.png").write_bytes((root / "🐕 dog/3.png").read_bytes())
    _, images = read(root)
    in_both = [(images["train"] == image).all(axis=(1, 2, 3)).any() for image in images["test"]]
    assert not any(in_both)
    said = capsys.readouterr().out
    assert "is of two classes: 1 (cat/stray.png = 🐕 dog/3.png)" in said
    assert "for training and for testing" not in said


def test_folders_train_and_test_say_what_is_for_testing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # In the folder that an archive has around it all.
    for number, name in enumerate(["train/b/1", "train/a/1", "test/a/1", "test/b/1"]):
        write(tmp_path, f"photos/{name}.png", number)
    same = (tmp_path / "photos/train/a/1.png").read_bytes()
    (tmp_path / "photos/test/a/2.png").write_bytes(same)
    data, _ = read(tmp_path)
    assert data.labels["train"].tolist() == [0, 1]
    assert data.labels["test"].tolist() == [0, 0, 1]
    said = capsys.readouterr().out
    assert "for training and for testing: 1 (train/a/1.png = test/a/2.png)" in said
    (tmp_path / "photos/test/a/1.png").write_bytes(same[:200])
    with pytest.raises(UserError, match=r"^test/a/1\.png: the picture is damaged"):
        read(tmp_path)
    write(tmp_path, "photos/val/a/1.png", 9)
    with pytest.raises(UserError, match="val beside train and test"):
        read(tmp_path)


def test_what_is_no_picture_is_counted_and_what_is_damaged_named(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "cat/notes.txt").write_text("no picture")
    (root / "list.csv").write_text("beside the folders")
    noise(1).save(root / "cat/without ending", "PNG")
    assert len(np.concatenate([*read(root)[0].labels.values()])) == 41
    said = capsys.readouterr().out
    assert "passed over what is no picture: 1 (cat/notes.txt)" in said
    assert "passed over what is in no folder of a class: 1 (list.csv)" in said
    damaged = root / "cat/20.png"
    damaged.write_bytes((root / "cat/1.png").read_bytes()[:200])
    with pytest.raises(
        UserError, match=r"cat/20\.png: .*: copy it again; or set data\.skip_damaged: true"
    ):
        read(root)
    read(root, skip_damaged=True)
    assert "passed over: cat/20.png: the picture is damaged" in capsys.readouterr().out


def test_a_class_without_a_picture_that_can_be_used_is_told(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("Kaputt/1.png", "list/1.txt"):
        (root / name).parent.mkdir()
        (root / name).write_bytes(b"no picture")
    assert read(root, skip_damaged=True)[0].class_names == ["cat", "🐕 dog"]
    said = capsys.readouterr().out
    assert "classes left out, as no picture of theirs can be used: 2 (Kaputt, list)" in said


def test_names_give_order_and_spelling(root: Path) -> None:
    named = ["🐕 Dog", "Cat"]
    data, _ = read(root, class_names=named)
    assert data.class_names == named
    plain, _ = read(root)
    np.testing.assert_array_equal(np.sort(1 - data.labels["test"]), plain.labels["test"])
    with pytest.raises(UserError, match="no name of its own for the folder 🐕 dog: add it"):
        read(root, class_names=["cat", "cow"])
    with pytest.raises(UserError, match="no folder with pictures for cow: correct the name"):
        read(root, class_names=["cat", "🐕 dog", "cow"])


def test_two_spellings_of_one_name_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "caf\u00e9/1.png", 1)
    write(tmp_path, "cafe\u0301/1.png", 2)
    with pytest.raises(UserError, match="two spellings of Unicode"):
        read(tmp_path)


def test_a_folder_s_name_that_no_class_can_have_is_told(root: Path) -> None:
    write(root, "a\x1bb/1.png", 1)
    with pytest.raises(UserError, match=r"'a\\x1bb' holds a control character: delete it$"):
        read(root)


@pytest.mark.parametrize("name", [b"caf\xe9/1.png", b"cat/caf\xe9.png"])
def test_a_name_that_is_not_in_utf8_is_told(root: Path, name: bytes) -> None:
    path = Path(os.fsdecode(os.fsencode(root) + b"/" + name))
    path.parent.mkdir(exist_ok=True)
    noise(1).save(path)
    with pytest.raises(UserError, match=r"caf\\udce9.*': a name that is not in UTF-8: rename it"):
        read(root)


@pytest.mark.parametrize("names", [("train", "val"), ("Training", "Testing")])
def test_folders_that_are_not_called_train_and_test_are_no_classes(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    for number, name in enumerate(names):
        write(tmp_path, f"{name}/cat/1.png", number)
        write(tmp_path, f"{name}/dog/1.png", 10 + number)
    with pytest.raises(UserError, match=r"which is for what.* Call the two folders train and test"):
        read(tmp_path)


def test_one_class_or_one_side_is_too_few(root: Path) -> None:
    with pytest.raises(UserError, match="no picture is for testing"):
        read(root, test_fraction=0.000001)
    with pytest.raises(UserError, match=r"1 folders with pictures \(1\)"):
        (root / "only" / "1").mkdir(parents=True)
        write(root / "only", "1/1.png", 1)
        read(root / "only")
