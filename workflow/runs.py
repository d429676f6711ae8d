"""One training run on the stored data set, with progress for people, and its history."""

from pathlib import Path
from typing import Any

from workflow.dataset import StoredArray, read_array
from workflow.files import write_csv
from workflow.params import Recipe
from workflow.progress import progress_bar, say
from workflow.recipes import build_model
from workflow.reproducible import set_seed
from workflow.training import EpochResult, memory_shortage_named, train

# Enough to tell any two runs apart by eye; the bits themselves are in the model.
_DECIMALS = 6


def train_run(
    archive: Path, name: str, recipe: Recipe, seed: int, classes: int
) -> tuple[Any, list[EpochResult]]:
    """Build the model of a recipe and train it on the training images of `archive`.

    Args:
        archive: the normalized data set.
        name: of the recipe, to be shown.
        recipe: what to build and how to train it.
        seed: decides the initial weights and the order of the images.
        classes: how many there are.

    Returns:
        The trained `keras.Model` and one result an epoch.

    Raises:
        UserError: the archive cannot be read, or the recipe cannot be built or trained.
    """
    labels = read_array(archive, "train_labels")
    set_seed(seed)
    with memory_shortage_named(), StoredArray(archive, "train_images") as images:
        model = build_model(recipe, images.shape[1:], classes)
        say(f"train: recipe {name}, {model.count_params()} weights, seed {seed}")
        with progress_bar(recipe.epochs * len(images), "train", "image", scaled=True) as bar:

            def show(result: EpochResult) -> None:
                scores = {"loss": f"{result.loss:.4f}", "accuracy": f"{result.accuracy:.4f}"}
                if result.validation_accuracy is not None:
                    scores["validation accuracy"] = f"{result.validation_accuracy:.4f}"
                bar.set_postfix(scores)
                line = ", ".join(f"{name} {value}" for name, value in scores.items())
                say(f"  epoch {result.epoch}/{recipe.epochs}: {line}")

            return model, train(model, recipe, images, labels, seed, bar.update, show)


def write_history(path: Path, history: list[EpochResult]) -> None:
    """Write the curves; without held-out images, their two columns are left out."""
    columns = ["loss", "accuracy"]
    if history[0].validation_accuracy is not None:
        columns += ["validation_loss", "validation_accuracy"]
    write_csv(
        path,
        ["epoch", *columns],
        (
            [result.epoch, *(f"{getattr(result, column):.{_DECIMALS}f}" for column in columns)]
            for result in history
        ),
    )
