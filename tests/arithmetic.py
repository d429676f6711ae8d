"""What must not depend on the processor, as hashes: run by test_bits.py under several of them.

`python tests/arithmetic.py [NAME=VALUE …]` sets those variables of the stages' environment to
other values first.
"""

import hashlib
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from workflow import environment

environment._X86_64.update(pair.split("=", 1) for pair in sys.argv[1:])
environment.apply()

import numpy as np  # noqa: E402

from workflow.dataset import StoredArray, write_arrays  # noqa: E402
from workflow.params import Recipe  # noqa: E402
from workflow.recipes import build_model  # noqa: E402
from workflow.reproducible import set_seed, tf  # noqa: E402
from workflow.training import Predictor, train  # noqa: E402

IMAGES = 150
CLASSES = 7
# Wider than any first-level cache holds, and no multiple of a vector.
RECIPES = (
    {"units": 300, "batch_size": 140, "head": "softmax"},
    {"units": 37, "batch_size": 7, "head": "logits"},
    # Products of a matrix and a vector.
    {"units": 1, "batch_size": 149, "head": "softmax"},
)
# What batch normalisation and the activations are made of.
FUNCTIONS = (tf.math.rsqrt, lambda x: 1 / tf.sqrt(x), tf.exp, tf.math.log, tf.tanh, tf.math.erf)


def trained(archive: Path, units: int, batch_size: int, head: str) -> bytes:
    """The weights of two hidden layers after an epoch, and what they make of the images."""
    hidden = {"layer": "dense", "units": units, "activation": "gelu"}
    recipe = Recipe.model_validate(
        {
            "layers": [{"layer": "flatten"}, hidden, hidden],
            "head": head,
            "optimizer": {"name": "adam", "learning_rate": 0.001},
            "batch_size": batch_size,
            "epochs": 1,
        }
    )
    set_seed(1)
    labels = np.arange(IMAGES).astype(np.uint8) % CLASSES
    with StoredArray(archive, "images") as images:
        model = build_model(recipe, images.shape[1:], CLASSES)
        train(model, recipe, images, labels, 1)
        probabilities = Predictor(model)(images, np.arange(IMAGES))
    return b"".join(weight.numpy().tobytes() for weight in model.weights) + probabilities.tobytes()


def main() -> None:
    """Print a hash for each recipe and each function."""
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, "images.npz")
        write_arrays(archive, {"images": random.random((IMAGES, 28, 28), np.float32)})
        results = [trained(archive, **settings) for settings in RECIPES]
    numbers = tf.constant(random.random(4096, np.float32) + 0.01)
    for function in FUNCTIONS:
        results.append(tf.function(function, jit_compile=True)(numbers).numpy().tobytes())
    print(*(hashlib.sha256(result).hexdigest()[:16] for result in results))


main()
