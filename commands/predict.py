"""Predict the class of test images and of any pictures.

Examples:
    python -m commands.predict 0 1 3
    python -m commands.predict --plot seen.png shoe.jpg
    cat shoe.jpg | python -m commands.predict --json -
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from commands.main import run_command
from workflow.dataset import StoredArray, read_array
from workflow.errors import UserError
from workflow.files import written_whole
from workflow.params import load_params
from workflow.pictures import MAX_BYTES, fit, read_picture, read_picture_file

NORMALIZED = Path("data/normalized.npz")
MODEL = Path("models/model.keras")
DECIMALS = 4
TOP = 3
_MOST_DIGITS = 18  # of a row; what is longer can but be a file
# As many rows as a PNG that every program opens can show.
MOST_PLOTTED = 50


@dataclass(frozen=True)
class Input:
    """One thing to predict.

    Attributes:
        name: as a person would call it.
        pixels: (height, width) in [0, 1]; of a test image as it is, of a picture its luminance.
        label: the actual class of a test image.
    """

    name: str
    pixels: NDArray[np.float32]
    label: int | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The status: 0, or 1 where an input cannot be used.

    Raises:
        UserError: the params, the model or the options cannot be used.
    """
    return _predict(_parser().parse_args(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m commands.predict",
        description="Predict the class of test images and of any pictures with models/model.keras.",
        epilog="A picture is brought to the form of the data set: grey, edges without content cut"
        " off, scaled to the model's size and centred, each pixel's value its distance from the"
        " background. --plot shows the result: what the model saw. Shoes of Fashion-MNIST point to"
        " the left; a model trained on it knows no others.",
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="index of a test image (a number), a picture file, or - for a picture on standard"
        " input; for a file whose name is a number write ./3",
    )
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw what the model saw, with all probabilities"
    )
    return parser


def _predict(options: argparse.Namespace) -> int:
    classes = load_params().data.class_names
    if options.plot and options.plot.suffix.lower() != ".png":
        raise UserError(f"{options.plot}: only PNG is written: end the name in .png")
    if options.plot and not options.plot.parent.is_dir():
        raise UserError(f"{options.plot.parent}: no such folder: make it, or plot to another")
    if options.plot and len(options.inputs) > MOST_PLOTTED:
        raise UserError(f"--plot: {len(options.inputs)} inputs: give at most {MOST_PLOTTED}")
    if options.inputs.count("-") > 1:
        raise UserError("-: standard input can be read only once: name it once")
    if not MODEL.exists():
        raise UserError(f"{MODEL} is missing: make it with `dvc repro train`")
    model: Any = None
    usable: list[Input] = []
    for item in _readable(options.inputs):
        # TensorFlow takes seconds to start: not before there is something to predict.
        if model is None:
            model = _load(classes)
        try:
            usable.append(_fitted(item, model.input_shape[1:3]))
        except UserError as error:
            _complain(error)
    if not usable:
        return 1
    images = np.stack([item.pixels for item in usable])
    # Here, since TensorFlow comes with it; below, since matplotlib is needed for that alone.
    from workflow.training import Predictor

    probabilities = Predictor(model).of(images)
    if options.plot:
        from workflow.figures.pictures import single_predictions
        from workflow.figures.style import save_png

        names, labels = [item.name for item in usable], [item.label for item in usable]
        with written_whole(options.plot) as path:
            save_png(single_predictions(images, probabilities, classes, names, labels), path)
    answers = [_answer(item, row, classes) for item, row in zip(usable, probabilities, strict=True)]
    print(json.dumps(answers, indent=2, ensure_ascii=False) if options.json else _text(answers))
    return 1 if len(usable) < len(options.inputs) else 0


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
    print(f"predict: {error}", file=sys.stderr)


def _read(given: str) -> Input:
    if given.isascii() and given.isdigit() and len(given) <= _MOST_DIGITS:
        row = int(given)
        with StoredArray(NORMALIZED, "test_images") as images:
            if row >= len(images):
                raise UserError(
                    f"test image {row}: there are {len(images)}: give 0 to {len(images) - 1},"
                    f" or ./{given} for a file of that name"
                )
            pixels = images.take(np.array([row]))[0]
        label = int(read_array(NORMALIZED, "test_labels")[row])
        return Input(f"test image {row}", pixels, label)
    if given == "-":
        if sys.stdin is None:
            raise UserError("standard input is closed: name a picture file")
        content = sys.stdin.buffer.read(MAX_BYTES + 1)
        return Input("standard input", read_picture(content, "standard input"))
    return Input(given, read_picture_file(Path(given)))


def _load(classes: Sequence[str]) -> Any:
    from workflow.reproducible import load_model

    model = load_model(MODEL)
    if model.output_shape[-1] != len(classes):
        raise UserError(
            f"{MODEL} knows {model.output_shape[-1]} classes, params.yaml names {len(classes)}:"
            " run `dvc repro train`"
        )
    return model


def _fitted(item: Input, shape: tuple[int, int]) -> Input:
    """The input as the model sees it."""
    if item.label is None:
        return replace(item, pixels=fit(item.pixels, shape, item.name))
    if item.pixels.shape != shape:
        raise UserError(
            f"{item.name} has {item.pixels.shape} pixels, {MODEL} expects {shape}: they are of two"
            " data sets: run `dvc repro`"
        )
    return item


def _answer(
    item: Input, probabilities: NDArray[np.float32], classes: Sequence[str]
) -> dict[str, Any]:
    """What is printed of one input, as plain values."""
    best = np.argsort(-probabilities, kind="stable")[:TOP]
    top = [
        {"class": classes[n], "probability": round(float(probabilities[n]), DECIMALS)} for n in best
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
        others = (f"{other['class']} {other['probability']:.1%}" for other in answer["top"][1:])
        lines.append(f"  then {', '.join(others)}")
    return "\n".join(lines)


if __name__ == "__main__":
    run_command("predict", main)
