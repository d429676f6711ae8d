"""The state of an interrupted training, from which the next run goes on to the same bytes.

It is written after an epoch, where that took long enough to be worth it, beside the model and out
of Git's sight. It belongs to the code, params and data that it was written with, and to no other.
"""

import io
import json
import os
import time
from dataclasses import asdict
from typing import Any
from zipfile import BadZipFile

import numpy as np

from workflow.core import paths
from workflow.core.errors import UserError
from workflow.core.files import written_whole
from workflow.core.progress import say
from workflow.core.stage import Outputs
from workflow.data.npz import write_arrays
from workflow.model.cluster import Cluster
from workflow.model.results import EpochResult

# Training that is interrupted loses no more than this and an epoch; 0 keeps every epoch.
SECONDS = float(os.environ.get("CHECKPOINT_SECONDS", "20"))


class Checkpoint:
    """What is kept of a training that has not ended."""

    def __init__(self, outputs: Outputs, cluster: Cluster) -> None:
        """Args: `outputs` of the stage, which ends with them; `cluster`, whose chief writes."""
        self._outputs = outputs
        self._cluster = cluster
        self._saved = time.monotonic()
        outputs.delete_when_done(paths.CHECKPOINT)

    def restore(self, variables: list[Any]) -> list[EpochResult]:
        """Take up an earlier training of the same code, params and data, if there is one.

        Args:
            variables: of model and optimizer, set in place.

        Returns:
            The results of the epochs that need not be trained again.
        """
        content = b""
        if self._cluster.is_chief and paths.CHECKPOINT.exists():
            content = paths.CHECKPOINT.read_bytes()
        content = self._cluster.share(content)[0]
        if not content:
            return []
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                kept = json.loads(arrays["kept"].tobytes())
                if kept["identity"] != self._outputs.identity():
                    say(
                        "train: an interrupted training of other code, params or data is left aside"
                    )
                    return []
                values = [arrays[str(number)] for number in range(len(variables))]
                history = [EpochResult(**result) for result in kept["history"]]
        except (OSError, EOFError, ValueError, LookupError, TypeError, BadZipFile) as error:
            say(f"train: {paths.CHECKPOINT} cannot be read ({error}): training begins anew")
            return []
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        say(f"train: goes on after epoch {len(history)}, where it was interrupted")
        self._note(len(history))
        return history

    def save(self, variables: list[Any], history: list[EpochResult]) -> None:
        """Keep the state after an epoch, if enough time has passed."""
        if time.monotonic() - self._saved < SECONDS or not self._cluster.is_chief:
            return
        try:
            identity = self._outputs.identity()
        except UserError:  # edited since: the stage will say so at its end
            return
        kept = {"identity": identity, "history": [asdict(result) for result in history]}
        arrays = {str(number): variable.numpy() for number, variable in enumerate(variables)}
        arrays["kept"] = np.frombuffer(json.dumps(kept).encode(), np.uint8)
        with written_whole(paths.CHECKPOINT) as partial:
            write_arrays(partial, arrays)
        self._saved = time.monotonic()
        self._note(len(history))

    def _note(self, epoch: int) -> None:
        self._outputs.kept = f"the next run goes on after epoch {epoch}"
