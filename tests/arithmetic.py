"""What must not depend on the processor, as hashes: run by test_bits.py under several of them.

`python tests/arithmetic.py [NAME=VALUE …]` sets those variables of the stages' environment to
other values first; `XLA_FLAGS=+FLAG` adds a flag to ours, of which the last one counts.
"""

import hashlib
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from workflow import environment

for name, value in (pair.split("=", 1) for pair in sys.argv[1:]):
    ours = environment._X86_64[name]
    environment._X86_64[name] = f"{ours} {value[1:]}" if value.startswith("+") else value
environment.apply()

import numpy as np  # noqa: E402

from workflow import forward  # noqa: E402
from workflow.dataset import StoredArray, write_arrays  # noqa: E402
from workflow.params import Recipe  # noqa: E402
from workflow.recipes import build_model  # noqa: E402
from workflow.reproducible import set_seed, tf  # noqa: E402
from workflow.training import Predictor, train  # noqa: E402

IMAGES = 150
ADAM = {"name": "adam", "learning_rate": 0.001}
MOMENTUM = {"name": "sgd", "learning_rate": 0.01, "momentum": 0.9}


@dataclass(frozen=True)
class Case:
    """A recipe of two hidden layers."""

    units: int
    batch_size: int
    classes: int
    head: str
    optimizer: dict[str, object]


CASES = (
    # Wider than any first-level cache holds, and no multiple of a vector.
    Case(300, 140, 7, "softmax", ADAM),
    Case(37, 7, 131, "logits", MOMENTUM),
    # Products of a matrix and a vector, from either side.
    Case(1, 149, 7, "softmax", ADAM),
    Case(66, 1, 2, "logits", ADAM),
)
# What batch normalisation and the activations are made of.
FUNCTIONS = (tf.math.rsqrt, lambda x: 1 / tf.sqrt(x), tf.exp, tf.math.log, tf.tanh, tf.math.erf)


def trained(archive: Path, case: Case) -> bytes:
    """The weights after an epoch, and what they make of the images."""
    hidden = {"layer": "dense", "units": case.units, "activation": "gelu"}
    recipe = Recipe.model_validate(
        {
            "layers": [{"layer": "flatten"}, hidden, hidden],
            "head": case.head,
            "optimizer": case.optimizer,
            "batch_size": case.batch_size,
            "epochs": 1,
        }
    )
    set_seed(1)
    labels = np.arange(IMAGES).astype(np.uint8) % case.classes
    with StoredArray(archive, "images") as images:
        model = build_model(recipe, images.shape[1:], case.classes)
        train(model, recipe, images, labels, 1)
        probabilities = Predictor(model)(images, np.arange(IMAGES))
    return b"".join(weight.numpy().tobytes() for weight in model.weights) + probabilities.tobytes()


def convolution(images: Any, kernel: Any) -> Any:
    """(n, height, width, inputs) images under a (3, 3, inputs, outputs) kernel, as one product."""
    _, height, width, inputs = images.shape
    padded = tf.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifted = [padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)]
    rows = tf.reshape(tf.concat(shifted, axis=-1), (-1, 9 * inputs))
    outputs = kernel.shape[-1]
    product = forward._product_and_bias(rows, tf.reshape(kernel, (-1, outputs)), tf.zeros(outputs))
    return tf.reshape(product, (-1, height, width, outputs))


@tf.custom_gradient
def normalization(images: Any, _: Any) -> Any:
    """Each channel with mean 0 and variance 1 over the batch (Ioffe and Szegedy, 2015)."""
    rows = tf.reshape(images, (-1, images.shape[-1]))

    def mean(values: Any) -> Any:
        return forward._column_sums(values) / values.shape[0]

    centred = rows - mean(rows)
    scale = tf.math.rsqrt(mean(centred * centred) + 1e-3)
    normalized = centred * scale

    def gradients(upstream: Any) -> tuple[Any, None]:
        deviation = upstream - mean(upstream) - normalized * mean(upstream * normalized)
        return tf.reshape(scale * deviation, images.shape), None

    return normalized, gradients


def value_and_gradients(function: Any, images: Any, kernel: Any) -> bytes:
    """What a function gives, and the gradients of half the sum of its squares."""

    @tf.function(jit_compile=True, autograph=False)
    def compiled() -> Any:
        with tf.GradientTape() as tape:
            tape.watch((images, kernel))
            value = function(images, kernel)
        gradients = tape.gradient(value, (images, kernel), value)
        return value, *(gradient for gradient in gradients if gradient is not None)

    return b"".join(result.numpy().tobytes() for result in compiled())


def main() -> None:
    """Print a hash for each case and each function."""
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, "images.npz")
        write_arrays(archive, {"images": random.random((IMAGES, 28, 28), np.float32)})
        results = [trained(archive, case) for case in CASES]
    numbers = tf.constant(random.random(4096, np.float32) + 0.01)
    for function in FUNCTIONS:
        results.append(tf.function(function, jit_compile=True)(numbers).numpy().tobytes())
    channels = tf.constant(random.random((9, 28, 28, 5), np.float32))
    kernel = tf.constant(random.standard_normal((3, 3, 5, 20), np.float32))
    results += [value_and_gradients(f, channels, kernel) for f in (convolution, normalization)]
    print(*(hashlib.sha256(result).hexdigest()[:16] for result in results))


main()
