"""What training and predicting cost on this machine: a process for each recipe, in rounds.

Two epochs tell the time of all: the second one times their number, and what the first one took
longer, to compile. Times are no results of a stage, since they differ each time.
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path

from workflow.core.errors import UserError
from workflow.core.files import write_json
from workflow.core.machine import described
from workflow.core.progress import say

TIMES = Path("frontier/times.json")
_ONE = """
from workflow.core import environment
environment.apply()
import json, sys, time
import numpy as np
from workflow.core import paths
from workflow.core.params import load_params
from workflow.core.stage import peak_memory
from workflow.data.npz import StoredArray, read_array
from workflow.model.prediction import Predictor
from workflow.model.recipe import build_model, load_recipe, with_flips
from workflow.model.tensorflow import set_seed
from workflow.model.training import train

recipe = load_recipe(load_params(), sys.argv[1])
labels = read_array(paths.NORMALIZED, "train_labels")
short = recipe.model_copy(update={"epochs": 2, "validation_fraction": 0.0, "early_stopping": None})
set_seed(1)
with StoredArray(paths.NORMALIZED, "train_images") as images:
    ends = [time.perf_counter()]
    model = build_model(recipe, images.shape[1:], int(labels.max()) + 1)
    train(model, short, images, labels, 1, on_epoch=lambda _: ends.append(time.perf_counter()))
    first, second = (ends[n + 1] - ends[n] for n in range(2))
    peak = peak_memory()
    predictor = Predictor(with_flips(model) if recipe.test_time_flip else model)
    some = images.take(np.arange(min(1000, len(images))))
    predictor.predict(some)
    started = time.perf_counter()
    predictor.predict(some)
    milliseconds = 1000 * (time.perf_counter() - started) / len(some)
print(json.dumps([first - second + recipe.epochs * second, milliseconds, peak]))
"""


def measure(recipes: list[str], rounds: int) -> None:
    """Write `frontier/times.json`: of each recipe the medians of some rounds."""
    found: dict[str, list[list[float]]] = {name: [] for name in recipes}
    for number in range(rounds):
        for name in recipes:
            done = subprocess.run(
                [sys.executable, "-c", _ONE, name], check=False, capture_output=True, text=True
            )
            if done.returncode:
                said = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
                raise UserError(f"{name} cannot be timed: {said[-1]}")
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
            say(f"time: round {number + 1}, {name}: {found[name][-1][0]:.0f} s")
    names = ("train_seconds", "predict_milliseconds", "peak_megabytes")
    medians = {
        recipe: {
            name: round(statistics.median(values), 3)
            for name, values in zip(names, zip(*samples, strict=True), strict=True)
        }
        for recipe, samples in found.items()
    }
    write_json(TIMES, {"machine": described(), "rounds": rounds, "recipes": medians})
