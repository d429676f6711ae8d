"""What must not depend on the processor, as hashes: run by test_bits.py under several of them.

`python tests/arithmetic.py [NAME=VALUE …]` sets those variables of the stages' environment to
other values first; `XLA_FLAGS=+FLAG` adds a flag to ours, of which the last one counts.
"""

import hashlib
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from workflow import environment

for name, value in (pair.split("=", 1) for pair in sys.argv[1:]):
    ours = environment._X86_64[name]
    environment._X86_64[name] = f"{ours} {value[1:]}" if value.startswith("+") else value
environment.apply()

import numpy as np  # noqa: E402

from workflow.dataset import StoredArray, write_arrays  # noqa: E402
from workflow.params import Recipe  # noqa: E402
from workflow.recipes import build_model  # noqa: E402
from workflow.reproducible import set_seed, tf  # noqa: E402
from workflow.training import Predictor, train  # noqa: E402

IMAGES = 150  # a batch size that divides them makes one program less to compile
ADAM = {"name": "adam", "learning_rate": 0.001}
PLAIN = {"name": "sgd", "learning_rate": 0.01}
MOMENTUM = PLAIN | {"momentum": 0.9}
FLATTEN: dict[str, object] = {"layer": "flatten"}


@dataclass(frozen=True)
class Case:
    """A recipe, but for what all have in common."""

    layers: list[dict[str, object]]
    batch_size: int
    classes: int
    head: str
    optimizer: dict[str, object]


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


CASES = (
    # Wider than any first-level cache holds, and no multiple of a vector.
    Case(two_dense(300), 140, 7, "softmax", ADAM),
    Case(two_dense(37), 7, 131, "logits", MOMENTUM),
    # Rows shorter than a vector, which can be cut in many ways.
    Case([FLATTEN], 30, 5, "logits", PLAIN),
    Case([FLATTEN, dense(3, "sigmoid"), dense(5, "tanh")], 23, 8, "logits", PLAIN),
    # Products of a matrix and a vector, from either side.
    Case(two_dense(1), 149, 7, "softmax", ADAM),
    Case(two_dense(66), 1, 2, "logits", ADAM),
    Case([*convolution(20, 3), *convolution(37, 2), FLATTEN], 30, 10, "logits", ADAM),
    Case([*convolution(5, 2), *convolution(10, 1), FLATTEN], 25, 3, "softmax", PLAIN),
)
# What batch normalization and the activations are made of.
FUNCTIONS = (tf.math.rsqrt, lambda x: 1 / tf.sqrt(x), tf.exp, tf.math.log, tf.tanh, tf.math.erf)


def trained(archive: Path, case: Case) -> bytes:
    """The weights after an epoch, and what they make of the images."""
    recipe = Recipe.model_validate(
        {
            "layers": case.layers,
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
    print(*(hashlib.sha256(result).hexdigest()[:16] for result in results))


main()
