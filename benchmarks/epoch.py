"""Two epochs of the recipe `cnn-plain` by this project, on the cores and workers that there are.

`python -m benchmarks.epoch ARCHIVE BATCH_SIZE SHARDS` prints, as JSON: the seconds of the second
one, which compiles nothing; the operations of an epoch; the most memory that was taken, in MB.
"""

from workflow.core import environment

environment.apply()

import json  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

from workflow.core.params import load_params  # noqa: E402
from workflow.core.stage import peak_memory  # noqa: E402
from workflow.data.npz import StoredArray, read_array  # noqa: E402
from workflow.model.cluster import join_cluster  # noqa: E402
from workflow.model.operations import operations  # noqa: E402
from workflow.model.recipe import build_model, load_recipe  # noqa: E402
from workflow.model.tensorflow import set_seed  # noqa: E402
from workflow.model.training import train  # noqa: E402


def main(archive: Path, batch_size: int, shards: int) -> None:
    """Train, and print."""
    changes = {"batch_size": batch_size, "shards": shards, "epochs": 2}
    recipe = load_recipe(load_params(), "cnn-plain").model_copy(update=changes)
    cluster = join_cluster()
    labels = read_array(archive, "labels")
    ends: list[float] = []
    set_seed(1)
    with StoredArray(archive, "images") as images:
        model = build_model(recipe, images.shape[1:], int(labels.max()) + 1)
        train(
            model, recipe, images, labels, 1,
            on_epoch=lambda _: ends.append(time.perf_counter()), cluster=cluster,
        )  # fmt: skip
    counts = operations(model)
    # Forward, the gradient of the weights, and, behind the first layer, that of what comes in.
    of_epoch = (3 * sum(counts) - counts[0]) * len(labels)
    print(json.dumps([ends[1] - ends[0], of_epoch, peak_memory()]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
