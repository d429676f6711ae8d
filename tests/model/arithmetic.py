"""What must not depend on the processor, as hashes: run by test_bits.py under several of them.

`python tests/model/arithmetic.py [NAME=VALUE …]` sets those variables of the stages' environment to
other values first; `XLA_FLAGS=+FLAG` adds a flag to ours, of which the last one counts.
"""

import hashlib
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from workflow.core import environment

for name, value in (pair.split("=", 1) for pair in sys.argv[1:]):
    ours = environment._X86_64[name]
    environment._X86_64[name] = f"{ours} {value[1:]}" if value.startswith("+") else value
environment.apply()

import numpy as np  # noqa: E402
from small import EVERY_PIECE  # noqa: E402

from workflow.data.npz import StoredArray, write_arrays  # noqa: E402
from workflow.model.prediction import Predictor  # noqa: E402
from workflow.model.recipe import Recipe, build_model  # noqa: E402
from workflow.model.tensorflow import set_seed, tf  # noqa: E402
from workflow.model.training import train  # noqa: E402

IMAGES = 150  # a batch size that divides them makes one program less to compile
ADAM = {"name": "adam", "learning_rate": 0.001}
FLATTEN: dict[str, object] = {"layer": "flatten"}


def dense(units: int, activation: str) -> dict[str, object]:
    """A hidden layer."""
    return {"layer": "dense", "units": units, "activation": activation}


def two_dense(units: int) -> list[dict[str, object]]:
    """Two hidden layers."""
    return [FLATTEN, dense(units, "gelu"), dense(units, "gelu")]


def convolution(filters: int, kernel_size: int) -> list[dict[str, object]]:
    """A convolution, normalized and pooled."""
    size = {"filters": filters, "kernel_size": kernel_size}
    return [
        {"layer": "conv2d", "activation": "relu"} | size,
        {"layer": "batch_normalization"},
        {"layer": "max_pooling2d", "pool_size": 2},
    ]


# The number of classes, and what the recipes do not have in common.
CASES: tuple[tuple[int, dict[str, object]], ...] = (
    # Wider than any first-level cache holds, and no multiple of a vector; a last batch of ten.
    (7, {"layers": two_dense(300), "batch_size": 140, "head": "softmax", "optimizer": ADAM}),
    # Rows shorter than a vector, which can be cut in many ways; products of a matrix and a vector,
    # from either side; a last batch of one, whose gradients are products of a column and a row.
    (
        131,
        {
            "layers": [
                *(FLATTEN, dense(37, "gelu"), dense(3, "sigmoid"), dense(5, "tanh")),
                dense(1, "gelu"),
            ],
            "batch_size": 149,
            "optimizer": {"name": "sgd", "learning_rate": 1.0, "momentum": 0.9},
        },
    ),
    (2, {"layers": [FLATTEN, dense(1, "gelu")], "batch_size": 149, "optimizer": ADAM}),
    (
        10,
        {
            "layers": [*convolution(20, 3), *convolution(37, 2), FLATTEN],
            "batch_size": 30,
            "optimizer": ADAM,
        },
    ),
    # In shards. (tests/model/test_steps.py has smaller last batches.)
    (5, EVERY_PIECE | {"batch_size": 30, "shards": 2}),
)
# What batch normalization and the activations are made of.
FUNCTIONS = (tf.math.rsqrt, lambda x: 1 / tf.sqrt(x), tf.exp, tf.math.log, tf.tanh, tf.math.erf)


def trained(archive: Path, classes: int, pieces: dict[str, object]) -> bytes:
    """The weights after an epoch, and what they make of the images."""
    chosen = Recipe.model_validate({"head": "logits", "epochs": 1} | pieces)
    set_seed(1)
    labels = np.arange(IMAGES).astype(np.uint8) % classes
    with StoredArray(archive, "images") as images:
        model = build_model(chosen, images.shape[1:], classes)
        train(model, chosen, images, labels, 1)
        probabilities = Predictor(model).predict_rows(images, np.arange(IMAGES))
    return b"".join(weight.numpy().tobytes() for weight in model.weights) + probabilities.tobytes()


def main() -> None:
    """Print a hash for each case and each function."""
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, "images.npz")
        write_arrays(archive, {"images": random.random((IMAGES, 28, 28), np.float32)})
        results = [trained(archive, *case) for case in CASES]
    numbers = tf.constant(random.random(4096, np.float32) + 0.01)
    for function in FUNCTIONS:
        results.append(tf.function(function, jit_compile=True)(numbers).numpy().tobytes())
    print(*(hashlib.sha256(result).hexdigest()[:16] for result in results))


main()
