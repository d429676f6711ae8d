"""The compiled epoch makes the updates that a plain Keras loop makes."""

import itertools
import os
import platform
import re
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from workflow import training
from workflow.dataset import Blocks, StoredArray, read_array, write_arrays
from workflow.errors import UserError
from workflow.params import Recipe
from workflow.recipes import build_model, build_optimizer
from workflow.reproducible import keras, load_model, save_model, set_seed, tf
from workflow.sums import affine
from workflow.training import Predictor, cross_entropy, train

SHAPE = (4, 3)
CLASSES = 3


def recipe(**changes: object) -> Recipe:
    return Recipe.model_validate(
        {
            "layers": [{"layer": "flatten"}, {"layer": "dense", "units": 8, "activation": "relu"}],
            "head": "logits",
            "optimizer": {"name": "adam", "learning_rate": 0.01},
            "batch_size": 8,
            "epochs": 3,
        }
        | changes
    )


@pytest.fixture
def data(tmp_path: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    images = random.random((70, *SHAPE), dtype=np.float32)
    labels = random.integers(0, CLASSES, 70).astype(np.uint8)
    np.savez(tmp_path / "data.npz", images=images, labels=labels)
    return tmp_path / "data.npz", images, labels


def trained(path: Path, labels: np.ndarray, chosen: Recipe, seed: int = 5):
    set_seed(seed)
    model = build_model(chosen, SHAPE, CLASSES)
    with StoredArray(path, "images") as images:
        return model, train(model, chosen, images, labels, seed)


DENSE = {"layer": "dense", "units": 8, "activation": "relu"}
LAYERS = {
    "one": [{"layer": "flatten"}, DENSE],
    "two": [{"layer": "flatten"}, DENSE, DENSE | {"activation": "tanh"}],
    "rows of the image first": [DENSE, {"layer": "flatten"}],
    "convolutions": [
        {"layer": "conv2d", "filters": 5, "kernel_size": 3, "activation": "relu"},
        {"layer": "batch_normalization"},
        {"layer": "max_pooling2d", "pool_size": 2},  # of 4 × 3 pixels
        {"layer": "conv2d", "filters": 4, "kernel_size": 2, "activation": "tanh"},
        {"layer": "flatten"},
        {"layer": "batch_normalization"},
    ],
}


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("head", ["logits", "softmax"])
@pytest.mark.parametrize("chunk_bytes", [1, 1000, 10**6])
def test_same_updates_as_plain_keras(
    data, layers: str, head: str, chunk_bytes: int, monkeypatch
) -> None:
    path, images, labels = data
    chosen = recipe(head=head, layers=LAYERS[layers])
    monkeypatch.setattr(training, "CHUNK_BYTES", chunk_bytes)
    model, history = trained(path, labels, chosen)

    set_seed(5)
    plain = build_model(chosen, SHAPE, CLASSES)
    optimizer = build_optimizer(chosen)
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=head == "logits")
    for epoch in (1, 2, 3):
        order = np.random.default_rng([5, epoch]).permutation(70)
        loss_sum = right = 0.0
        for start in range(0, 70, 8):  # the last batch holds six
            rows = order[start : start + 8]
            with tf.GradientTape() as tape:
                scores = plain(images[rows], training=True)
                loss = loss_of(labels[rows], scores)
            gradients = tape.gradient(loss, plain.trainable_variables)
            optimizer.apply(gradients, plain.trainable_variables)
            loss_sum += float(loss) * len(rows)
            right += float((scores.numpy().argmax(1) == labels[rows]).sum())
        assert history[epoch - 1].loss == pytest.approx(loss_sum / 70, rel=1e-4)
        assert history[epoch - 1].accuracy == pytest.approx(right / 70)
    for ours, theirs in zip(model.weights, plain.weights, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-3, atol=1e-5)


