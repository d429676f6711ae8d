"""What training gives beside the model: a result for each epoch, and the table of them."""

from dataclasses import dataclass
from pathlib import Path

from workflow.core import paths
from workflow.core.files import write_csv


@dataclass(frozen=True)
class EpochResult:
    """What one epoch gave: means over the images.

    `loss` and `accuracy` are taken while the weights move, as `model.fit` does, so they lag
    behind the model that the epoch ends with. The validation ones are of that model.
    """

    epoch: int
    loss: float
    accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None


def best_epoch(history: list[EpochResult]) -> int:
    """The first epoch of the highest validation accuracy, from 1 on."""
    return max(history, key=lambda result: (result.validation_accuracy or 0, -result.epoch)).epoch


def write_history(path: Path, history: list[EpochResult], kept: int | None = None) -> None:
    """Write the curves, one row an epoch; without validation, its two columns are left out.

    Args:
        path: of the table.
        history: what training gave.
        kept: the epoch whose model is the result, where that is not the last one: a column tells.
    """
    columns = ["loss", "accuracy"]
    if history[0].validation_accuracy is not None:
        columns += ["validation_loss", "validation_accuracy"]
    write_csv(
        path,
        ["epoch", *columns, *(["kept"] if kept else [])],
        (
            [
                result.epoch,
                *(f"{getattr(result, column):.{paths.CURVE_DECIMALS}f}" for column in columns),
                *([int(result.epoch == kept)] if kept else []),
            ]
            for result in history
        ),
    )
