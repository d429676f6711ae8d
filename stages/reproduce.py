"""Train one recipe with one seed and score it: a run to put beside a published result.

A stage of published/dvc.yaml: `python -m stages.reproduce RECIPE SEED`.
"""

import sys
from pathlib import Path

import numpy as np

from workflow.dataset import StoredArray, read_array
from workflow.errors import UserError
from workflow.files import write_json
from workflow.params import Params
from workflow.runs import train_run
from workflow.stage import Outputs, run_stage
from workflow.training import Predictor, cross_entropy

NORMALIZED = Path("data/normalized.npz")
DECIMALS = 4


def reproduce(params: Params, outputs: Outputs, recipe: str, seed: int) -> None:
    """Write `published/runs/RECIPE-SEED.json`: the four scores and the printed predictions."""
    classes = len(params.data.class_names)
    images_to_print = params.required_published().images
    actual = read_array(NORMALIZED, "test_labels")
    if max(images_to_print, default=0) >= len(actual):
        raise UserError(
            f"params.yaml: published.images: {max(images_to_print)}, but the last test image is"
            f" {len(actual) - 1}: correct it"
        )
    model, history = train_run(NORMALIZED, recipe, params.required_recipe(recipe), seed, classes)
    with StoredArray(NORMALIZED, "test_images") as images:
        probabilities = Predictor(model)(images, np.arange(len(images)))
    predicted = probabilities.argmax(axis=1)
    scores = {
        # Means over the last epoch, while the weights still move, as the tutorials print them.
        "train_accuracy": history[-1].accuracy,
        "train_loss": history[-1].loss,
        "test_accuracy": float(np.mean(predicted == actual)),
        "test_loss": cross_entropy(probabilities, actual),
    }
    predictions = {
        str(image): {
            "label": int(predicted[image]),
            "probability": round(float(probabilities[image].max()), DECIMALS),
        }
        for image in images_to_print
    }
    write_json(
        outputs.path(f"published/runs/{recipe}-{seed}.json"),
        {name: round(score, DECIMALS) for name, score in scores.items()}
        | {"predictions": predictions},
    )


if __name__ == "__main__":
    recipe, seed = sys.argv[1:]
    run_stage(
        "reproduce",
        lambda params, outputs: reproduce(params, outputs, recipe, int(seed)),
        pipeline=Path("published/dvc.yaml"),
        variables={"item.recipe": recipe, "item.seed": seed},
    )
