"""Predict the class of test images and of any pictures.

Examples:
    python -m commands predict 0 1 3
    python -m commands predict --plot seen.png shoe.jpg
    python -m commands predict photos/new
    cat shoe.jpg | python -m commands predict --json -
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from workflow.core import paths
from workflow.core.classes import read_class_names
from workflow.core.errors import UserError
from workflow.core.files import written_whole
from workflow.core.params import Data, Pictures, load_params
from workflow.core.progress import say
from workflow.data.archives import is_hidden
from workflow.data.garment import extract
from workflow.data.nearest import stranger_than
from workflow.data.npz import StoredArray, read_labels
from workflow.data.pictures import (
    MAX_BYTES,
    Picture,
    decode,
    is_picture,
    prepare,
    read_file,
    without_warnings,
)

TOP = 3
_MOST_DIGITS = 18  # of a row; what is longer can but be a file
# As many rows as a PNG that every program opens can show.
MOST_PLOTTED = 50


@dataclass(frozen=True)
class Input:
    """One thing to predict.

    Attributes:
        name: as a person would call it.
        content: the pixels of a test image, (height, width[, 3]) in [0, 1]; or a decoded picture.
        label: the actual class of a test image.
    """

    name: str
    content: NDArray[np.float32] | Picture
    label: int | None = None


@dataclass(frozen=True)
class Seen:
    """What the model sees of an input: `pixels`, float32 of the model's shape, in [0, 1]."""

    name: str
    pixels: NDArray[np.float32]
    label: int | None


def main(arguments: list[str]) -> int:
    """Run the command.

    Returns:
        The status: 0, or 1 where an input cannot be used.

    Raises:
        UserError: the params, the model or the options cannot be used.
    """
    return _predict(_parser().parse_args(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m commands predict",
        description="Predict the class of test images and of any pictures with models/model.keras.",
        epilog="A picture is prepared as those of the training were (format: pictures), or as"
        " data.predict in params.yaml says: garment cuts off a plain background and scales what is"
        " left to the form of Fashion-MNIST, as_is scales the whole picture. A picture of the"
        " model's own size is not changed. --plot shows what the model saw. Shoes of Fashion-MNIST"
        " point to the left; a model trained on it knows no others. What differs more from the"
        " training images than nearly all test images do is most likely of no class that the model"
        " knows, whatever the probability.",
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="index of a test image (a number), a picture file, a folder of them, or - for a"
        " picture on standard input; for a file whose name is a number write ./3",
    )
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw what the model saw, with all probabilities"
    )
    return parser


def _predict(options: argparse.Namespace) -> int:
    data, classes = load_params().data, read_class_names()
    inputs = list(_listed(options.inputs))
    if options.plot and options.plot.suffix.lower() != ".png":
        raise UserError(f"{options.plot}: only PNG is written: end the name in .png")
    if options.plot and not options.plot.parent.is_dir():
        raise UserError(f"{options.plot.parent}: no such folder: make it, or plot to another")
    if options.plot and len(inputs) > MOST_PLOTTED:
        raise UserError(f"--plot: {len(inputs)} inputs: give at most {MOST_PLOTTED}")
    if inputs.count("-") > 1:
        raise UserError("-: standard input can be read only once: name it once")
    if not paths.MODEL.exists():
        raise UserError(f"{paths.MODEL} is missing: make it with `dvc repro train`")
    model: Any = None
    usable: list[Seen] = []
    for item in _readable(inputs):
        # TensorFlow takes seconds to start: not before there is something to predict.
        if model is None:
            model = _load(classes)
        try:
            usable.append(_seen(item, model.input_shape[1:], data))
        except UserError as error:
            _complain(error)
    if not usable:
        return 1
    images = np.stack([item.pixels for item in usable])
    # Here, since TensorFlow comes with it; below, since matplotlib is needed for that alone.
    from workflow.model.prediction import Predictor

    probabilities = Predictor(model).predict(images)
    if options.plot:
        from workflow.figures.images import as_they_are, single_predictions
        from workflow.figures.names import use_fonts_for
        from workflow.figures.style import save_png

        names, labels = [item.name for item in usable], [item.label for item in usable]
        if missing := use_fonts_for([*classes, *names]):
            say_aside(missing)
        with written_whole(options.plot) as path:
            seen = as_they_are(images) if isinstance(data, Pictures) else images
            save_png(single_predictions(seen, probabilities, classes, names, labels), path)
        say_aside(f"{options.plot} shows what the model saw")
    answers = [_answer(item, row, classes) for item, row in zip(usable, probabilities, strict=True)]
    if paths.NORMALIZED.exists():  # a model may be all that there is
        for answer, share in zip(answers, stranger_than(images, paths.NORMALIZED), strict=True):
            answer["stranger_than"] = round(float(share), paths.DECIMALS)
    say(json.dumps(answers, indent=2, ensure_ascii=False) if options.json else _text(answers))
    return 1 if len(usable) < len(inputs) else 0


