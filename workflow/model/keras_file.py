"""The `.keras` file: in bytes that depend on the model alone, read without running code of it."""

import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from workflow.core.errors import UserError
from workflow.core.files import parse_json, partial_path, reading
from workflow.core.validation import validate
from workflow.model.layers import settings_of
from workflow.model.layers.dense import Dense
from workflow.model.recipe import HEAD_LAYER, Recipe, build_model, with_flips
from workflow.model.tensorflow import keras

# The earliest time that a zip archive can hold.
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_ENTRIES = ["config.json", "metadata.json", "model.weights.h5"]


def save_model(model: Any, path: Path) -> None:
    """Save a model in Keras' own format, in bytes that depend on the model alone.

    Keras writes the date, the time of day in the zip entries, and memory addresses as
    `shared_object_id`. The date is dropped, the times are fixed, the ids are numbered
    in their order of appearance; plain Keras loads the result as any other.

    Args:
        model: a Keras model whose layers have names of their own: automatic names
            count up through the life of a process.
        path: ends in `.keras`.
    """
    as_saved = partial_path(path.with_name("as-saved.keras"))
    try:
        with _clock_of_zip():
            model.save(as_saved)
        with zipfile.ZipFile(as_saved) as source, zipfile.ZipFile(path, "w") as target:
            for name in sorted(source.namelist()):
                content = _canonical(name, source.read(name))
                target.writestr(zipfile.ZipInfo(name, _ZIP_EPOCH), content)
    finally:
        as_saved.unlink(missing_ok=True)


def load_model(path: Path) -> Any:
    """Load a model: one is built of the recipe that the file tells, and given its weights.

    Raises:
        UserError: the file is missing, is no Keras model, or is one that no recipe describes.
    """
    with reading(path):
        config = _checked_config(path)
        try:
            model = _built(config)
        except UserError as error:  # which tells how to mend a recipe, and not the file
            raise ValueError(str(error)) from None
        if difference := _difference(config, _config_of(model)):
            raise ValueError(difference)
        model.load_weights(path)
        return model


def _checked_config(path: Path) -> Any:
    """The config in a file whose entries are as `save_model` writes them.

    Raises:
        ValueError: an entry is damaged or compressed, or there are others.
    """
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.compress_type != zipfile.ZIP_STORED:  # a little of it may become a lot
                raise ValueError(f"{entry.filename} is compressed")
        if sorted(archive.namelist()) != _ENTRIES:
            raise ValueError(f"its entries are not {', '.join(_ENTRIES)}")
        if damaged := archive.testzip():
            raise ValueError(f"{damaged} is damaged")
        metadata = parse_json(archive.read("metadata.json"))
        version = metadata.get("keras_version") if isinstance(metadata, dict) else None
        if version != keras.__version__:
            raise ValueError(f"it is of Keras {version!r:.20}, and this is {keras.__version__!r}")
        return _config_without_ids(archive.read("config.json").decode())


def _built(config: Any) -> Any:
    """The model of the recipe that a config tells.

    Raises:
        ValueError: it tells none.
    """
    flipped = config["class_name"] == "Functional"
    inside = config["config"]["layers"][2] if flipped else config
    image, *hidden, head = inside["config"]["layers"]
    settings = {
        "layers": [settings_of(layer) for layer in hidden if layer["class_name"] != "Reshape"],
        "head": "softmax" if head["config"]["activation"] == "softmax" else "logits",
        # Of the training, which is over.
        "optimizer": {"name": "sgd", "learning_rate": 1.0},
        "batch_size": 1,
        "epochs": 1,
        "test_time_flip": flipped,
    }
    units = validate({"layer": "dense", "units": head["config"]["units"]}, Dense, HEAD_LAYER).units
    recipe = validate(settings, Recipe, "its recipe")
    model = build_model(recipe, tuple(image["config"]["batch_shape"][1:]), units)
    return with_flips(model) if flipped else model


def _config_of(model: Any) -> Any:
    """The config of a model as it is when saved and read."""
    return _config_without_ids(json.dumps(keras.saving.serialize_keras_object(model)))


def _config_without_ids(text: str) -> Any:
    """A config without what differs from process to process: addresses, and a layer's number."""

    def cleaned(tree: Any) -> Any:
        if isinstance(tree, dict):
            return {key: cleaned(tree[key]) for key in tree if key != "shared_object_id"}
        return [cleaned(item) for item in tree] if isinstance(tree, list) else tree

    return cleaned(parse_json(re.sub(r'"flip_[0-9]+"', '"flip"', text)))


def _difference(given: Any, ours: Any, place: str = "") -> str:
    """The first difference between a config and that of the recipe's model, in words."""
    if isinstance(given, dict) and isinstance(ours, dict):
        for key in sorted({*given, *ours}):
            if said := _difference(given.get(key), ours.get(key), f"{place}.{key}"):
                return said
        return ""
    if isinstance(given, list) and isinstance(ours, list) and len(given) == len(ours):
        numbered = enumerate(zip(given, ours, strict=True))
        return next(filter(None, (_difference(*two, f"{place}.{n}") for n, two in numbered)), "")
    if given == ours:
        return ""
    return f"{place.lstrip('.')} is {given!r:.40}, and of a recipe {ours!r:.40}"


@contextmanager
def _clock_of_zip() -> Iterator[None]:
    """Let `zipfile` date its entries 1980: a machine without a clock has 1970, too early for it."""
    clock = zipfile.time  # type: ignore[attr-defined]
    zipfile.time = SimpleNamespace(  # type: ignore[attr-defined]
        time=lambda: 0.0, localtime=lambda _seconds: _ZIP_EPOCH
    )
    try:
        yield
    finally:
        zipfile.time = clock  # type: ignore[attr-defined]


def _canonical(name: str, content: bytes) -> bytes:
    """The content of one entry of a `.keras` archive, without date and addresses."""
    if not name.endswith(".json"):
        return content
    tree = json.loads(content)
    tree.pop("date_saved", None)
    _renumber(tree, {})
    return json.dumps(tree, sort_keys=True).encode()


def _renumber(tree: Any, ids: dict[int, int]) -> None:
    """Replace each `shared_object_id` in place by its rank of first appearance."""
    if isinstance(tree, dict):
        if "shared_object_id" in tree:
            address = tree["shared_object_id"]
            tree["shared_object_id"] = ids.setdefault(address, len(ids))
        for key in sorted(tree):
            _renumber(tree[key], ids)
    elif isinstance(tree, list):
        for item in tree:
            _renumber(item, ids)