def test_a_batch_may_be_larger_than_all_images(data) -> None:
    path, _, labels = data
    (whole, _), (larger, _) = (
        trained(path, labels, recipe(batch_size=size)) for size in (70, 10**15)
    )
    for ours, theirs in zip(whole.weights, larger.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def left_to_a_library(dump: Path, program: str) -> list[str]:
    """What the program of this name leaves to others: of its products, those without code."""
    (file,) = dump.glob(f"*inference_{program}_*cpu_after_optimizations.txt")
    text = file.read_text()
    products = re.findall(r"%(\S+) = \S+ dot\(", text)
    compiled = [name for name in products if list(dump.glob(f"*.{name}_*kernel_module.*.ll"))]
    others = re.findall(r"%\S+ = \S+ (?:custom-call|convolution)\(", text)
    return others + [name for name in products if name not in compiled]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="where the flags of XLA are set")
@pytest.mark.parametrize("layers", ["one", "convolutions"])
def test_the_training_program_is_compiled_once_and_whole(layers: str, data, tmp_path: Path) -> None:
    path, _, _ = data
    dump = tmp_path / "programs"
    # XLA reads where to write its programs once, hence the process of its own.
    code = f"""
from workflow import environment
environment._X86_64["XLA_FLAGS"] += " --xla_dump_to={dump}"
environment.apply()
from pathlib import Path
from workflow import training
from workflow.dataset import read_array
from workflow.reproducible import tf
from test_training import LAYERS, recipe, trained
training.CHUNK_BYTES = 1500  # 4 batches of 7 images of 48 bytes
chosen = recipe(batch_size=7, layers=LAYERS[{layers!r}])
trained(Path({str(path)!r}), read_array(Path({str(path)!r}), "labels"), chosen)
tf.function(tf.reduce_sum, jit_compile=True)(tf.ones((512, 512)))
def product(x):
    return tf.matmul(x, x, transpose_a=True)
tf.function(product, jit_compile=True)(tf.ones((512, 512)))
def convolution(x):
    return tf.nn.conv2d(x, tf.ones((3, 3, 8, 2)), 1, "SAME")
tf.function(convolution, jit_compile=True)(tf.ones((1, 8, 8, 8)))
"""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    # 70 images in batches of 7: two full chunks of 4 batches and one of 2.
    (program,) = dump.glob("*inference_steps*cpu_after_optimizations.txt")
    text = program.read_text()
    assert " dot(" in text
    assert not left_to_a_library(dump, "steps")
    # As they would be, were they not written as they are.
    assert left_to_a_library(dump, "product")
    assert left_to_a_library(dump, "convolution")
    # Nor would a sum be, though there is none.
    (of_sum,) = dump.glob("*inference_reduce_sum*cpu_after_optimizations.txt")
    assert "ynn" not in of_sum.read_text()
    # A reduction is one that the compiler may cut as it likes, which is harmless for a maximum.
    of_floats = re.findall(r"= f32\S* reduce(?:-window)?\(.*to_apply=(%[\w.-]+)", text)
    assert of_floats
    for name in of_floats:
        body = text[text.index(f"\n{name} ") :].partition("\n}")[0]
        assert " maximum(" in body, body


def test_held_out_images_are_not_trained_on(data) -> None:
    path, images, labels = data
    chosen = recipe(validation_fraction=0.5)
    model, history = trained(path, labels, chosen)
    damaged = labels.copy()
    damaged[35:] = (damaged[35:] + 1) % CLASSES
    other, other_history = trained(path, damaged, chosen)
    for ours, theirs in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    assert history[-1].validation_accuracy != other_history[-1].validation_accuracy
    predicted = model(images[35:]).numpy().argmax(1)
    assert history[-1].validation_accuracy == pytest.approx(np.mean(predicted == labels[35:]))


def test_nothing_is_read_any_more_once_training_has_failed(data) -> None:
    path, _, labels = data
    chosen = recipe(epochs=50)
    model = build_model(chosen, SHAPE, CLASSES)

    def fail(result: training.EpochResult) -> None:
        raise UserError("enough")

    before = threading.active_count()
    with StoredArray(path, "images") as images:
        with pytest.raises(UserError, match="enough") as failed:
            train(model, chosen, images, labels, 5, on_epoch=fail)
        # The error keeps the frames of what failed, and so what they have not closed.
        assert failed.value.__traceback__ is not None
        assert threading.active_count() == before


