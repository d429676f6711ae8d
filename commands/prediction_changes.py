"""The predictions of two revisions side by side: confusion, classes, images that flipped."""

import base64
import io
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from commands.revisions import Revision, cached_object
from workflow.comparison import PairedTest, f1_intervals, paired_test
from workflow.dataset import StoredArray
from workflow.errors import UserError
from workflow.lockfile import md5_of, recorded_outs
from workflow.metrics import ClassScores, confusion_counts, scores_per_class, wilson_interval

PREDICTIONS = "plots/predictions.csv"
PER_CLASS_METRICS = "metrics/per_class.json"
TEST_METRICS = "metrics/test.json"
NORMALIZED = "data/normalized.npz"
_COLUMNS = ["actual", "predicted", "actual_label", "predicted_label"]
_PICTURES_OF_EACH_KIND = 12
_DECIMALS = 4  # of the scores that evaluate writes


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
class FlipKind:
    """Images that flipped alike: `count` of `actual`, first taken for `base`, then `head`."""

    actual: str
    base: str
    head: str
    count: int


@dataclass(frozen=True)
class FlippedImage:
    """One image whose prediction flipped, as a PNG in a data URI."""

    number: int
    actual: str
    base: str
    head: str
    gained: bool
    source: str


@dataclass(frozen=True)
class PredictionChanges:
    """All that two tables of predictions of the same images tell."""

    class_names: list[str]
    base_confusion: NDArray[np.int64]
    head_confusion: NDArray[np.int64]
    test: PairedTest
    classes: list[ClassChange]
    flips: int
    kinds: list[FlipKind]
    pictures: list[FlippedImage]


def read_predictions(revision: Revision) -> Predictions | None:
    """Read the predictions of a revision; None where it has none.

    Raises:
        UserError: the table is damaged.
    """
    content = revision.read(PREDICTIONS)
    if content is None:
        return None
    try:
        names_as_written = dict.fromkeys(_COLUMNS[:2], str)
        table = pd.read_csv(io.BytesIO(content), keep_default_na=False, dtype=names_as_written)
        if table.empty:
            raise ValueError("no rows")
        labels = [table[name].to_numpy(dtype=np.int64) for name in _COLUMNS[2:]]
        for of_side in labels:
            if of_side.min() < 0 or of_side.max() > np.iinfo(np.uint8).max:
                raise ValueError(f"labels from {of_side.min()} to {of_side.max()}")
        names: dict[int, str] = {}
        for name, label in (_COLUMNS[::2], _COLUMNS[1::2]):
            names |= dict(zip(table[label].astype(int), table[name].astype(str), strict=True))
    except (KeyError, ValueError, OverflowError, UnicodeDecodeError) as error:
        raise UserError(
            f"{PREDICTIONS} of {revision.name}: cannot be read ({error}): run `dvc repro evaluate`"
        ) from None
    return Predictions(labels[0], labels[1], names)


def compare_predictions(
    base: Predictions, head: Predictions, base_revision: Revision, head_revision: Revision
) -> PredictionChanges | None:
    """Compare two tables of predictions; None where they are not of the same images.

    A class that neither has an image of nor is predicted counts, too, as it does in the metrics.
    """
    data = [revision.params.get("data") or {} for revision in (base_revision, head_revision)]
    old, new = ((one.get("files") or {}).get("test_images") for one in data)
    if old != new or not np.array_equal(base.actual, head.actual):
        return None
    listed = data[1].get("class_names") or []
    names = dict(enumerate(listed)) | base.class_names | head.class_names
    labels = range(max(names) + 1)
    class_names = [names.get(label, str(label)) for label in labels]
    before, after = base.confusion(len(labels)), head.confusion(len(labels))
    gained, lost = ~base.correct & head.correct, base.correct & ~head.correct
    classes = [
        ClassChange(
            class_names[label],
            int((head.actual == label).sum()),
            old,
            new,
            int(gained[head.actual == label].sum()),
            int(lost[head.actual == label].sum()),
        )
        for label, old, new in zip(
            labels, _rounded_scores(before), _rounded_scores(after), strict=True
        )
    ]
    flipped = np.flatnonzero(base.predicted != head.predicted)
    table = pd.DataFrame(
        {
            "actual": head.actual[flipped],
            "base": base.predicted[flipped],
            "head": head.predicted[flipped],
        }
    )
    counted = (
        table.value_counts(sort=False).sort_index().sort_values(ascending=False, kind="stable")
    )
    kinds = [
        FlipKind(class_names[actual], class_names[old], class_names[new], int(count))
        for (actual, old, new), count in zip(counted.index, counted, strict=True)
    ]
    shown = np.concatenate(
        [np.flatnonzero(which)[:_PICTURES_OF_EACH_KIND] for which in (gained, lost)]
    )
    pictures = [
        FlippedImage(
            int(n),
            class_names[head.actual[n]],
            class_names[base.predicted[n]],
            class_names[head.predicted[n]],
            bool(gained[n]),
            source,
        )
        for n, source in zip(shown, _pictures(head_revision, shown, len(head.actual)), strict=False)
    ]
    return PredictionChanges(
        class_names,
        before,
        after,
        paired_test(base.correct, head.correct),
        classes,
        len(flipped),
        kinds,
        pictures,
    )


def _rounded_scores(counts: NDArray[np.int64]) -> list[ClassScores]:
    """The scores of each class as `metrics/per_class.json` has them, for the same differences."""
    return [
        ClassScores(**{name: round(score, _DECIMALS) for name, score in asdict(scores).items()})
        for scores in scores_per_class(counts)
    ]


def computed_intervals(
    changes: PredictionChanges,
) -> dict[tuple[str, str, str], tuple[float, float]]:
    """The 95 % intervals that follow from the predictions, by side, metrics file and metric.

    Wilson's for precision and recall, which are shares of images; the bootstrap's for F1.
    """
    intervals: dict[tuple[str, str, str], tuple[float, float]] = {}
    for side, counts in (("old", changes.base_confusion), ("new", changes.head_confusion)):
        of_class, of_mean = f1_intervals(counts)
        intervals[side, TEST_METRICS, "macro_f1"] = of_mean
        for label, name in enumerate(changes.class_names):
            intervals[side, PER_CLASS_METRICS, f"{name}.f1"] = of_class[label]
            for score, axis in (("precision", 0), ("recall", 1)):
                total = int(counts.sum(axis=axis)[label])
                if total:
                    intervals[side, PER_CLASS_METRICS, f"{name}.{score}"] = wilson_interval(
                        int(counts[label, label]), total
                    )
    return intervals


def _pictures(revision: Revision, rows: NDArray[np.int64], images: int) -> list[str]:
    """The test images of these rows as data URIs; none where the data is not here.

    The file of the workspace counts only if it is the one that the revision used.
    """
    recorded = recorded_outs(revision.lock).get(NORMALIZED)
    if recorded is None or not len(rows):
        return []
    archive = cached_object(recorded[1].md5)
    if archive is None:
        archive = Path(NORMALIZED)
        if not archive.is_file() or md5_of(archive) != recorded[1].md5:
            return []
    with StoredArray(archive, "test_images") as stored:
        if len(stored) != images:
            return []
        return [data_uri(_png(image)) for image in stored.take(rows)]


def data_uri(png: bytes) -> str:
    """A picture as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _png(image: NDArray[np.float32]) -> bytes:
    """One image in [0, 1] as PNG; grey ones dark on light, as in the figures."""
    pixels = np.rint(image.squeeze() * 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(255 - pixels if pixels.ndim == 2 else pixels).save(stream, "PNG")
    return stream.getvalue()
