"""The predictions of two revisions side by side: confusion, classes, images that flipped."""

import base64
import io
import re
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from commands.review.dvc import cache_folder, repro_command
from commands.review.lockfile import md5_of, object_path, recorded_outs
from commands.review.revisions import Revision
from commands.review.statistics import PairedTest, f1_intervals, paired_test
from workflow.core import paths
from workflow.core.errors import UserError
from workflow.core.files import parse_table
from workflow.core.validation import require_different
from workflow.data.npz import StoredArray
from workflow.metrics import (
    ClassScores,
    confusion_counts,
    macro_f1,
    scores_per_class,
    wilson_interval,
)

_PICTURES_OF_EACH_KIND = 12


@dataclass(frozen=True)
class Predictions:
    """The content of `plots/predictions.csv`.

    Attributes:
        actual: (n,) labels.
        predicted: (n,) labels.
        class_names: by label.
    """

    actual: NDArray[np.int64]
    predicted: NDArray[np.int64]
    class_names: dict[int, str]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """(n,) whether each prediction is right."""
        return np.asarray(self.actual == self.predicted)

    @property
    def accuracy(self) -> float:
        """In [0, 1]."""
        return float(self.correct.mean())

    def confusion(self, classes: int) -> NDArray[np.int64]:
        """(classes, classes) counts: row the actual class, column the predicted one."""
        return confusion_counts(self.actual.astype(np.uint8), self.predicted, classes)


@dataclass(frozen=True)
class ClassChange:
    """One class before and after.

    Attributes:
        name: of the class.
        images: how many of the test images are of it.
        base: its scores before.
        head: its scores after.
        gained: its images that went from wrong to right.
        lost: its images that went from right to wrong.
    """

    name: str
    images: int
    base: ClassScores
    head: ClassScores
    gained: int
    lost: int


@dataclass(frozen=True)
class Flip:
    """A test image that the two models take for different classes.

    Attributes:
        number: of the image.
        actual: its class.
        base: what it was taken for before.
        head: what it is taken for after.
        gained: whether it went from wrong to right.
        lost: whether it went from right to wrong.
    """

    number: int
    actual: str
    base: str
    head: str
    gained: bool
    lost: bool


@dataclass(frozen=True)
class PredictionChanges:
    """All that two tables of predictions of the same images tell.

    Attributes:
        class_names: by label.
        base_confusion: (classes, classes) counts before; row the actual class.
        head_confusion: the same after.
        test: of the two models on these images.
        classes: one change a class.
        flips: sorted by the number of the image.
        pictures: of the first flips of each direction, as addresses that hold a PNG, by number.
    """

    class_names: list[str]
    base_confusion: NDArray[np.int64]
    head_confusion: NDArray[np.int64]
    test: PairedTest
    classes: list[ClassChange]
    flips: list[Flip]
    pictures: dict[int, str]

    @property
    def kinds(self) -> list[tuple[tuple[str, str, str], int]]:
        """Actual class, class before and after, and how many flipped so; the most first."""
        return Counter((flip.actual, flip.base, flip.head) for flip in self.flips).most_common()


def read_predictions(revision: Revision) -> Predictions | None:
    """Read the predictions of a revision; None where it has none.

    Raises:
        UserError: the table is damaged.
    """
    content = revision.read(paths.PREDICTIONS)
    if content is None:
        return None
    labels: list[NDArray[np.int64]] = []
    names: dict[int, str] = {}
    try:
        header, rows = parse_table(content.decode())
        for side in ("actual", "predicted"):
            name, number = header.index(side), header.index(f"{side}_label")
            labels.append(np.array([_label(row[number]) for row in rows]))
            for label, row in zip(labels[-1].tolist(), rows, strict=True):
                if names.setdefault(label, row[name]) != row[name]:
                    both = f"{names[label]!r:.40} and {row[name]!r:.40}"
                    raise ValueError(f"label {label} is {both}")
        require_different("the table", sorted(names.values()))
    except ValueError as error:
        raise UserError(
            f"{paths.PREDICTIONS} of {revision.name}: cannot be read ({error}): run"
            f" `{repro_command('evaluate')}`"
        ) from None
    return Predictions(labels[0], labels[1], names)


def _label(cell: str) -> int:
    """A label as the pipeline writes it: no other text that Python takes for a number."""
    if not re.fullmatch("0|[1-9][0-9]{0,2}", cell) or int(cell) > np.iinfo(np.uint8).max:
        raise ValueError(f"{cell!r:.40} is no label")
    return int(cell)


def compare_predictions(
    base: Predictions, head: Predictions, base_revision: Revision, head_revision: Revision
) -> PredictionChanges | None:
    """Compare two tables of predictions; None where they are not of the same images.

    A class without images that is never predicted counts, too, as it does in the metrics.
    """
    if not same_images(base, head, base_revision, head_revision):
        return None
    listed = (head_revision.params.get("data") or {}).get("class_names") or []
    names = dict(enumerate(listed)) | base.class_names | head.class_names
    labels = range(max(names) + 1)
    class_names = [names.get(label, str(label)) for label in labels]
    before, after = base.confusion(len(labels)), head.confusion(len(labels))
    flips = [
        Flip(
            int(n),
            class_names[head.actual[n]],
            class_names[base.predicted[n]],
            class_names[head.predicted[n]],
            bool(head.correct[n]),
            bool(base.correct[n]),
        )
        for n in np.flatnonzero(base.predicted != head.predicted)
    ]
    classes = [
        ClassChange(
            name,
            int(before[label].sum()),
            old,
            new,
            sum(flip.gained for flip in flips if flip.actual == name),
            sum(flip.lost for flip in flips if flip.actual == name),
        )
        for label, (name, old, new) in enumerate(
            zip(class_names, _rounded_scores(before), _rounded_scores(after), strict=True)
        )
    ]
    shown = [flip.number for flip in flips if flip.gained][:_PICTURES_OF_EACH_KIND]
    shown += [flip.number for flip in flips if flip.lost][:_PICTURES_OF_EACH_KIND]
    return PredictionChanges(
        class_names,
        before,
        after,
        paired_test(base.correct, head.correct),
        classes,
        flips,
        _pictures(head_revision, shown, len(head.actual)),
    )