def test_the_seed_decides(data) -> None:
    path, _, labels = data
    weights = [trained(path, labels, recipe(), seed)[0].get_weights() for seed in (1, 1, 2)]
    np.testing.assert_array_equal(weights[0][0], weights[1][0])
    assert not np.array_equal(weights[0][0], weights[2][0])


def test_a_diverging_loss_is_named(data) -> None:
    path, _, labels = data
    with pytest.raises(UserError, match="no longer finite in epoch"):
        trained(path, labels, recipe(optimizer={"name": "sgd", "learning_rate": 1e30}))


def test_weights_that_the_last_update_throws_out_of_range_are_named(data, tmp_path: Path) -> None:
    _, images, labels = data
    np.savez(tmp_path / "bright.npz", images=images * 100, labels=labels)
    once = recipe(optimizer={"name": "sgd", "learning_rate": 3e38}, batch_size=70, epochs=1)
    with pytest.raises(UserError, match="weights are no longer finite in epoch 1"):
        trained(tmp_path / "bright.npz", labels, once)


def test_a_model_that_gives_no_probabilities_is_named(data) -> None:
    path, images, labels = data
    once = recipe(optimizer={"name": "sgd", "learning_rate": 1e38}, batch_size=70, epochs=1)
    model, _ = trained(path, labels, once)
    with pytest.raises(UserError, match="no finite probabilities"):
        Predictor(model).of(images)


def test_a_fraction_that_holds_nothing_out_is_named(data) -> None:
    path, _, labels = data
    with pytest.raises(UserError, match="holds none of the 70 images out"):
        trained(path, labels, recipe(validation_fraction=0.01))


def test_layers_that_give_no_vector_are_named() -> None:
    with pytest.raises(UserError, match=r"add \{layer: flatten\}"):
        build_model(recipe(layers=[]), SHAPE, CLASSES)


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        (
            LAYERS["one"][0],
            LAYERS["convolutions"][0],
            r"layers\.1 of the recipe, conv2d, .*\(12,\).*before flatten",
        ),
        (
            LAYERS["convolutions"][0],
            {"layer": "max_pooling2d", "pool_size": 4},
            r"layers\.1 of the recipe, max_pooling2d, .*\(4, 3, 5\).*smaller pool_size",
        ),
    ],
)
def test_layers_that_do_not_fit_together_are_named(first, second, named: str) -> None:
    with pytest.raises(UserError, match=named):
        build_model(recipe(layers=[first, second]), SHAPE, CLASSES)


def test_predictions_are_probabilities_of_the_rows_asked_for(data) -> None:
    path, images, _ = data
    for head in ("logits", "softmax"):
        set_seed(1)
        model = build_model(recipe(head=head), SHAPE, CLASSES)
        rows = np.array([3, 1, 69])
        with StoredArray(path, "images") as stored:
            probabilities = Predictor(model)(stored, rows)
        scores = model(images[rows]).numpy()
        expected = tf.nn.softmax(scores).numpy() if head == "logits" else scores
        np.testing.assert_allclose(probabilities, expected, rtol=1e-5)


def test_a_loaded_model_predicts_what_keras_does(data, tmp_path: Path) -> None:
    path, images, labels = data
    for head, layers in itertools.product(("logits", "softmax"), LAYERS.values()):
        model, _ = trained(path, labels, recipe(head=head, layers=layers))
        save_model(model, tmp_path / "model.keras")
        loaded = load_model(tmp_path / "model.keras")
        scores = loaded(images).numpy()
        expected = tf.nn.softmax(scores).numpy() if head == "logits" else scores
        np.testing.assert_allclose(Predictor(loaded).of(images), expected, rtol=1e-5)


