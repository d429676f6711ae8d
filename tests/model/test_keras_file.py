"""The model's file: the same bytes twice, and plain Keras reads it."""

import io
import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import EVERY_PIECE, Data, recipe, trained

from workflow.core.errors import UserError
from workflow.model.keras_file import load_model, save_model
from workflow.model.recipe import build_model
from workflow.model.tensorflow import keras


@pytest.mark.parametrize(
    "pieces",
    [{}, pytest.param(EVERY_PIECE, marks=pytest.mark.slow)],
    ids=["few", "every piece"],
)
def test_a_saved_model_has_the_same_bytes_twice_and_predicts_the_same(
    data: Data, tmp_path: Path, pieces: dict[str, object]
) -> None:
    path, images, labels = data
    content = {}
    for name, seed in (("other", 6), ("b", 5), ("a", 5)):
        model, _ = trained(path, labels, recipe(**pieces | {"epochs": 1}), seed)
        save_model(model, tmp_path / f"{name}.keras")
        content[name] = (tmp_path / f"{name}.keras").read_bytes()
    assert content["a"] == content["b"] != content["other"]
    assert {file.stem for file in tmp_path.iterdir()} == {"data", *content}
    loaded = load_model(tmp_path / "a.keras")
    np.testing.assert_array_equal(loaded(images).numpy(), model(images).numpy())
    plain = keras.models.load_model(tmp_path / "a.keras", safe_mode=True)
    np.testing.assert_array_equal(plain(images).numpy(), model(images).numpy())


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a small model."""
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    save_model(build_model(recipe(), (6, 5), 3), path)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, r"models/model\.keras is missing: make it with `dvc repro train`"),
        (b"", "File is not a zip file"),
        (b"no zip", r"File is not a zip file\): delete it and run `dvc repro train`"),
    ],
)
def test_a_missing_or_damaged_model_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("models").mkdir()
        Path("models/model.keras").write_bytes(content)
    with pytest.raises(UserError, match=said):
        load_model(Path("models/model.keras"))


def test_a_folder_in_the_place_of_a_model_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be read .*Is a directory"):
        load_model(tmp_path)


def edited(saved: bytes, change: Callable[[Any], None]) -> bytes:
    """The model with another config."""
    with zipfile.ZipFile(io.BytesIO(saved)) as source:
        config = json.loads(source.read("config.json"))
    change(config)
    return with_entries(saved, {"config.json": json.dumps(config).encode()})


def with_entries(
    saved: bytes, entries: dict[str, bytes | None], method: int = zipfile.ZIP_STORED
) -> bytes:
    """The model with these entries in the place of its own; None for without."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved)) as source, zipfile.ZipFile(stream, "w", method) as out:
        for name, content in (
            {name: source.read(name) for name in source.namelist()} | entries
        ).items():
            if content is not None:
                out.writestr(name, content)
    return stream.getvalue()


WEIGHTS = "model.weights.h5"


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({WEIGHTS: b""}, "Unable to"),
        ({WEIGHTS: b"no HDF5"}, "file signature not found"),
        ({"../../../tmp/slip": b"x"}, "its entries are not config.json, metadata.json, model.we"),
        ({"metadata.json": None}, "its entries are not config.json, metadata.json, model.weights"),
        ({"metadata.json": b"{"}, "Expecting property name"),
        ({"metadata.json": b"[]"}, "it is of Keras None, and this is "),
        ({"metadata.json": b'{"keras_version": "2.0"}'}, "it is of Keras '2.0', and this is"),
        ({"config.json": b"\xff"}, "can't decode byte"),
    ],
)
def test_a_model_with_a_wrong_entry_is_named(
    saved: bytes, tmp_path: Path, entries: dict[str, bytes | None], said: str
) -> None:
    with pytest.raises(UserError) as error:
        load_from(with_entries(saved, entries), tmp_path / "model.keras")
    assert said in str(error.value)
    assert ": damaged (" in str(error.value)


