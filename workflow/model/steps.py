"""Training steps as compiled programs: a loop over whole batches, or a batch cut into shards.

With one shard, one program trains on all batches of a chunk, and nothing returns to Python between
two of them. With more, each batch is cut into equal parts. The gradient of each part is a program
of its own, the gradients are added in a fixed binary tree, and one update follows. Which thread
or which machine computes a part changes nothing of what is computed, so the bits are the same.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from workflow.core import paths
from workflow.core.errors import UserError
from workflow.model.cluster import Cluster
from workflow.model.feeding import Chunk
from workflow.model.layers.base import Training
from workflow.model.objective import Objective, Part
from workflow.model.tensorflow import tf


class Steps(Protocol):
    """Trains on the batches of a chunk."""

    def run(self, chunk: Chunk) -> tuple[float, int]:
        """Train on them; returns the sum of the losses in nats, and how many were predicted right.

        Both are taken before each update.
        """

    def close(self) -> None:
        """End the threads."""


def build_steps(
    objective: Objective, shards: int, cluster: Cluster, threads: int | None = None
) -> Steps:
    """The programs that train a model.

    Args:
        objective: what is made small.
        shards: into how many parts each batch is cut.
        cluster: the processes that compute them.
        threads: of this process that do; as many as there are cores and shards by default.

    Raises:
        UserError: there are more processes than shards.
    """
    if cluster.count > shards:
        raise UserError(
            f"{paths.PARAMS}: shards is {shards}, for {cluster.count} workers: start no more"
            " workers than shards, or set shards and a batch_size that it divides"
        )
    if shards == 1:
        return WholeBatches(objective)
    return Shards(objective, shards, cluster, threads or min(shards, available_cores()))


def available_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class WholeBatches:
    """One program that trains on all batches of a chunk, one after the other."""

    def __init__(self, objective: Objective) -> None:
        # Without AutoGraph, which would load all of TensorFlow to rewrite what needs no rewriting.
        @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
        def steps(images: Any, labels: Any, keys: Any, batches: Any) -> Any:
            def step(batch: Any, loss_sum: Any, correct: Any) -> Any:
                part, training = objective.gradient(
                    images[batch], labels[batch], keys[batch], int(labels.shape[1])
                )
                gradients, loss, right, statistics = part
                objective.update(gradients)
                training.move_averages([statistics])
                return batch + 1, loss_sum + loss, correct + right

            start = tf.constant(0), tf.constant(0.0), tf.constant(0)
            _, loss_sum, correct = tf.while_loop(lambda batch, *_: batch < batches, step, start)
            return loss_sum, correct

        self._steps = steps

    def run(self, chunk: Chunk) -> tuple[float, int]:
        """Train on the batches of a chunk; see `Steps`."""
        # A Python number would be compiled in, once for each value.
        loss, correct = self._steps(
            chunk.images, chunk.labels, chunk.keys, tf.constant(chunk.batches)
        )
        return float(loss), int(correct)

    def close(self) -> None:
        """Nothing is open."""


class Shards:
    """Programs for the gradient of a part of a batch, for adding two, and for the update.

    The tree is the same whoever computes which part, and its root is always an addition, which the
    update makes on the way. A last batch that is smaller is one part.
    """

    def __init__(self, objective: Objective, shards: int, cluster: Cluster, threads: int) -> None:
        self._shards = shards
        self._cluster = cluster
        self._pool = ThreadPoolExecutor(threads)
        training = Training(tf.zeros(0, tf.int32))

        @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
        def gradient(images: Any, labels: Any, keys: Any, batch: Any, shard: Any) -> Any:
            nonlocal training
            # Gathered: a slice would be compiled anew for every place.
            parts = [
                tf.reshape(tensor, (-1, labels.shape[1] // shards, *tensor.shape[2:]))
                for tensor in (images, labels, keys)
            ]
            own, own_labels, own_keys = (
                tf.gather(tensor, batch * shards + shard) for tensor in parts
            )
            result, training = objective.gradient(own, own_labels, own_keys, int(labels.shape[1]))
            return result

        @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
        def add(left: Any, right: Any) -> Any:
            return tf.nest.map_structure(tf.add, left, right)

        @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
        def update(left: Any, right: Any, statistics: Any) -> Any:
            gradients, loss, correct = tf.nest.map_structure(tf.add, left, right)
            objective.update(gradients)
            training.move_averages(statistics)
            return loss, correct

        @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
        def whole(images: Any, labels: Any, keys: Any) -> Any:
            result, training = objective.gradient(
                images[0], labels[0], keys[0], int(labels.shape[1])
            )
            gradients, loss, correct, statistics = result
            objective.update(gradients)
            training.move_averages([statistics])
            return loss, correct

        self._gradient, self._add, self._update, self._whole = gradient, add, update, whole

    def run(self, chunk: Chunk) -> tuple[float, int]:
        """Train on the batches of a chunk; see `Steps`."""
        loss_sum, correct_sum = 0.0, 0
        for batch in range(chunk.batches):
            if chunk.is_rest:
                loss, correct = self._whole(chunk.images, chunk.labels, chunk.keys)
            else:
                loss, correct = self._step(chunk, tf.constant(batch))
            loss_sum += float(loss)
            correct_sum += int(correct)
        return loss_sum, correct_sum

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    def _step(self, chunk: Chunk, batch: Any) -> tuple[Any, Any]:
        """Train on one batch."""

        def compute(shard: int) -> Part:
            part: Part = self._gradient(
                chunk.images, chunk.labels, chunk.keys, batch, tf.constant(shard)
            )
            return part

        # Below `count` nodes of the tree each worker has its own subtrees.
        workers = self._cluster.count
        count = max(2, 1 << (workers - 1).bit_length())
        owners = [node * workers // count for node in range(count)]
        below = self._shards // count
        mine = [node for node in range(count) if owners[node] == self._cluster.index]
        shards = [node * below + n for node in mine for n in range(below)]
        parts = list(self._pool.map(compute, shards))
        statistics = [part.pop() for part in parts]
        nodes = self._added(parts, len(mine))
        if workers > 1:
            nodes, statistics = self._exchange(nodes, statistics, owners)
        loss, correct = self._update(*self._added(nodes, 2), statistics)
        return loss, correct

    def _added(self, nodes: list[Part], count: int) -> list[Part]:
        """The tree's nodes further up, where there are `count`."""
        while len(nodes) > count:
            nodes = list(self._pool.map(self._add, nodes[::2], nodes[1::2]))
        return nodes

    def _exchange(
        self, nodes: list[Part], statistics: list[list[Any]], owners: list[int]
    ) -> tuple[list[Part], list[list[Any]]]:
        """The nodes and the statistics of all workers, in order.

        Args:
            nodes: of this worker.
            statistics: of its shards.
            owners: the worker of each node.
        """
        below = len(statistics) // len(nodes)
        own = [[node, statistics[n * below : (n + 1) * below]] for n, node in enumerate(nodes)]
        rows = [_packed(structure) for structure in own]
        slots = max(owners.count(worker) for worker in owners)
        rows += [tf.zeros_like(rows[0])] * (slots - len(rows))
        gathered = tf.reshape(
            self._cluster.gather(tf.concat(rows, 0)), (self._cluster.count, slots, -1)
        )
        all_nodes, all_statistics = [], []
        for place, owner in enumerate(owners):
            node, node_statistics = _unpacked(gathered[owner, place - owners.index(owner)], own[0])
            all_nodes.append(node)
            all_statistics += node_statistics
        return all_nodes, all_statistics


@tf.function(autograph=False)  # type: ignore[untyped-decorator]
def _packed(structure: Any) -> Any:
    """Tensors of any shapes as one float32 vector, in which whole numbers below 2^24 are exact."""
    return tf.concat(
        [tf.reshape(tf.cast(item, tf.float32), (-1,)) for item in tf.nest.flatten(structure)], 0
    )


@tf.function(autograph=False)  # type: ignore[untyped-decorator]
def _unpacked(vector: Any, like: Any) -> Any:
    """The tensors of a vector that `_packed` made, in structure, shapes and dtypes of `like`."""
    items = tf.nest.flatten(like)
    pieces = tf.split(vector, [item.shape.num_elements() for item in items])
    return tf.nest.pack_sequence_as(
        like,
        [
            tf.cast(tf.reshape(piece, item.shape), item.dtype)
            for piece, item in zip(pieces, items, strict=True)
        ],
    )
