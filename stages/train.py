"""Train the recipe that `params.yaml` names."""

from pathlib import Path

from workflow.dataset import StoredArray, read_array
from workflow.files import write_csv
from workflow.params import Params
from workflow.progress import progress_bar, say
from workflow.recipes import build_model
from workflow.reproducible import save_model, set_seed
from workflow.stage import Outputs, run_stage
from workflow.training import EpochResult, train

NORMALIZED = Path("data/normalized.npz")
# Enough to tell any two runs apart by eye; the bits themselves are in the model.
DECIMALS = 6


def train_recipe(params: Params, outputs: Outputs) -> None:
    """Write `models/model.keras` and `plots/history.csv`, one row an epoch."""
    recipe = params.recipes[params.recipe]
    labels = read_array(NORMALIZED, "train_labels")
    set_seed(params.seed)
    with StoredArray(NORMALIZED, "train_images") as images:
        model = build_model(recipe, images.shape[1:], len(params.data.class_names))
        say(f"train: recipe {params.recipe}, {model.count_params()} weights, seed {params.seed}")
        with progress_bar(recipe.epochs * len(images), "train", "image", scaled=True) as bar:

            def show(result: EpochResult) -> None:
                scores = {"loss": f"{result.loss:.4f}", "accuracy": f"{result.accuracy:.4f}"}
                if result.validation_accuracy is not None:
                    scores["validation accuracy"] = f"{result.validation_accuracy:.4f}"
                bar.set_postfix(scores)
                line = ", ".join(f"{name} {value}" for name, value in scores.items())
                say(f"  epoch {result.epoch}/{recipe.epochs}: {line}")

            history = train(model, recipe, images, labels, params.seed, bar.update, show)

    save_model(model, outputs.path("models/model.keras"))
    write_history(outputs.path("plots/history.csv"), history)


def write_history(path: Path, history: list[EpochResult]) -> None:
    """Write the curves; without held-out images, their two columns are left out."""
    columns = ["loss", "accuracy"]
    if history[0].validation_accuracy is not None:
        columns += ["validation_loss", "validation_accuracy"]
    write_csv(
        path,
        ["epoch", *columns],
        (
            [result.epoch, *(f"{getattr(result, column):.{DECIMALS}f}" for column in columns)]
            for result in history
        ),
    )


if __name__ == "__main__":
    run_stage("train", train_recipe)