def test_weights_of_another_model_are_named_with_the_layer(saved: bytes, tmp_path: Path) -> None:
    save_model(build_model(recipe(), (6, 5), 4), tmp_path / "other.keras")
    with zipfile.ZipFile(tmp_path / "other.keras") as other:
        mixed = with_entries(saved, {WEIGHTS: other.read(WEIGHTS)})
    with pytest.raises(UserError, match=r"<Dense name=head, built=True>: .*shape"):
        load_from(mixed, tmp_path / "model.keras")


def head(config: Any) -> Any:
    return config["config"]["layers"][-1]["config"]


def dense(config: Any) -> Any:
    return next(of for of in config["config"]["layers"] if of["class_name"] == "Dense")["config"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda config: dense(config).update(activation="selu"), "layers.1.activation: input sh"),
        (lambda config: dense(config).update(activation={"x": 1}), "layers.1.activation: input"),
        (lambda config: dense(config).update(units=2**31), "layers.1.units: input should be less"),
        (lambda config: dense(config).update(units=-1), "layers.1.units: input should be greater"),
        (lambda config: dense(config).update(units=2.5), "layers.1.units: input should be a valid"),
        (lambda config: dense(config).update(units="30"), "layers.1.units: input should be a"),
        (lambda config: head(config).update(units=2**31), "head: units: input should be less"),
        (lambda config: head(config).update(activation="relu"), "activation is 'relu', and of a"),
        (
            lambda config: dense(config).update(units=7),
            "build_config.input_shape.1 is 8, and of a recipe 7",
        ),
        (lambda config: dense(config).update(surprise=1), "config.surprise is 1, and of a recipe"),
        (lambda config: dense(config).update(dtype="sevenfold"), "dtype is 'sevenfold', and of a"),
        (lambda config: dense(config).update(dtype="float16"), "dtype is 'float16', and of a"),
        (
            lambda config: dense(config).update(kernel_initializer="os.system"),
            "layers.2.config.kernel_initializer is 'os.system', and of a recipe {",
        ),
        (lambda config: dense(config).update(kernel_regularizer="l2"), "is 'l2', and of a recipe"),
        (
            lambda config: config["config"]["layers"][2].update(class_name="RepeatVector"),
            "no recipe has a layer 'RepeatVector'",
        ),
        (lambda config: config.update(class_name="Lambda"), "class_name is 'Lambda', and of a"),
        (lambda config: config["config"].update(layers=[]), "damaged ("),
        (lambda config: config.clear(), "damaged ("),
    ],
)
def test_a_model_that_no_recipe_describes_is_one_line(
    saved: bytes, tmp_path: Path, change: Callable[[Any], None], said: str
) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(edited(saved, change))
    with pytest.raises(UserError) as error:
        load_model(path)
    text = str(error.value)
    assert said in text
    assert text.startswith(f"{path}: damaged (")
    assert text.endswith("): delete it and run `dvc repro`")
    assert "\n" not in text
    assert len(text) < 400


def test_a_model_with_a_flipped_weight_or_compressed_is_named(saved: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    position = saved.index(b"model.weights.h5") + 5000
    flipped = bytes([saved[position] ^ 1])
    path.write_bytes(saved[:position] + flipped + saved[position + 1 :])
    with pytest.raises(UserError, match=r"model\.weights\.h5 is damaged"):
        load_model(path)
    path.write_bytes(with_entries(saved, {}, zipfile.ZIP_DEFLATED))
    with pytest.raises(UserError, match="is compressed"):
        load_model(path)


def test_a_clock_before_the_first_year_of_zip_does_not_matter(
    saved: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_from(saved, tmp_path / "model.keras")
    save_model(model, tmp_path / "now.keras")
    monkeypatch.setattr(time, "time", lambda: 0.0)
    save_model(model, tmp_path / "then.keras")
    assert (tmp_path / "then.keras").read_bytes() == (tmp_path / "now.keras").read_bytes()


def load_from(content: bytes, path: Path) -> Any:
    path.write_bytes(content)
    return load_model(path)
