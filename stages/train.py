"""Train the recipe that `params.yaml` names."""

from pathlib import Path

from workflow.params import Params
from workflow.reproducible import save_model
from workflow.runs import train_run, write_history
from workflow.stage import Outputs, run_stage

NORMALIZED = Path("data/normalized.npz")


def train_recipe(params: Params, outputs: Outputs) -> None:
    """Write `models/model.keras` and `plots/history.csv`, one row an epoch."""
    recipe = params.recipes[params.recipe]
    classes = len(params.data.class_names)
    model, history = train_run(NORMALIZED, params.recipe, recipe, params.seed, classes)
    save_model(model, outputs.path("models/model.keras"))
    write_history(outputs.path("plots/history.csv"), history)


if __name__ == "__main__":
    run_stage("train", train_recipe)
