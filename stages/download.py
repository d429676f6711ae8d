"""Download the data set: four IDX files, from the first source that serves the right bytes."""

import os

from workflow.params import Params
from workflow.progress import say
from workflow.sources import fetch_all
from workflow.stage import Outputs, run_stage


def download(params: Params, outputs: Outputs) -> None:
    """Write `data/raw/`, each file checked by the SHA-256 of its decompressed bytes."""
    files = params.data.files
    wanted = [files.train_images, files.train_labels, files.test_images, files.test_labels]
    sources = [*filter(None, [os.environ.get("DATA_SOURCE")]), *params.data.sources]
    say(f"download: {len(wanted)} files, {len(sources)} sources to try")
    folder = outputs.path("data/raw")
    folder.mkdir()
    fetch_all(wanted, sources, folder)


if __name__ == "__main__":
    run_stage("download", download)
