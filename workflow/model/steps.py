"""Training steps as compiled programs: a loop over whole batches, or a batch cut into shards.

With one shard, one program trains on all batches of a chunk, and nothing returns to Python between
two of them. With more, each batch is cut into equal parts. The gradient of each part is a program
of its own, the gradients are added in a fixed binary tree, and one update follows. Which thread
or which machine computes a part changes nothing of what is computed, so the bits are the same.
TensorFlow calls these programs, in as many threads as there are cores (see tensorflow.py): a call
from Python takes up to a millisecond, in which no other thread can make one.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from workflow.core import paths
from workflow.core.errors import UserError
from workflow.model.cluster import Cluster
from workflow.model.feeding import Chunk
from workflow.model.layers.base import Training
from workflow.model.objective import Objective, Part
from workflow.model.tensorflow import tf

# So many batches in one call of the shards' programs: what each call takes from Python is shared
# among them, and a signal is answered between two calls.
_STRETCH = 8


class Steps(Protocol):
    """Trains on the batches of a chunk."""

    def run(self, chunk: Chunk) -> tuple[float, int]:
        """Train on them; returns the sum of the losses in nats, and how many were predicted right.

        Both are taken before each update.
        """


def build_steps(objective: Objective, shards: int, cluster: Cluster) -> Steps:
    """The programs that train a model.

    Args:
        objective: what is made small.
        shards: into how many parts each batch is cut.
        cluster: the processes that compute them.

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
    return Shards(objective, shards, cluster)


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


class Shards:
    """Programs for the gradient of a part of a batch, for adding two, and for the update.

    The tree is the same whoever computes which part, and its root is always an addition, which the
    update makes on the way. A last batch that is smaller is one part.
    """

    def __init__(self, objective: Objective, shards: int, cluster: Cluster) -> None:
        self._cluster = cluster
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

        # Below `count` nodes of the tree each worker has its own subtrees.
        count = max(2, 1 << (cluster.count - 1).bit_length())
        owners = [node * cluster.count // count for node in range(count)]
        below = shards // count
        mine = [node for node in range(count) if owners[node] == cluster.index]
        own_shards = [node * below + n for node in mine for n in range(below)]

        def added(nodes: list[Part], count: int) -> list[Part]:
            """The tree's nodes further up, where there are `count`."""
            while len(nodes) > count:
                nodes = [add(*pair) for pair in zip(nodes[::2], nodes[1::2], strict=True)]
            return nodes

        @tf.function(autograph=False)  # type: ignore[untyped-decorator]
        def steps(images: Any, labels: Any, keys: Any, end: Any, state: Any) -> Any:
            """Train up to batch `end`; `state` is the first one, and both sums before it."""

            def step(batch: Any, loss_sum: Any, correct_sum: Any) -> Any:
                parts = [
                    gradient(images, labels, keys, batch, tf.constant(shard))
                    for shard in own_shards
                ]
                statistics = [part.pop() for part in parts]
                nodes = added(parts, len(mine))
                if cluster.count > 1:
                    nodes, statistics = _exchange(cluster, nodes, statistics, owners)
                loss, correct = update(*added(nodes, 2), statistics)
                # TensorFlow runs what does not wait: the next step is to find these weights.
                with tf.control_dependencies([loss, correct]):
                    following = tf.identity(batch + 1)
                return following, loss_sum + tf.cast(loss, tf.float64), correct_sum + correct

            return tf.while_loop(lambda batch, *_: batch < end, step, state)

        self._steps, self._whole = steps, whole

    def run(self, chunk: Chunk) -> tuple[float, int]:
        """Train on the batches of a chunk; see `Steps`."""
        tensors = chunk.images, chunk.labels, chunk.keys
        if chunk.is_rest:
            loss, correct = self._whole(*tensors)
            return float(loss), int(correct)
        state = tf.constant(0), tf.constant(0.0, tf.float64), tf.constant(0)
        # The others have a time within which to answer, each time that they are asked.
        stretch = 1 if self._cluster.count > 1 else _STRETCH
        for first in range(0, chunk.batches, stretch):
            end = min(first + stretch, chunk.batches)
            with self._cluster.answered():
                state = self._steps(*tensors, tf.constant(end), state)
        _, loss_sum, correct_sum = state
        return float(loss_sum), int(correct_sum)


def _exchange(
    cluster: Cluster, nodes: list[Part], statistics: list[list[Any]], owners: Sequence[int]
) -> tuple[list[Part], list[list[Any]]]:
    """The nodes and the statistics of all workers, in order.

    Args:
        cluster: the workers.
        nodes: of this worker.
        statistics: of its shards.
        owners: the worker of each node.
    """
    below = len(statistics) // len(nodes)
    own = [[node, statistics[n * below : (n + 1) * below]] for n, node in enumerate(nodes)]
    rows = [_packed(structure) for structure in own]
    slots = max(owners.count(worker) for worker in owners)
    rows += [tf.zeros_like(rows[0])] * (slots - len(rows))
    gathered = tf.reshape(cluster.gather(tf.concat(rows, 0)), (cluster.count, slots, -1))
    all_nodes, all_statistics = [], []
    for place, owner in enumerate(owners):
        node, node_statistics = _unpacked(gathered[owner, place - owners.index(owner)], own[0])
        all_nodes.append(node)
        all_statistics += node_statistics
    return all_nodes, all_statistics


def _packed(structure: Any) -> Any:
    """Tensors of any shapes as one float32 vector, in which whole numbers below 2^24 are exact."""
    return tf.concat(
        [tf.reshape(tf.cast(item, tf.float32), (-1,)) for item in tf.nest.flatten(structure)], 0
    )


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
