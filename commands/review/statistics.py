"""Whether the accuracies of two models differ, asked in two ways that are kept apart.

On these test images: the paired test of the two models' predictions, image by image. It knows
nothing of how the models were trained, so that two seeds of one recipe may well differ.
Beyond the seed: the difference against the spread that the seeds of a recipe are known to have.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, t

from workflow.metrics import CONFIDENCE_LEVEL

# Below this many seeds a standard deviation says next to nothing.
FEWEST_SEEDS = 3
_RESAMPLES = 2000
_AT_A_TIME = 100


@dataclass(frozen=True)
class PairedTest:
    """McNemar's test of two models on the same images.

    Attributes:
        gained: images that the first model gets wrong and the second right.
        lost: the other way round.
        images: all of them.
        p_value: two-sided: how often two equally good models differ by this much or more.
    """

    gained: int
    lost: int
    images: int
    p_value: float

    @property
    def differs(self) -> bool:
        """Whether the test finds the two models different."""
        return self.p_value < 1 - CONFIDENCE_LEVEL


@dataclass(frozen=True)
class SeedSpread:
    """How test accuracy scatters over the seeds of one recipe.

    Attributes:
        recipe: its name.
        seeds: how many seeds were run, n.
        deviation: the sample standard deviation (n - 1) of the test accuracy.
    """

    recipe: str
    seeds: int
    deviation: float


@dataclass(frozen=True)
class SeedTest:
    """A difference against what another seed gives.

    Attributes:
        difference: of the two accuracies.
        limit: 95 % of all pairs of runs that differ by the seed alone lie closer than this.
        p_value: two-sided: the share of such pairs that lie further apart than `difference`.
        degrees_of_freedom: of the t distribution.
    """

    difference: float
    limit: float
    p_value: float
    degrees_of_freedom: float

    @property
    def is_real(self) -> bool:
        """Whether the difference is larger than another seed explains."""
        return abs(self.difference) > self.limit


def paired_test(base_correct: NDArray[np.bool_], head_correct: NDArray[np.bool_]) -> PairedTest:
    """The exact test of McNemar (1947): a binomial test of the images that flipped.

    Args:
        base_correct: (n,) whether the first model is right, image by image.
        head_correct: (n,) the same of the second model, in the same order.
    """
    gained = int((~base_correct & head_correct).sum())
    lost = int((base_correct & ~head_correct).sum())
    p_value = float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    return PairedTest(gained, lost, len(base_correct), p_value)


def seed_spread(recipe: str, accuracies: Sequence[float]) -> SeedSpread | None:
    """The spread of the runs of one recipe, or None where there are fewer than three."""
    if len(accuracies) < FEWEST_SEEDS:
        return None
    return SeedSpread(recipe, len(accuracies), float(np.std(accuracies, ddof=1)))


def seed_test(difference: float, base: SeedSpread, head: SeedSpread) -> SeedTest:
    """Compare the difference of two runs with the spread over seeds.

    If only the seeds differ, the difference of one run of each recipe has mean zero and the
    variance of both runs together, estimated as the sum of the sample variances. Divided by
    its root it follows a t distribution: with n - 1 degrees of freedom where both runs are
    of one recipe, and by the formula of Welch (1947) and Satterthwaite where not.

    Args:
        difference: accuracy of the head minus that of the base.
        base: the spread of the base's recipe.
        head: that of the head's; the same object where it is the same recipe.
    """
    variances = np.array([base.deviation**2, head.deviation**2])
    total = float(variances.sum())
    freedom = float(base.seeds - 1)
    if head != base and total > 0:
        freedom = float(total**2 / (variances**2 / [base.seeds - 1, head.seeds - 1]).sum())
    scale = float(np.sqrt(total))
    limit = float(t.ppf((1 + CONFIDENCE_LEVEL) / 2, freedom)) * scale
    if scale > 0:
        p_value = float(2 * t.sf(abs(difference) / scale, freedom))
    else:
        p_value = float(difference == 0)
    return SeedTest(difference, limit, p_value, freedom)


def f1_intervals(
    counts: NDArray[np.int64],
) -> tuple[list[tuple[float, float]], tuple[float, float]]:
    """The 95 % intervals of the F1 score of each class, and of the mean of those with test images.

    By the percentile bootstrap (Efron, 1979): the test images are drawn anew 2,000 times.
    The draws are always the same, so that a report has the same bytes each time.

    Args:
        counts: (classes, classes) confusion counts.
    """
    total = int(counts.sum())
    random = np.random.default_rng(0)
    drawn = []
    # A few at a time: with hundreds of classes, all of them would take a gigabyte.
    for _ in range(_RESAMPLES // _AT_A_TIME):
        draws = random.multinomial(total, counts.ravel() / total, _AT_A_TIME)
        draws = draws.reshape(-1, *counts.shape)
        hits = 2.0 * draws.diagonal(axis1=1, axis2=2)
        named = draws.sum(axis=1) + draws.sum(axis=2)  # actual and predicted
        drawn.append(np.divide(hits, named, out=np.zeros_like(hits), where=named > 0))
    scores = np.concatenate(drawn)
    tail = 100 * (1 - CONFIDENCE_LEVEL) / 2
    low, high = np.percentile(
        np.column_stack([scores, scores[:, counts.sum(axis=1) > 0].mean(axis=1)]),
        [tail, 100 - tail],
        axis=0,
    )
    intervals = [(float(a), float(b)) for a, b in zip(low, high, strict=True)]
    return intervals[:-1], intervals[-1]