def test_a_model_with_layers_of_another_kind_is_named(data, tmp_path: Path) -> None:
    _, images, _ = data
    set_seed(1)
    layers = keras.layers
    foreign = keras.Sequential([keras.Input(SHAPE), layers.AveragePooling1D(2, name="mean")])
    foreign.add(layers.Flatten())
    foreign.add(layers.Dense(CLASSES))
    foreign.save(tmp_path / "model.keras")
    with pytest.raises(UserError, match=r"mean of AveragePooling1D: .*`dvc repro train`"):
        Predictor(load_model(tmp_path / "model.keras")).of(images)


# Around the widths at which XLA cuts a product: a cut that does not fit writes past the result.
@pytest.mark.parametrize("columns", [1, 2, 10, 15, 17, 31, 33, 48, 63, 65, 96, 100, 129, 144, 300])
@pytest.mark.parametrize("rows", [1, 7, 33])
def test_products_are_those_of_numpy(rows: int, columns: int) -> None:
    random = np.random.default_rng(0)
    for inputs in (1, 9, 70):
        values = random.standard_normal((rows, inputs), np.float32)
        kernel = random.standard_normal((inputs, columns), np.float32)
        bias = random.standard_normal(columns, np.float32)
        upstream = random.standard_normal((rows, columns), np.float32)

        @tf.function(jit_compile=True, autograph=False)
        def compiled(values, kernel, bias, upstream):
            with tf.GradientTape() as tape:
                tape.watch((values, kernel, bias))
                product = affine(values, kernel, bias)
            return product, *tape.gradient(product, (values, kernel, bias), upstream)

        found = compiled(*map(tf.constant, (values, kernel, bias, upstream)))
        expected = (
            values @ kernel + bias,
            upstream @ kernel.T,
            values.T @ upstream,
            upstream.sum(0),
        )
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-4, atol=1e-4)


