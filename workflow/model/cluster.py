"""The processes that train together, on one machine or on several, through TensorFlow's own engine.

`TF_CONFIG` names them, as `tf.distribute` has it, and which one this is. Each holds the whole data
and the whole model, and computes some of the shards of every batch; what they give is gathered by
all, and all make the same update. Worker 0 is the chief, and writes the results.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from workflow.core.errors import UserError
from workflow.core.progress import say
from workflow.core.validation import Strict
from workflow.model.tensorflow import tf

VARIABLE = "TF_CONFIG"
# Within these times a worker has to come, and to answer.
JOIN_SECONDS = 300
ANSWER_SECONDS = 120


class _Addresses(Strict):
    worker: list[str] = Field(min_length=1)


class _Task(Strict):
    type: str = Field(pattern="^worker$")
    index: int = Field(ge=0)


class _Configuration(Strict):
    """What `TF_CONFIG` holds."""

    cluster: _Addresses
    task: _Task

    @model_validator(mode="after")
    def _task_exists(self) -> "_Configuration":
        if self.task.index >= len(self.cluster.worker):
            last = len(self.cluster.worker) - 1
            raise ValueError(f"task.index is {self.task.index}, but the last worker is {last}")
        return self


class Cluster:
    """The processes that train together; one alone where `TF_CONFIG` names no others.

    Attributes:
        count: how many there are.
        index: which one this is; 0 is the chief.
    """

    def __init__(self, count: int = 1, index: int = 0) -> None:
        self.count = count
        self.index = index
        self._watchdog = _Watchdog()
        self._gather: Any = None

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the results."""
        return self.index == 0

    def gather(self, vector: Any) -> Any:
        """The vectors of all workers, in order: (n,) to (count, n), of the same dtype.

        To be called, or what calls it, within `answered`.
        """
        return self._gather(vector[None])

    def share(self, content: bytes) -> list[bytes]:
        """What each worker hands in, in order, for all of them.

        Raises:
            UserError: a worker has ended, or does not answer.
        """
        if self.count == 1:
            return [content]
        rows: NDArray[np.int32]
        with self.answered():
            lengths = self.gather(tf.constant([len(content)], tf.int32)).numpy()[:, 0]
            # In whole numbers, and never none of them, which the engine does not survive.
            padded = content.ljust((max(lengths) // 4 + 1) * 4, b"\0")
            rows = self.gather(tf.constant(np.frombuffer(padded, np.int32))).numpy()
        return [row.tobytes()[:length] for row, length in zip(rows, lengths, strict=True)]

    def require_same(self, identity: Callable[[], Mapping[str, str]]) -> None:
        """See that all workers have the same code, params, packages and data.

        Raises:
            UserError: some have not; names what differs.
        """
        if self.count == 1:
            return
        own = json.dumps(dict(identity())).encode()
        handed_in = [json.loads(text) for text in self.share(own)]
        for index, other in enumerate(handed_in):
            names = sorted({*other, *handed_in[0]})
            differing = [name for name in names if other.get(name) != handed_in[0].get(name)]
            if differing:
                raise UserError(
                    f"worker {index} has another {', '.join(differing)} than worker 0: check out"
                    " the same commit on both, run `make setup` and `dvc repro normalize`"
                )

    @contextmanager
    def answered(self) -> Iterator[None]:
        """Bound the time that the others may take, if there are any.

        Raises:
            UserError: one of them has ended.
        """
        if self.count == 1:
            yield
            return
        line = (
            f"a worker has not answered within {ANSWER_SECONDS} s: see what it says, and start all"
        )
        with self._watchdog.bounded(ANSWER_SECONDS, line):
            try:
                yield
            except tf.errors.OpError as error:
                raise UserError(
                    "a worker has ended or cannot be reached: look at its output, and start all"
                    f" again ({type(error).__name__})"
                ) from None


def join_cluster() -> Cluster:
    """Wait for the workers that `TF_CONFIG` names; before anything is computed.

    Raises:
        UserError: the variable is not valid.
    """
    text = os.environ.get(VARIABLE, "")
    if not text:
        return Cluster()
    try:
        configuration = _Configuration.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{VARIABLE}: {place}: {first['msg']}: correct it, or unset it") from None
    workers = configuration.cluster.worker
    cluster = Cluster(len(workers), configuration.task.index)
    if cluster.count == 1:
        return cluster
    say(f"train: worker {cluster.index} of {cluster.count}, waiting for the others")
    line = f"not all {cluster.count} workers came within {JOIN_SECONDS} s: start each of them"
    with cluster._watchdog.bounded(JOIN_SECONDS, line):
        strategy = tf.distribute.MultiWorkerMirroredStrategy()

        @tf.function(autograph=False)  # type: ignore[untyped-decorator]
        def gather(row: Any) -> Any:
            def gather_here(row: Any) -> Any:
                # A copy: what comes from outside has no device, which the engine asks for.
                return tf.distribute.get_replica_context().all_gather(tf.identity(row), axis=0)

            return strategy.run(gather_here, args=(row,))

        cluster._gather = gather
        cluster.share(b"here")
    return cluster


class _Watchdog:
    """Ends the process where it waits for another one for too long, which no signal could."""

    def __init__(self) -> None:
        self._deadline: tuple[float, str] | None = None
        self._thread: threading.Thread | None = None

    @contextmanager
    def bounded(self, seconds: float, line: str) -> Iterator[None]:
        """End the process with a line unless the block ends in time."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        self._deadline = time.monotonic() + seconds, line
        try:
            yield
        finally:
            self._deadline = None

    def _watch(self) -> None:
        while True:
            time.sleep(1)
            deadline = self._deadline
            if deadline and time.monotonic() > deadline[0]:
                os.write(2, f"train: {deadline[1]}\n".encode())
                os._exit(1)
