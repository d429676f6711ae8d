"""Train one recipe with each seed and score it: runs to put beside a published result.

A stage of published/dvc.yaml: `python -m stages.reproduce RECIPE`.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workflow.dataset import StoredArray, read_array
from workflow.errors import UserError
from workflow.files import write_json
from workflow.params import Params
from workflow.published_params import PUBLISHED_FILE, load_published
from workflow.runs import train_run
from workflow.stage import Outputs, run_stage
from workflow.training import EpochResult, Predictor, cross_entropy

NORMALIZED = Path("data/normalized.npz")
DECIMALS = 4


def reproduce(params: Params, outputs: Outputs, name: str) -> None:
    """Write `published/runs/RECIPE.json`: of each seed, four scores and the printed predictions."""
    published = load_published(params)
    recipe, classes = params.required_recipe(name), len(params.data.class_names)
    actual = read_array(NORMALIZED, "test_labels")
    if max(published.images, default=0) >= len(actual):
        raise UserError(
            f"{PUBLISHED_FILE}: images: {max(published.images)}, but the last test image is"
            f" {len(actual) - 1}: correct it"
        )
    runs = []
    for seed in published.seeds:
        model, history = train_run(NORMALIZED, name, recipe, seed, classes)
        with StoredArray(NORMALIZED, "test_images") as images:
            probabilities = Predictor(model)(images, np.arange(len(images)))
        scores = run_scores(history, probabilities, actual)
        runs.append(
            {"seed": seed, **scores, "predictions": predictions(probabilities, published.images)}
        )
    write_json(outputs.path(f"published/runs/{name}.json"), {"runs": runs})


def run_scores(
    history: list[EpochResult], probabilities: NDArray[np.float32], actual: NDArray[np.uint8]
) -> dict[str, float]:
    """The four scores that the tutorials print.

    The training ones are means over the last epoch, while the weights still move, as there.
    """
    scores = {
        "train_accuracy": history[-1].accuracy,
        "train_loss": history[-1].loss,
        "test_accuracy": float(np.mean(probabilities.argmax(axis=1) == actual)),
        "test_loss": cross_entropy(probabilities, actual),
    }
    return {name: round(score, DECIMALS) for name, score in scores.items()}


def predictions(probabilities: NDArray[np.float32], images: list[int]) -> dict[str, dict[str, Any]]:
    """The likeliest class of each of these images, and its probability."""
    return {
        str(image): {
            "label": int(probabilities[image].argmax()),
            "probability": round(float(probabilities[image].max()), DECIMALS),
        }
        for image in images
    }


if __name__ == "__main__":
    (recipe,) = sys.argv[1:]
    run_stage(
        "reproduce",
        lambda params, outputs: reproduce(params, outputs, recipe),
        pipeline=Path("published/dvc.yaml"),
        variables={"item.recipe": recipe},
    )
