"""Train one recipe on a part of the training images and score it on the rest after each epoch."""

from workflow.core import paths
from workflow.core.classes import read_class_names
from workflow.core.errors import UserError
from workflow.core.params import Params
from workflow.core.stage import Outputs
from workflow.model.recipe import load_recipe
from workflow.model.results import write_history
from workflow.model.training import train_recipe

RECIPE = "overfitting"
SEED = 1


def run(params: Params, outputs: Outputs) -> None:
    """Write `published/overfitting.csv`, one row an epoch, training and validation."""
    recipe = load_recipe(params, RECIPE)
    if not recipe.validation_fraction:
        raise UserError(
            f"{paths.PARAMS}: recipes.{RECIPE} has no images for validation: set its"
            " validation_fraction"
        )
    _, history = train_recipe(RECIPE, recipe, SEED, len(read_class_names()))
    write_history(outputs.path("published/overfitting.csv"), history)
