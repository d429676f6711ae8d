"""Train one recipe with each seed and score it: runs to put beside a published result."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from published.params import PARAMS_FILE, load_published
from workflow.core import paths
from workflow.core.classes import read_class_names
from workflow.core.errors import UserError
from workflow.core.files import write_json
from workflow.core.params import Params
from workflow.core.stage import Outputs
from workflow.data.npz import StoredArray, read_array
from workflow.model.prediction import Predictor, mean_cross_entropy
from workflow.model.recipe import load_recipe
from workflow.model.results import EpochResult
from workflow.model.training import train_recipe


def run(params: Params, outputs: Outputs, name: str) -> None:
    """Write what one recipe gave with each seed.

    `published/runs/RECIPE.json` holds four scores and the printed predictions of each run;
    `published/seeds/RECIPE.json` the test accuracies, with the recipe and the data that they are
    of, by which a review knows how far other seeds scatter.
    """
    classes = len(read_class_names())
    published, recipe = load_published(params, classes), load_recipe(params, name)
    actual = read_array(paths.NORMALIZED, "test_labels")
    if max(published.images, default=0) >= len(actual):
        raise UserError(
            f"{PARAMS_FILE}: images: {max(published.images)}, but the last test image is"
            f" {len(actual) - 1}: correct it"
        )
    runs: list[dict[str, Any]] = []
    for seed in published.seeds:
        model, history = train_recipe(name, recipe, seed, classes)
        with StoredArray(paths.NORMALIZED, "test_images") as images:
            probabilities = Predictor(model).predict_rows(images, np.arange(len(images)))
        scores = run_scores(history, probabilities, actual)
        shown = predictions(probabilities, published.images)
        runs.append({"seed": seed, **scores, "predictions": shown})
    write_json(outputs.path(f"published/runs/{name}.json"), {"runs": runs})
    with paths.NORMALIZED.open("rb") as data:
        md5 = hashlib.file_digest(data, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    measured = {
        "data_md5": md5,
        "recipe": params.recipe_settings(name),
        "test_accuracy": {str(run["seed"]): run["test_accuracy"] for run in runs},
    }
    write_json(outputs.path(f"published/seeds/{name}.json"), measured)


def run_scores(
    history: list[EpochResult], probabilities: NDArray[np.float32], actual: NDArray[np.uint8]
) -> dict[str, float]:
    """The four scores that the tutorials print.

    The training ones are means over the last epoch, while the weights still move, as there.
    """
    return paths.rounded(
        {
            "train_accuracy": history[-1].accuracy,
            "train_loss": history[-1].loss,
            "test_accuracy": float(np.mean(probabilities.argmax(axis=1) == actual)),
            "test_loss": mean_cross_entropy(probabilities, actual),
        }
    )


def predictions(probabilities: NDArray[np.float32], images: list[int]) -> dict[str, dict[str, Any]]:
    """The likeliest class of each of these images, and its probability."""
    return {
        str(image): {
            "label": int(probabilities[image].argmax()),
            **paths.rounded({"probability": float(probabilities[image].max())}),
        }
        for image in images
    }
