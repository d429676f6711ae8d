"""A short training of a recipe: does the code still compute what it did? And what the model costs.

To train all recipes takes hours, and code is edited daily. So `measure` depends on the weights that
a short training ends with instead of on the code: an edit that changes no bit trains nothing anew.
"""

import hashlib

from workflow.core import paths
from workflow.core.classes import read_class_names
from workflow.core.files import write_json
from workflow.core.params import Params
from workflow.core.stage import Outputs
from workflow.data.npz import StoredArray, read_array
from workflow.model.keras_file import save_model
from workflow.model.operations import operations
from workflow.model.prediction import Predictor
from workflow.model.recipe import build_model, load_recipe, with_flips
from workflow.model.tensorflow import set_seed
from workflow.model.training import split_rows, train

_SEED = 1
_IMAGES = 2000  # that are trained on
_PREDICTED = 100


def run(params: Params, outputs: Outputs, name: str) -> None:
    """Write `frontier/probes/RECIPE.json`: a hash, and what the model costs whoever uses it."""
    recipe = load_recipe(params, name)
    labels = read_array(paths.NORMALIZED, "train_labels")[:_IMAGES]
    set_seed(_SEED)
    with StoredArray(paths.NORMALIZED, "train_images") as images:
        model = build_model(recipe, images.shape[1:], len(read_class_names()))
        train(model, recipe.model_copy(update={"epochs": 2}), images, labels, _SEED)
        final = with_flips(model) if recipe.test_time_flip else model
        rows = split_rows(labels, _PREDICTED / len(labels), _SEED)[1]
        probabilities = Predictor(final).predict_rows(images, rows)
    weights = b"".join(weight.numpy().tobytes() for weight in model.weights)
    file = outputs.path(f"frontier/probes/{name}.json")
    save_model(final, file.with_suffix(".keras"))
    megabytes = file.with_suffix(".keras").stat().st_size / 1e6
    file.with_suffix(".keras").unlink()
    write_json(
        file,
        {
            "bits": hashlib.sha256(weights + probabilities.tobytes()).hexdigest(),
            "file_megabytes": round(megabytes, 2),
            "megaflop_an_image": round(
                sum(operations(model)) / 1e6 * (2 if final is not model else 1), 2
            ),
            "weights": final.count_params(),
        },
    )