def _listed(inputs: Iterable[str]) -> Iterator[str]:
    """The inputs, with the pictures of a folder, and of those below it, in its place."""
    for given in inputs:
        folder = Path(given)
        if given == "-" or _is_row(given) or not os.path.isdir(folder):  # noqa: PTH112
            yield given  # what is too long to be a path, too
            continue
        found = (path for path in sorted(folder.rglob("*")) if path.is_file())
        files = [p for p in found if not any(map(is_hidden, p.relative_to(folder).parts))]
        pictures = [path for path in files if is_picture(_beginning(path), path.name)]
        if not pictures:
            raise UserError(f"{given}: the folder holds no pictures: name another")
        if len(pictures) < len(files):
            say_aside(f"{given}: {len(files) - len(pictures)} files are no pictures")
        yield from map(str, pictures)


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(12)
    except OSError:  # to be told when it is its turn
        return b""


def _is_row(given: str) -> bool:
    """Whether it is the number of a test image."""
    return given.isascii() and given.isdigit() and len(given) <= _MOST_DIGITS


def say_aside(line: str) -> None:
    """A note for people, which does not mix with the answers."""
    print(f"predict: {line}", file=sys.stderr)


def _readable(inputs: Iterable[str]) -> Iterator[Input]:
    """What can be read, one at a time: a picture is large until it is fitted."""
    for given in inputs:
        try:
            item = _read(given)
        except UserError as error:
            _complain(error)
        else:
            yield item


def _complain(error: UserError) -> None:
    say_aside(str(error))


def _read(given: str) -> Input:
    if _is_row(given):
        row = int(given)
        with StoredArray(paths.NORMALIZED, "test_images") as images:
            if row >= len(images):
                raise UserError(
                    f"test image {row}: there are {len(images)}: give 0 to {len(images) - 1},"
                    f" or ./{given} for a file of that name"
                )
            pixels = images.take(np.array([row]))[0]
        label = int(read_labels("test", len(read_class_names()))[row])
        return Input(f"test image {row}", pixels, label)
    if given == "-":
        if sys.stdin is None:
            raise UserError("standard input is closed: name a picture file")
        return _decoded(sys.stdin.buffer.read(MAX_BYTES + 1), "standard input")
    return _decoded(read_file(Path(given)), given)


def _decoded(content: bytes, name: str) -> Input:
    with without_warnings():
        picture = decode(content, name)
    if picture.moves:
        say_aside(f"{name}: the first of several frames is taken")
    return Input(name, picture)


def _load(classes: Sequence[str]) -> Any:
    from workflow.model.keras_file import load_model

    model = load_model(paths.MODEL)
    if model.output_shape[-1] != len(classes):
        raise UserError(
            f"{paths.MODEL} knows {model.output_shape[-1]} classes, params.yaml names"
            f" {len(classes)}: run `dvc repro train`"
        )
    return model


def _seen(item: Input, shape: tuple[int, ...], data: Data) -> Seen:
    """The input as the model sees it.

    Raises:
        UserError: it is of another shape, or there is nothing to see.
    """
    if isinstance(item.content, Picture):
        pixels = _prepared(item.content, shape, data, item.name)
    else:
        pixels = item.content
    if pixels.shape != shape:
        raise UserError(
            f"{item.name} has {pixels.shape} pixels, {paths.MODEL} expects {shape}: they are"
            " of two data sets: run `dvc repro`"
        )
    return Seen(item.name, pixels, item.label)


def _prepared(
    picture: Picture, shape: tuple[int, ...], data: Data, name: str
) -> NDArray[np.float32]:
    """A picture as the images of the data set are."""
    size: tuple[int, int] = shape[0], shape[1]
    channels: Literal[1, 3] = 3 if len(shape) == 3 else 1
    if isinstance(data, Pictures):
        pixels = prepare(picture, data.size, data.channels, data.fit)
    elif data.predict == "as_is" or picture.image.size == size[::-1]:
        pixels = prepare(picture, size, channels, "stretch")
    else:
        if channels == 3:
            raise UserError("data.predict: garment is for grey images: set as_is in params.yaml")
        garment = extract(picture, size, name)
        if not garment.plain:
            say_aside(f"{name}: the border is no plain background: the model may see little of it")
        return garment.pixels
    return np.divide(pixels, np.float32(255), dtype=np.float32)


def _answer(
    item: Seen, probabilities: NDArray[np.float32], classes: Sequence[str]
) -> dict[str, Any]:
    """What is printed of one input, as plain values."""
    best = np.argsort(-probabilities, kind="stable")[:TOP]
    top = [
        {"class": classes[n], "probability": round(float(probabilities[n]), paths.DECIMALS)}
        for n in best
    ]
    answer: dict[str, Any] = {"input": item.name, "label": int(best[0]), **top[0], "top": top}
    if item.label is not None:
        answer["actual"] = classes[item.label]
    return answer


def _text(answers: Sequence[dict[str, Any]]) -> str:
    lines = []
    for answer in answers:
        actual = f" (actual: {answer['actual']})" if "actual" in answer else ""
        lines.append(f"{answer['input']}: {answer['class']} {answer['probability']:.1%}{actual}")
        then = ", ".join(
            f"{other['class']} {other['probability']:.1%}" for other in answer["top"][1:]
        )
        if "stranger_than" in answer:
            then += f"; stranger than {answer['stranger_than']:.0%} of the test images"
        lines.append(f"  then {then}")
    return "\n".join(lines)
