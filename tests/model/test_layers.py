"""Values and gradients of the layers, against TensorFlow's own."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from workflow.model.layers.base import Training
from workflow.model.layers.convolution import convolution
from workflow.model.layers.normalization import batch_normalization, inference_normalization
from workflow.model.layers.pooling import average_pooling, global_average_pooling, max_pooling
from workflow.model.tensorflow import set_seed, tf

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


@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_convolution_with_strides(size: int, stride: int) -> None:
    compare(
        lambda *inputs: convolution(*inputs, stride),
        lambda images, kernel, bias: tf.nn.conv2d(images, kernel, stride, "SAME") + bias,
        *(draw(2, 7, 6, 3), draw(size, size, 3, 4), draw(4)),
    )


def test_convolutions_of_a_shape_share_nothing_that_is_copied() -> None:
    """Large copies go to TensorFlow's one thread, in which shards would wait for each other."""
    images, kernel, bias = draw(2, 4, 4, 8), draw(3, 3, 8, 8), draw(8)

    @tf.function(jit_compile=True, autograph=False)
    def gradient(images: Any, kernel: Any, bias: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch((images, kernel, bias))
            value = convolution(convolution(images, kernel, bias), kernel, bias)
        return tape.gradient(value, (images, kernel, bias))

    set_seed(1)  # TensorFlow draws a number to find out where it runs
    program = gradient.experimental_get_compiler_ir(images, kernel, bias)("optimized_hlo")
    assert "f32[2,16,8]" in program
    assert not re.findall(r"= f32\[2,16,8\]\S* copy\(", program)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_average_pooling(size: int) -> None:
    compare(
        lambda images: average_pooling(images, size),
        lambda images: tf.nn.avg_pool2d(images, size, size, "VALID"),
        draw(2, 7, 5, 3),
    )


def test_global_average_pooling() -> None:
    images = draw(2, 7, 5, 3)
    compare(global_average_pooling, lambda values: tf.reduce_mean(values, (1, 2)), images)


def test_random_bits_follow_from_the_key_of_each_image() -> None:
    keys = tf.constant(RANDOM.integers(-(2**31), 2**31, 500, np.int32))
    bits = Training(keys).random_bits((500, 40)).numpy()
    np.testing.assert_array_equal(Training(keys[7:9]).random_bits((2, 40)).numpy(), bits[7:9])
    training = Training(keys)
    assert not np.array_equal(training.random_bits((500, 40)), training.random_bits((500, 40)))
    # As often as by chance, of each bit alone and of neighbours in either direction.
    ones = (bits[..., None] >> np.arange(32, dtype=np.uint32)) & 1
    for shares in (ones, ones[1:] ^ ones[:-1], ones[:, 1:] ^ ones[:, :-1]):
        assert np.abs(shares.mean((0, 1)) - 0.5).max() < 5 * 0.5 / np.sqrt(500 * 39)


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
