"""What is computed belongs to the recipe; which thread computes it is free."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from projects import ROOT
from small import CLASSES, EVERY_PIECE, LAYERS, SHAPE, Data, recipe, trained

from workflow.core.errors import UserError
from workflow.core.validation import validate
from workflow.data.npz import StoredArray
from workflow.model import steps, training
from workflow.model.cluster import Cluster
from workflow.model.recipe import Recipe, build_model
from workflow.model.tensorflow import set_seed

ON_CORES = """
import os, sys
os.sched_getaffinity = lambda process: range(int(sys.argv[1]))
from workflow.core import environment
environment.apply()
from pathlib import Path
from small import recipe, trained
import numpy as np
from workflow.model.recipe import Recipe
from workflow.model.tensorflow import tf
assert tf.config.threading.get_inter_op_parallelism_threads() == int(sys.argv[1])
archive, settings = Path(sys.argv[2]), sys.argv[3]
with np.load(archive) as arrays:
    labels = arrays["labels"]
model, curves = trained(archive, labels, Recipe.model_validate_json(settings))
print(*(weight.numpy().tobytes().hex() for weight in model.weights), curves)
"""


def trained_on_cores(cores: int, data: Data, chosen: Recipe) -> str:
    """Weights and curves of a process that finds so many cores."""
    arguments = [str(cores), str(data[0]), chosen.model_dump_json()]
    done = subprocess.run(
        [sys.executable, "-c", ON_CORES, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


CONVOLUTIONS = {"layers": LAYERS["convolutions"]}


@pytest.mark.parametrize(
    ("batch_size", "shards", "pieces"),
    [
        (14, 2, CONVOLUTIONS),
        pytest.param(32, 4, CONVOLUTIONS, marks=pytest.mark.slow),
        pytest.param(16, 4, EVERY_PIECE, marks=pytest.mark.slow),
    ],
    ids=["two", "four", "every piece"],
)
def test_any_number_of_threads_gives_the_same_bits(
    data: Data, batch_size: int, shards: int, pieces: dict[str, object]
) -> None:
    """Of 70 images, batches of 32 leave a smaller last one."""
    chosen = recipe(**pieces | {"batch_size": batch_size, "shards": shards})
    alone = trained_on_cores(1, data, chosen)
    assert len(alone) > 1000
    for cores in {2, shards}:
        assert trained_on_cores(cores, data, chosen) == alone


@pytest.mark.parametrize(("batch_size", "shards"), [(16, 4), (4, 2)])
def test_shards_make_the_updates_of_the_whole_batch(
    data: Data, batch_size: int, shards: int
) -> None:
    """Of 70 images, batches of 4 are more than one call of the programs takes."""
    assert 2 * steps._STRETCH < 70 // 4
    path, _, labels = data
    whole, curves = trained(path, labels, recipe(batch_size=batch_size))
    cut, curves_of_shards = trained(path, labels, recipe(batch_size=batch_size, shards=shards))
    for one, other in zip(whole.weights, cut.weights, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-4)
    assert [e.accuracy for e in curves] == [e.accuracy for e in curves_of_shards]


def test_moving_averages_take_the_shards_in_order(data: Data) -> None:
    """As if each shard were a batch: ghost batch normalization (Hoffer et al., 2017)."""
    path, images, labels = data
    layers = [{"layer": "flatten"}, {"layer": "batch_normalization"}]
    model, _ = trained(path, labels, recipe(layers=layers, batch_size=70, shards=1, epochs=1))
    order = np.random.default_rng([5, 1]).permutation(len(images))
    rows = images.reshape(len(images), -1)
    average = 0.01 * rows.mean(axis=0)
    np.testing.assert_allclose(model.layers[1].moving_mean.numpy(), average, rtol=1e-5)

    model, _ = trained(path, labels, recipe(layers=layers, batch_size=64, shards=2, epochs=1))
    average = np.zeros(rows.shape[1])
    for part in (order[:32], order[32:64], order[64:]):
        average += 0.01 * (rows[part].mean(axis=0) - average)
    np.testing.assert_allclose(model.layers[1].moving_mean.numpy(), average, rtol=1e-4)


def test_a_batch_that_cannot_be_cut_is_named() -> None:
    settings = recipe().model_dump() | {"batch_size": 30, "shards": 4}
    with pytest.raises(UserError, match=r"^here: batch_size 30 cannot be cut into 4 equal shards"):
        validate(settings, Recipe, "here")


def test_more_workers_than_shards_are_named(data: Data) -> None:
    path, _, labels = data
    chosen = recipe(batch_size=8, shards=2)
    set_seed(1)
    model = build_model(chosen, SHAPE, CLASSES)
    with (
        StoredArray(path, "images") as images,
        pytest.raises(UserError, match=r"shards is 2, for 3 workers"),
    ):
        training.train(model, chosen, images, labels, 1, cluster=Cluster(3, 0))
