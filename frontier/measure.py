"""Train one recipe with one seed and score it on the test set, once."""

import numpy as np

from workflow.core import paths
from workflow.core.classes import read_class_names
from workflow.core.files import write_json
from workflow.core.params import Params
from workflow.core.stage import Outputs
from workflow.data.npz import StoredArray, read_array
from workflow.model.prediction import Predictor, mean_cross_entropy
from workflow.model.recipe import load_recipe
from workflow.model.training import train_recipe


def run(params: Params, outputs: Outputs, item: str) -> None:
    """Write `frontier/runs/RECIPE-SEED.json`: accuracies and loss."""
    name, _, seed = item.rpartition("-")
    recipe = load_recipe(params, name)
    actual = read_array(paths.NORMALIZED, "test_labels")
    model, history = train_recipe(name, recipe, int(seed), len(read_class_names()))
    with StoredArray(paths.NORMALIZED, "test_images") as images:
        probabilities = Predictor(model).predict_rows(images, np.arange(len(images)))
    scores = {
        "test_accuracy": float(np.mean(probabilities.argmax(axis=1) == actual)),
        "test_loss": mean_cross_entropy(probabilities, actual),
        "train_accuracy": history[-1].accuracy,
    }
    write_json(outputs.path(f"frontier/runs/{item}.json"), paths.rounded(scores))
