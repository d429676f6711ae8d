"""How good predictions are. Labels are class indices, probabilities float32."""

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONFIDENCE_LEVEL = 0.95
_CALIBRATION_BINS = 15


@dataclass(frozen=True)
class ClassScores:
    """Scores of one class; each in [0, 1], 0 where nothing of the class was predicted or there."""

    precision: float
    recall: float
    f1: float


def require_probabilities(
    probabilities: NDArray[np.floating[Any]], images: int, classes: int
) -> None:
    """Raise a ValueError unless there is a finite one for each image and class."""
    if probabilities.shape != (images, classes):
        raise ValueError(
            f"probabilities of shape {probabilities.shape} for {images} images and {classes}"
            " classes"
        )
    if not np.isfinite(probabilities).all():
        raise ValueError("a probability is not finite")


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """The 95 % confidence interval of an accuracy, by Wilson's score method (1927).

    It speaks of the choice of test images alone: another random seed for the training moves
    the accuracy by more than that. (SciPy has the same, and takes half a second to import.)
    """
    z = NormalDist().inv_cdf((1 + CONFIDENCE_LEVEL) / 2)
    rate, spread = correct / total, z**2 / total
    middle = (rate + spread / 2) / (1 + spread)
    reach = z * sqrt(rate * (1 - rate) / total + spread / (4 * total)) / (1 + spread)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def scores_per_class(counts: NDArray[np.int64]) -> list[ClassScores]:
    """Precision, recall and F1 of each class, from the confusion counts."""
    hits = counts.diagonal().astype(np.float64)
    predicted, actual = counts.sum(axis=0), counts.sum(axis=1)

    def ratio(of: NDArray[np.float64], to: NDArray[np.int64]) -> list[float]:
        return list(np.divide(of, to, out=np.zeros_like(of), where=to > 0))

    scores = (ratio(hits, predicted), ratio(hits, actual), ratio(2 * hits, predicted + actual))
    return [ClassScores(*map(float, of_class)) for of_class in zip(*scores, strict=True)]


def macro_f1(counts: NDArray[np.int64]) -> float:
    """The mean F1 of the classes that have test images, of (classes, classes) counts."""
    present = counts.sum(axis=1) > 0
    scores = scores_per_class(counts)
    return float(
        np.mean([of.f1 for of, is_present in zip(scores, present, strict=True) if is_present])
    )


def expected_calibration_error(
    probabilities: NDArray[np.float32], actual: NDArray[np.uint8]
) -> float:
    """How far confidence and accuracy lie apart, after Guo et al. (2017), in [0, 1].

    The predictions are put into 15 bins of equal width by their confidence, the largest
    probability; the gaps between mean confidence and accuracy of the bins are averaged,
    weighted by the number of predictions in each.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == actual
    bins = np.minimum((confidence * _CALIBRATION_BINS).astype(int), _CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, weights=confidence - correct, minlength=_CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(actual))


def confusion_counts(
    actual: NDArray[np.uint8], predicted: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """(classes, classes) counts: row the actual class, column the predicted one."""
    counts = np.bincount(actual.astype(np.int64) * classes + predicted, minlength=classes**2)
    return counts.reshape(classes, classes)
