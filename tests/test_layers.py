"""Values and gradients of the layers, against TensorFlow's own."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from workflow.layers import (
    batch_normalization,
    convolution,
    inference_normalization,
    max_pooling,
)
from workflow.reproducible import tf

RANDOM = np.random.default_rng(0)


def draw(*shape: int) -> Any:
    return tf.constant(RANDOM.standard_normal(shape, np.float32))


def compare(ours: Callable[..., Any], theirs: Callable[..., Any], *inputs: Any) -> None:
    """Both give the same, and the same gradients of it."""
    results = []
    for function in (ours, theirs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = function(*inputs)
        upstream = tf.reshape(tf.range(tf.size(value), dtype=tf.float32) % 7 - 3, value.shape)
        results.append([value, *tape.gradient(value, inputs, upstream)])
    for of_ours, of_theirs in zip(*results, strict=True):
        np.testing.assert_allclose(of_ours.numpy(), of_theirs.numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9])
def test_convolution(size: int) -> None:
    compare(
        convolution,
        lambda images, kernel, bias: tf.nn.conv2d(images, kernel, 1, "SAME") + bias,
        *(draw(2, 7, 5, 3), draw(size, size, 3, 4), draw(4)),
    )


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_max_pooling_of_images_with_many_equal_pixels(size: int) -> None:
    images = tf.constant(RANDOM.integers(0, 3, (2, 7, 5, 3)).astype(np.float32))
    compare(
        lambda of: max_pooling(of, size),
        lambda of: tf.nn.max_pool2d(of, size, size, "VALID"),
        images,
    )


@pytest.mark.parametrize("shape", [(9, 3), (4, 3, 2, 5)])
def test_batch_normalization(shape: tuple[int, ...]) -> None:
    axes = list(range(len(shape) - 1))

    def plain(values: Any, scale: Any, offset: Any) -> Any:
        mean, variance = tf.nn.moments(values, axes)
        return tf.nn.batch_normalization(values, mean, variance, offset, scale, 1e-3)

    values, scale, offset = draw(*shape) * 3 + 1, draw(shape[-1]), draw(shape[-1])
    compare(lambda *inputs: batch_normalization(*inputs, 1e-3)[0], plain, values, scale, offset)
    moments = tf.nn.moments(values, axes)
    for ours, theirs in zip(
        batch_normalization(values, scale, offset, 1e-3)[1:], moments, strict=True
    ):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        inference_normalization(values, scale, offset, *moments, 1e-3).numpy(),
        plain(values, scale, offset).numpy(),
        rtol=1e-3,
        atol=1e-4,
    )
