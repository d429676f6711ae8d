"""Where everything lies, and how far results are rounded: each of it once."""

from collections.abc import Mapping
from pathlib import Path

PARAMS = Path("params.yaml")
PIPELINE = Path("dvc.yaml")
LOCK = Path("dvc.lock")

RAW = Path("data/raw")
NORMALIZED = Path("data/normalized.npz")
CLASSES = Path("data/classes.json")
MODEL = Path("models/model.keras")
CHECKPOINT = Path("models/.checkpoint.npz")
HISTORY = Path("plots/history.csv")
PROBABILITIES = Path("data/predictions.npz")
PREDICTIONS = Path("plots/predictions.csv")
TEST_METRICS = Path("metrics/test.json")
CLASS_METRICS = Path("metrics/per_class.json")
CLASS_TABLE = Path("plots/per_class.csv")

# The stage that makes each, to say how it is made again.
MADE_BY = {
    RAW: "download",
    NORMALIZED: "normalize",
    CLASSES: "normalize",
    MODEL: "train",
    HISTORY: "train",
    PROBABILITIES: "evaluate",
    PREDICTIONS: "evaluate",
    TEST_METRICS: "evaluate",
    CLASS_METRICS: "evaluate",
    CLASS_TABLE: "evaluate",
}

# Of every score in metrics/, plots/ and published/.
DECIMALS = 4
# Of the training curves: enough to tell any two runs apart by eye.
CURVE_DECIMALS = 6


def rounded(scores: Mapping[str, float]) -> dict[str, float]:
    """Scores by name, as the results record them."""
    return {name: round(value, DECIMALS) for name, value in scores.items()}