def test_all_of_tensorflow_is_there_when_it_is_used() -> None:
    # In a process of its own, since what is looked at here is loaded for good.
    code = """
import sys
import workflow.reproducible
for _ in range(3):  # what one brings along may wait for its first use, too
    for name, module in list(sys.modules.items()):
        if name.startswith("tensorflow._api."):
            dir(module)
for name, module in list(sys.modules.items()):
    part = name.removeprefix("tensorflow._api.v2.")
    if part != name and "." not in part and part != "experimental":  # replaced by TensorFlow itself
        assert getattr(workflow.reproducible.tf, part) is module, part
assert not hasattr(workflow.reproducible.tf.nn, "RNNCellDropoutWrapper")  # of an older Keras
from tensorflow.python.keras.layers import Dense
assert Dense.__name__ == "Dense"
print(workflow.reproducible.tf.compat.v1.nn.relu.__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "relu\n"), done.stderr


def test_reciprocal_square_roots_are_no_estimates() -> None:
    numbers = np.random.default_rng(0).random(1000, np.float32) + np.float32(0.01)
    compiled = tf.function(tf.math.rsqrt, jit_compile=True)
    np.testing.assert_array_equal(compiled(numbers).numpy(), 1 / np.sqrt(numbers))


def test_cross_entropy_by_hand() -> None:
    probabilities = np.array([[0.5, 0.5], [0.25, 0.75], [0.0, 1.0]], np.float32)
    assert cross_entropy(probabilities[:2], np.array([0, 1], np.uint8)) == pytest.approx(
        (np.log(2) - np.log(0.75)) / 2, rel=1e-6
    )
    assert np.isfinite(cross_entropy(probabilities, np.array([0, 1, 0], np.uint8)))


def test_a_saved_model_has_the_same_bytes_twice_and_predicts_the_same(data, tmp_path: Path) -> None:
    path, images, labels = data
    for name in ("a", "b"):
        model, _ = trained(path, labels, recipe(epochs=1))
        save_model(model, tmp_path / f"{name}.keras")
    assert (tmp_path / "a.keras").read_bytes() == (tmp_path / "b.keras").read_bytes()
    assert {file.name for file in tmp_path.iterdir()} == {"data.npz", "a.keras", "b.keras"}
    loaded = load_model(tmp_path / "a.keras")
    np.testing.assert_array_equal(loaded(images).numpy(), model(images).numpy())
    plain = keras.models.load_model(tmp_path / "a.keras", safe_mode=True)
    np.testing.assert_array_equal(plain(images).numpy(), model(images).numpy())


@pytest.mark.parametrize("content", [None, b"", b"no zip"])
def test_a_missing_or_damaged_model_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.keras"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="make it with `dvc repro train`"):
        load_model(path)


def test_stored_rows_are_those_of_numpy(data) -> None:
    path, images, labels = data
    with StoredArray(path, "images") as stored:
        assert (stored.shape, stored.dtype) == (images.shape, images.dtype)
        rows = np.array([5, 0, 5, 69])
        np.testing.assert_array_equal(stored.take(rows), images[rows])
        longer = np.ones((6, *images.shape[1:]), np.float32)
        assert stored.take(rows, into=longer) is longer
        np.testing.assert_array_equal(longer[:4], images[rows])
        assert (longer[4:] == 1).all()
        strided = np.ones((12, *images.shape[1:]), np.float32)[::2]
        for unfit in (longer[:3], strided, longer.astype(np.float64), longer[:, 1:]):
            with pytest.raises(ValueError, match="for 4 rows"):
                stored.take(rows, into=unfit)
    np.testing.assert_array_equal(read_array(path, "labels"), labels)


def test_a_damaged_archive_is_named(data, tmp_path: Path) -> None:
    path, _, _ = data
    with pytest.raises(UserError, match="cannot read nothing"):
        read_array(path, "nothing")
    with pytest.raises(UserError, match="cannot read images"):
        read_array(tmp_path / "none.npz", "images")
    np.savez_compressed(tmp_path / "small.npz", images=np.zeros(3))
    with pytest.raises(UserError, match="compressed"):
        read_array(tmp_path / "small.npz", "images")
    with StoredArray(path, "images") as stored:
        path.write_bytes(path.read_bytes()[:400])
        with pytest.raises(UserError, match="truncated"):
            stored.take(np.array([50]))


def test_arrays_written_in_blocks_are_those_of_numpy(tmp_path: Path) -> None:
    images = np.arange(210, dtype=np.float32).reshape(7, 6, 5)
    labels = np.arange(7, dtype=np.uint8)
    blocks = Blocks(images.shape, images.dtype, (images[start : start + 3] for start in (0, 3, 6)))
    write_arrays(tmp_path / "ours.npz", {"images": blocks, "labels": labels})
    with np.load(tmp_path / "ours.npz") as loaded:
        assert list(loaded) == ["images", "labels"]
        np.testing.assert_array_equal(loaded["images"], images)
        np.testing.assert_array_equal(loaded["labels"], labels)


def test_archives_have_no_header_that_depends_on_the_version_of_python(tmp_path: Path) -> None:
    write_arrays(tmp_path / "ours.npz", {"labels": np.arange(7, dtype=np.uint8)})
    with zipfile.ZipFile(tmp_path / "ours.npz") as archive:
        entry = archive.getinfo("labels.npy")
    local_header = (tmp_path / "ours.npz").read_bytes()[:30]
    assert entry.extract_version < 45  # 45: zip64
    assert local_header[28:30] == b"\0\0"  # no extra field


def test_large_archives_are_read_as_well(tmp_path: Path, monkeypatch) -> None:
    images = np.arange(210, dtype=np.float32).reshape(7, 6, 5)
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    write_arrays(tmp_path / "ours.npz", {"labels": np.arange(7), "images": images})
    np.testing.assert_array_equal(read_array(tmp_path / "ours.npz", "images"), images)


def test_blocks_that_do_not_add_up_are_named(tmp_path: Path) -> None:
    blocks = Blocks((7, 6), np.dtype(np.float32), [np.zeros((3, 6), np.float32)])
    with pytest.raises(ValueError, match="images: 200 bytes instead of 296"):
        write_arrays(tmp_path / "ours.npz", {"images": blocks})
