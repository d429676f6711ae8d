"""Bring the data: IDX files from the first source that serves the right bytes, or pictures."""

import os
from pathlib import Path

from workflow.core import paths
from workflow.core.params import Params, Pictures
from workflow.core.progress import counted, say
from workflow.core.stage import Outputs
from workflow.data.archives import fetch_pictures
from workflow.data.sources import fetch_all


def run(params: Params, outputs: Outputs) -> None:
    """Write `data/raw/`: four files, checked by the SHA-256 of their decompressed bytes.

    Or pictures, as they lie in their folder or archive.
    """
    data, mirror = params.data, os.environ.get("DATA_SOURCE") or None
    folder = outputs.path(paths.RAW)
    folder.mkdir()
    if isinstance(data, Pictures):
        say(f"download: pictures of {data.folder}, {counted(len(data.sources), 'source')} to try")
        fetch_pictures(data.folder, data.sources, data.sha256, mirror, folder)
        return
    files = data.files
    wanted = [files.train_images, files.train_labels, files.test_images, files.test_labels]
    sources = [*filter(None, [mirror]), *data.sources]
    # The folder that DVC watches, unless it holds none of them.
    if any(
        Path(data.folder, f"{file.name}{end}").exists() for file in wanted for end in ("", ".gz")
    ):
        sources.insert(0, data.folder)
    say(f"download: {len(wanted)} files, {counted(len(sources), 'source')} to try")
    fetch_all(wanted, sources, folder)
