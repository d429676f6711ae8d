"""Learning rates over a training."""

import numpy as np
import pytest

from workflow.model.optimizers import Schedule


def rates(name: str, warm_up: float = 0.0) -> list[float]:
    return Schedule(name=name, warm_up=warm_up).rates(2.0, 8).tolist()  # type: ignore[arg-type]


def test_schedules_rise_and_fall() -> None:
    assert rates("constant") == [2.0] * 8
    assert rates("constant", 0.25) == pytest.approx([2 / 3, 4 / 3, *[2.0] * 6], rel=1e-5)
    assert rates("linear") == pytest.approx([2 - n / 4 for n in range(8)])
    cosine = rates("cosine", 0.5)
    assert cosine == pytest.approx(
        [0.4, 0.8, 1.2, 1.6, 2.0, 1 + 0.5**0.5, 1.0, 1 - 0.5**0.5], rel=1e-5
    )
    assert Schedule(name="cosine").rates(1e-3, 1000).dtype == np.float32