def same_images(
    base: Predictions, head: Predictions, base_revision: Revision, head_revision: Revision
) -> bool:
    """Whether two tables are of the same test images, by their labels and the data."""
    old, new = map(_test_images, (base_revision, head_revision))
    return bool(old == new and np.array_equal(base.actual, head.actual))


def same_test_data(base: Revision, head: Revision) -> bool:
    """Whether images and labels for testing come from the same files, so that both are the same."""
    keys = []
    for revision in (base, head):
        data = revision.params.get("data") or {}
        files = data.get("files") or {}
        keys.append((_test_images(revision), files.get("test_labels"), data.get("first_label", 0)))
    return bool(keys[0] == keys[1])


def _test_images(revision: Revision) -> Any:
    """What tells the test images of a revision from others.

    Of IDX files the checksum; of pictures, whose files say nothing of that, the whole data set.
    """
    files = (revision.params.get("data") or {}).get("files") or {}
    recorded = recorded_outs(revision.lock).get(str(paths.NORMALIZED))
    return files.get("test_images") or (recorded and recorded[1].md5)


def _rounded_scores(counts: NDArray[np.int64]) -> list[ClassScores]:
    """The scores of each class as `metrics/per_class.json` has them, for the same differences."""
    return [ClassScores(**paths.rounded(asdict(scores))) for scores in scores_per_class(counts)]


def computed_metrics(
    predictions: Predictions, class_names: list[str]
) -> dict[tuple[str, str], float]:
    """The metrics that follow from a table of predictions, rounded as the stage rounds them.

    Args:
        predictions: of a revision.
        class_names: as its params list them.

    Returns:
        The values by metrics file and metric.
    """
    labels = max(len(class_names), max(predictions.class_names, default=0) + 1)
    names = dict(enumerate(class_names)) | predictions.class_names
    counts = predictions.confusion(labels)
    scores = scores_per_class(counts)
    test, per_class = str(paths.TEST_METRICS), str(paths.CLASS_METRICS)
    correct, total = int(predictions.correct.sum()), len(predictions.correct)
    low, high = wilson_interval(correct, total)
    overall = {
        "accuracy": correct / total,
        "accuracy_interval_low": low,
        "accuracy_interval_high": high,
        "macro_f1": macro_f1(counts),
    }
    found = {(test, name): value for name, value in paths.rounded(overall).items()}
    for label, of_class in enumerate(scores):
        for name, value in paths.rounded(asdict(of_class)).items():
            found[per_class, f"{names.get(label, label)}.{name}"] = value
    return found


def computed_intervals(
    changes: PredictionChanges,
) -> dict[tuple[str, str, str], tuple[float, float]]:
    """The 95 % intervals that follow from the predictions, by side, metrics file and metric.

    Wilson's for precision and recall, which are shares of images; the bootstrap's for F1.
    """
    intervals: dict[tuple[str, str, str], tuple[float, float]] = {}
    for side, counts in (("base", changes.base_confusion), ("head", changes.head_confusion)):
        of_class, of_mean = f1_intervals(counts)
        intervals[side, str(paths.TEST_METRICS), "macro_f1"] = of_mean
        per_class = str(paths.CLASS_METRICS)
        for label, name in enumerate(changes.class_names):
            intervals[side, per_class, f"{name}.f1"] = of_class[label]
            for score, axis in (("precision", 0), ("recall", 1)):
                total = int(counts.sum(axis=axis)[label])
                if total:
                    intervals[side, per_class, f"{name}.{score}"] = wilson_interval(
                        int(counts[label, label]), total
                    )
    return intervals


def _pictures(revision: Revision, rows: list[int], images: int) -> dict[int, str]:
    """The test images of these rows as data URIs; none where the data is not here.

    A file of the cache or the workspace counts only if it is the one that the revision used.
    """
    _, recorded = recorded_outs(revision.lock).get(str(paths.NORMALIZED), ("", None))
    if recorded is None or not rows:
        return {}
    candidates = (object_path(cache_folder(), recorded.md5), paths.NORMALIZED)
    archive = next((f for f in candidates if f.is_file() and md5_of(f) == recorded.md5), None)
    if archive is None:
        return {}
    with StoredArray(archive, "test_images") as stored:
        if len(stored) != images:
            return {}
        taken = stored.take(np.array(rows))
    photographs = (revision.params.get("data") or {}).get("format") == "pictures"
    return {
        row: data_uri(png_of(image, photographs)) for row, image in zip(rows, taken, strict=True)
    }


def data_uri(png: bytes) -> str:
    """A picture as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def png_of(image: NDArray[np.float32], photograph: bool) -> bytes:
    """One image in [0, 1] as PNG; grey ones dark on light, as in the figures, but photographs."""
    pixels = np.rint(image * 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels if photograph or pixels.ndim == 3 else 255 - pixels).save(stream, "PNG")
    return stream.getvalue()
