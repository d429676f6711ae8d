"""The statistics of a review, against figures from elsewhere and against simulation."""

import numpy as np
import pytest

from commands.review.statistics import (
    SeedSpread,
    f1_intervals,
    paired_test,
    seed_spread,
    seed_test,
)


def test_mcnemar_counts_the_images_that_flipped_and_gives_the_binomial_p() -> None:
    base = np.array([True] * 10 + [False] * 12)
    head = np.array([True] * 8 + [False] * 2 + [True] * 10 + [False] * 2)
    test = paired_test(base, head)
    assert (test.gained, test.lost, test.images) == (10, 2, 22)
    # Twice the chance of at most 2 heads in 12 throws: 2 (1 + 12 + 66) / 2^12.
    assert test.p_value == pytest.approx(2 * 79 / 4096)
    assert test.differs


def test_two_equal_models_do_not_differ() -> None:
    same = np.array([True, False, True])
    test = paired_test(same, same)
    assert (test.gained, test.lost, test.p_value, test.differs) == (0, 0, 1.0, False)


def test_mcnemar_does_not_see_images_that_both_get_right() -> None:
    base, head = np.array([True, False] * 20), np.array([False, True] * 20)
    more = np.ones(500, dtype=bool)
    longer = paired_test(np.append(base, more), np.append(head, more))
    assert longer.p_value == paired_test(base, head).p_value


def test_two_seeds_are_too_few_for_a_spread() -> None:
    assert seed_spread("r", [0.8, 0.9]) is None
    spread = seed_spread("r", [0.87, 0.88, 0.89])
    assert spread is not None
    assert (spread.seeds, spread.deviation) == (3, pytest.approx(0.01))


def test_the_limit_for_one_recipe_is_that_of_the_t_table() -> None:
    spread = SeedSpread("r", 5, 0.01)
    test = seed_test(0.03, spread, spread)
    assert test.degrees_of_freedom == 4
    assert test.limit == pytest.approx(2.776 * 0.01 * 2**0.5, rel=1e-3)
    assert not test.is_real
    assert seed_test(-0.04, spread, spread).is_real


def test_the_degrees_of_freedom_of_two_recipes_are_welchs() -> None:
    test = seed_test(0.0, SeedSpread("a", 5, 0.01), SeedSpread("b", 5, 0.01))
    assert test.degrees_of_freedom == pytest.approx(8)
    uneven = seed_test(0.0, SeedSpread("a", 5, 0.05), SeedSpread("b", 50, 0.0001))
    assert uneven.degrees_of_freedom == pytest.approx(4, rel=1e-3)


def test_recipes_that_do_not_scatter_differ_by_any_difference() -> None:
    still = SeedSpread("r", 5, 0.0)
    assert seed_test(0.0001, still, still).is_real
    assert not seed_test(0.0, still, still).is_real
    assert seed_test(0.0001, still, SeedSpread("s", 5, 0.0)).is_real


@pytest.mark.parametrize("deviations", [(0.01, 0.01), (0.002, 0.01)])
def test_a_seed_alone_is_called_real_one_time_in_twenty(deviations: tuple[float, float]) -> None:
    random = np.random.default_rng(7)
    one_recipe = deviations[0] == deviations[1]
    called_real = 0
    repeats = 4000
    for _ in range(repeats):
        base = seed_spread("a", list(random.normal(0.88, deviations[0], 5)))
        head = base if one_recipe else seed_spread("b", list(random.normal(0.88, deviations[1], 5)))
        assert base is not None
        assert head is not None
        runs = random.normal(0.88, deviations)
        called_real += seed_test(float(runs[1] - runs[0]), base, head).is_real
    assert 0.03 < called_real / repeats < 0.07


def test_the_bootstrap_holds_the_score_and_narrows_with_more_images() -> None:
    counts = np.array([[80, 20], [10, 90]])
    of_class, of_mean = f1_intervals(counts)
    scores = [2 * 80 / (100 + 90), 2 * 90 / (100 + 110)]
    for score, (low, high) in zip(scores, of_class, strict=True):
        assert low < score < high
    assert of_mean[0] < np.mean(scores) < of_mean[1]
    narrower = f1_intervals(counts * 100)[1]
    assert narrower[1] - narrower[0] < (of_mean[1] - of_mean[0]) / 5
    assert f1_intervals(counts) == (of_class, of_mean)
