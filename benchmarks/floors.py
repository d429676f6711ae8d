"""What no pipeline can be faster than here: a large matrix product, and DVC with empty stages."""

import shutil
import sys
from itertools import pairwise
from pathlib import Path

from ruamel.yaml import YAML

from benchmarks.running import RAW, ROOT, run
from workflow.core.params import Idx, load_params
from workflow.data.idx import read_images

MATRIX = 2048
_MATRIX_PRODUCT = f"""
import time
import numpy as np
matrix = np.random.default_rng(0).random(({MATRIX}, {MATRIX}), np.float32)
seconds = []
for _ in range(6):
    started = time.perf_counter()
    matrix @ matrix
    seconds.append(time.perf_counter() - started)
print(2 * {MATRIX}**3 / min(seconds))
"""


def matrix_product_rate(cores: int = 1) -> float:
    """Floating-point operations per second of a large float32 product on so many cores."""
    threads = {"OPENBLAS_NUM_THREADS": str(cores)}
    return float(run(sys.executable, "-c", _MATRIX_PRODUCT, cwd=ROOT, env=threads).json())


def operations_of_an_epoch() -> int:
    """Floating-point operations of one epoch of the current recipe, of its dense layers.

    Two products per weight and image, forward and gradient of the weight; behind the first layer
    a third one, the gradient of its inputs.
    """
    params = load_params(ROOT / "params.yaml")
    layers = params.recipe_settings(params.recipe)["layers"]
    data = params.data
    assert isinstance(data, Idx)  # noqa: S101
    images = read_images(RAW / data.files.train_images.name)
    units = [
        images[0].size,
        *(layer["units"] for layer in layers if layer["layer"] == "dense"),
        len(data.class_names),
    ]
    weights = [int(inputs * outputs) for inputs, outputs in pairwise(units)]
    return 2 * (3 * sum(weights) - weights[0]) * len(images)


def empty_pipeline(folder: Path) -> Path:
    """Five stages that do nothing, reproduced once: `dvc repro` then takes what DVC itself takes.

    Returns:
        The folder.
    """
    folder.mkdir()
    stages = {}
    for number in range(5):
        (folder / f"in{number}").write_text(str(number))
        stages[f"stage{number}"] = {
            "cmd": f"cp in{number} out{number}",
            "deps": [f"in{number}"],
            "outs": [f"out{number}"],
        }
    YAML().dump({"stages": stages}, folder / "dvc.yaml")
    run("git", "init", "-q", cwd=folder)
    run("dvc", "init", "-q", cwd=folder)
    shutil.copy(ROOT / ".dvc" / "config", folder / ".dvc" / "config")
    run("dvc", "repro", cwd=folder)
    return folder
