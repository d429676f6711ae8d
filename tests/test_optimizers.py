"""Adam in one pass is the Adam of Keras."""

import re
from typing import Any

import numpy as np
import pytest

from workflow.optimizers import OnePassAdam
from workflow.reproducible import keras, set_seed, tf

SHAPES = [(64, 48), (7, 10), (5,), (3, 3, 2, 4)]


def compiled(optimizer: Any, shapes: list[tuple[int, ...]]) -> tuple[Any, list[Any]]:
    """A compiled program that applies gradients to variables of these shapes, and those."""
    random = np.random.default_rng(0)
    variables = [
        keras.Variable(random.normal(size=shape), dtype="float32", name=f"variable_{number}")
        for number, shape in enumerate(shapes)
    ]
    optimizer.build(variables)

    @tf.function(jit_compile=True, autograph=False)
    def apply(*gradients: Any) -> None:
        optimizer.apply(gradients, variables)

    return apply, variables


def test_the_same_bits_as_keras() -> None:
    ours, theirs = (
        compiled(optimizer(0.01), SHAPES) for optimizer in (OnePassAdam, keras.optimizers.Adam)
    )
    random = np.random.default_rng(1)
    for _ in range(20):
        gradients = [random.normal(size=shape).astype(np.float32) for shape in SHAPES]
        gradients[0][:8] = 0  # as of a pixel that is dark in all images
        for apply, _ in (ours, theirs):
            apply(*gradients)
    for of_ours, of_theirs in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_array_equal(of_ours.numpy(), of_theirs.numpy())


@pytest.mark.parametrize(
    ("optimizer", "passes"), [(OnePassAdam, [3]), (keras.optimizers.Adam, [2, 1])]
)
def test_weights_and_moments_are_updated_in_one_pass(optimizer: Any, passes: list[int]) -> None:
    set_seed(1)  # to look at a program takes a random number
    apply, _ = compiled(optimizer(0.01), [(64, 48)])
    program = apply.experimental_get_compiler_ir(tf.ones((64, 48)))(stage="optimized_hlo")
    entry = program[program.index("\nENTRY") :]
    loops = re.findall(r"= (\(?f32\[64,48\].*?) fusion\(", entry)
    assert [loop.count("f32[64,48]") for loop in loops] == passes
