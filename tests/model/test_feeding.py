"""The images come in the order of the epoch, whatever the size of the chunks."""

import numpy as np
import pytest
from small import COUNT, SHAPE, Data, recipe

from workflow.data.npz import StoredArray
from workflow.model import feeding


@pytest.mark.parametrize("chunk_bytes", [1, 1000, 10**6])
@pytest.mark.parametrize("batch_size", [7, 8, COUNT, 10**15])
def test_every_epoch_has_each_image_once_in_its_order(
    data: Data, chunk_bytes: int, batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, images, labels = data
    monkeypatch.setattr(feeding, "CHUNK_BYTES", chunk_bytes)
    used = COUNT - 3  # the rest is held out
    chosen = recipe(batch_size=batch_size, epochs=2)
    seen: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {1: [], 2: []}
    with StoredArray(path, "images") as stored:
        for chunk in feeding.chunks(stored, labels, np.arange(used), chosen, 5):
            # Copied: the memory is filled anew while a later chunk is in use.
            batches = np.array(chunk.images)[: chunk.batches]
            of_batches = np.array(chunk.labels)[: chunk.batches]
            seen[chunk.epoch].append((batches.reshape(-1, *SHAPE), of_batches.reshape(-1)))
    for epoch, parts in seen.items():
        order = np.random.default_rng([5, epoch]).permutation(used)
        found_images, found_labels = map(np.concatenate, zip(*parts, strict=True))
        np.testing.assert_array_equal(found_images, images[order])
        np.testing.assert_array_equal(found_labels, labels[order])
