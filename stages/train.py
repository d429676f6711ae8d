"""Train the recipe that `params.yaml` names, alone or as one of the workers of `TF_CONFIG`."""

from workflow.core import paths
from workflow.core.classes import read_class_names
from workflow.core.params import Params
from workflow.core.stage import Outputs
from workflow.model.checkpoint import Checkpoint
from workflow.model.cluster import join_cluster
from workflow.model.keras_file import save_model
from workflow.model.recipe import load_recipe
from workflow.model.results import best_epoch, write_history
from workflow.model.training import train_recipe


def run(params: Params, outputs: Outputs) -> None:
    """Write `models/model.keras` and `plots/history.csv`, one row an epoch."""
    recipe = load_recipe(params, params.recipe)
    cluster = join_cluster()
    cluster.require_same(outputs.identity)
    checkpoint = Checkpoint(outputs, cluster)
    classes = len(read_class_names())
    model, history = train_recipe(params.recipe, recipe, params.seed, classes, cluster, checkpoint)
    if cluster.is_chief:
        save_model(model, outputs.path(paths.MODEL))
        kept = best_epoch(history) if recipe.early_stopping else None
        write_history(outputs.path(paths.HISTORY), history, kept)
