"""Train one recipe on a part of the training images and score it on the rest each epoch.

A stage of published/dvc.yaml: `python -m stages.overfit RECIPE SEED`.
"""

import sys
from pathlib import Path

from workflow.errors import UserError
from workflow.params import Params
from workflow.runs import train_run, write_history
from workflow.stage import Outputs, run_stage

NORMALIZED = Path("data/normalized.npz")


def overfit(params: Params, outputs: Outputs, name: str, seed: int) -> None:
    """Write `published/overfitting.csv`, one row an epoch, trained and held out."""
    recipe = params.required_recipe(name)
    if not recipe.validation_fraction:
        raise UserError(
            f"params.yaml: recipes.{name} holds no images out: set its validation_fraction"
        )
    _, history = train_run(NORMALIZED, name, recipe, seed, len(params.data.class_names))
    write_history(outputs.path("published/overfitting.csv"), history)


if __name__ == "__main__":
    recipe, seed = sys.argv[1:]
    run_stage(
        "overfit",
        lambda params, outputs: overfit(params, outputs, recipe, int(seed)),
        pipeline=Path("published/dvc.yaml"),
    )
