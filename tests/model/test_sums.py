"""Sums are compiled as the rules have it, and are those of NumPy."""

import os
import platform
import re
import subprocess
import sys
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
from projects import ROOT
from small import Data

from workflow.model.sums import affine
from workflow.model.tensorflow import tf

# Around the widths at which XLA cuts a product: a cut that does not fit writes past the result.
WIDTHS = [1, 2, 10, 15, 17, 31, 33, 48, 63, 65, 96, 100, 129, 144, 300]


def left_to_a_library(dump: Path, program: str) -> list[str]:
    """What the program of this name leaves to others: of its products, those without code."""
    (file,) = dump.glob(f"*inference_{program}_*cpu_after_optimizations.txt")
    text = file.read_text()
    products = re.findall(r"%(\S+) = \S+ dot\(", text)
    compiled = {name for name in products if list(dump.glob(f"*.{name}_*kernel_module*.ll"))}
    # A loop over little memory is compiled as a whole, with the products in it.
    bodies = dict(re.findall(r"^%?(\S+) \([^\n]*\{\n(.*?)^\}", text, re.DOTALL | re.MULTILINE))
    for call, called in re.findall(r"%(\S+) = .* call\(.*to_apply=%([^,\s]+)", text):
        codes = list(dump.glob(f"*.{call}_computation_kernel_module*.ll"))
        if codes and not any("Eigen" in code.read_text() for code in codes):
            waiting, inside = [called], ""
            while waiting:
                body = bodies[waiting.pop()]
                inside += body
                waiting += re.findall(r"(?:body|condition|to_apply)=%([^,\s]+)", body)
            compiled.update(re.findall(r"%(\S+) = \S+ dot\(", inside))
    others = re.findall(r"%\S+ = \S+ (?:custom-call|convolution)\(", text)
    return others + [name for name in products if name not in compiled]


def with_differences_of_products(dump: Path, program: str) -> list[str]:
    """The parts of programs of this name that compute `a * b - c * d`."""
    found = []
    for file in dump.glob(f"*inference_{program}_*.ir-with-opt.ll"):
        for function in re.split(r"^define ", file.read_text(), flags=re.MULTILINE):
            products = set(re.findall(r"(%\S+) = fmul ", function))
            differences = re.findall(r" = fsub .* (%[^\s,]+), (%[^\s,]+)", function)
            found += [file.name for pair in differences if products.issuperset(pair)]
    return found


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="where the flags of XLA are set")
def test_the_training_program_is_compiled_once_and_whole(data: Data, tmp_path: Path) -> None:
    path, _, _ = data
    dump = tmp_path / "programs"
    # XLA reads where to write its programs once, hence the process of its own.
    code = f"""
from workflow.core import environment
environment._X86_64["XLA_FLAGS"] += " --xla_dump_to={dump}"
environment.apply()
from pathlib import Path
from workflow.data.npz import read_array
from workflow.model import feeding
from workflow.model.tensorflow import tf
from small import EVERY_PIECE, LAYERS, recipe, trained
feeding.CHUNK_BYTES = 1500  # 4 batches of 7 images of 48 bytes
labels = read_array(Path({str(path)!r}), "labels")
trained(Path({str(path)!r}), labels, recipe(batch_size=7, layers=LAYERS["convolutions"]))
chosen = recipe(**EVERY_PIECE | {{"batch_size": 14, "shards": 2}})  # of 56 images, 4 batches
trained(Path({str(path)!r}), labels, chosen)
tf.function(tf.reduce_sum, jit_compile=True)(tf.ones((512, 512)))
def product(x):
    return tf.matmul(x, x, transpose_a=True)
tf.function(product, jit_compile=True)(tf.ones((512, 512)))
def convolution(x):
    return tf.nn.conv2d(x, tf.ones((3, 3, 8, 2)), 1, "SAME")
tf.function(convolution, jit_compile=True)(tf.ones((1, 8, 8, 8)))
def difference(x, y):
    return x * x - x * y
tf.function(difference, jit_compile=True)(tf.ones(8), tf.ones(8))
"""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    # 70 images in batches of 7: two full chunks of 4 batches and one of 2.
    (program,) = dump.glob("*inference_steps*cpu_after_optimizations.txt")
    text = program.read_text()
    assert " dot(" in text
    for compiled in ("steps", "gradient", "update", "probabilities"):
        assert not left_to_a_library(dump, compiled), compiled
        assert not with_differences_of_products(dump, compiled)
    # As they would be, were they not written as they are.
    assert left_to_a_library(dump, "product")
    assert left_to_a_library(dump, "convolution")
    assert with_differences_of_products(dump, "difference")
    # Nor would a sum be, though there is none.
    (of_sum,) = dump.glob("*inference_reduce_sum*cpu_after_optimizations.txt")
    assert "ynn" not in of_sum.read_text()
    # A reduction is one that the compiler may cut as it likes, which is harmless for a maximum.
    (gradient,) = dump.glob("*inference_gradient*cpu_after_optimizations.txt")
    for code in (text, gradient.read_text()):
        of_floats = re.findall(r"= f32\S* reduce(?:-window)?\(.*to_apply=(%[\w.-]+)", code)
        assert of_floats
        for name in of_floats:
            body = code[code.index(f"\n{name} ") :].partition("\n}")[0]
            assert " maximum(" in body, body


@pytest.mark.parametrize("rows", [1, 7, 33])
def test_products_are_those_of_numpy(rows: int) -> None:
    random = np.random.default_rng(0)
    for columns, inputs in zip(WIDTHS, cycle([1, 9, 70, 33]), strict=False):
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


def test_reciprocal_square_roots_are_no_estimates() -> None:
    numbers = np.random.default_rng(0).random(1000, np.float32) + np.float32(0.01)
    compiled = tf.function(tf.math.rsqrt, jit_compile=True)
    np.testing.assert_array_equal(compiled(numbers).numpy(), 1 / np.sqrt(numbers))
