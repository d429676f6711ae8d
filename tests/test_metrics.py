"""Metrics against values worked out by hand."""

import numpy as np
import pytest
from scipy.stats import binomtest

from workflow.metrics import (
    confusion_counts,
    expected_calibration_error,
    macro_f1,
    scores_per_class,
    wilson_interval,
)

ACTUAL = np.array([0, 0, 0, 1, 1, 2], np.uint8)
PREDICTED = np.array([0, 0, 1, 1, 2, 2])


def test_confusion_has_actual_classes_in_rows() -> None:
    assert confusion_counts(ACTUAL, PREDICTED, 4).tolist() == [
        [2, 1, 0, 0],
        [0, 1, 1, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 0],
    ]


def test_precision_recall_and_f1() -> None:
    scores = scores_per_class(confusion_counts(ACTUAL, PREDICTED, 4))
    assert [s.precision for s in scores] == pytest.approx([1, 1 / 2, 1 / 2, 0])
    assert [s.recall for s in scores] == pytest.approx([2 / 3, 1 / 2, 1, 0])
    assert [s.f1 for s in scores] == pytest.approx([4 / 5, 1 / 2, 2 / 3, 0])


def test_macro_f1_is_the_mean_of_the_classes_that_have_test_images() -> None:
    assert macro_f1(confusion_counts(ACTUAL, PREDICTED, 4)) == pytest.approx(
        (4 / 5 + 1 / 2 + 2 / 3) / 3
    )
    right = np.array([0, 1, 1], np.uint8)
    assert macro_f1(confusion_counts(right, right.astype(np.int64), 3)) == 1


@pytest.mark.parametrize(("correct", "total"), [(0, 1), (0, 40), (40, 40), (1, 3), (8753, 10000)])
def test_the_interval_is_that_of_scipy(correct: int, total: int) -> None:
    interval = binomtest(correct, total).proportion_ci(method="wilson")
    assert wilson_interval(correct, total) == pytest.approx(
        (interval.low, interval.high), abs=1e-12
    )


def test_calibration_error() -> None:
    # Two predictions at 0.9, of which one is right, and two at 0.6, both right.
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]], np.float32)
    actual = np.array([0, 1, 1, 1], np.uint8)
    expected = 0.5 * abs(0.9 - 0.5) + 0.5 * abs(0.6 - 1)
    assert expected_calibration_error(probabilities, actual) == pytest.approx(expected, abs=1e-6)


def test_a_sure_and_right_model_is_calibrated() -> None:
    assert (
        expected_calibration_error(np.eye(3, dtype=np.float32), np.arange(3, dtype=np.uint8)) == 0
    )
