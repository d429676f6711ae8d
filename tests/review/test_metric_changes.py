"""Directions, intervals and tolerances of metrics."""

import pytest
from projects import ROOT

from commands.review.metrics import metric_changes, with_intervals
from commands.review.rules import Rules, parse_rules
from workflow.core.errors import UserError

RULES = Rules.model_validate(
    {
        "metrics": {
            "test.json": {
                "accuracy": {"better": "higher", "tolerance": 0.01},
                "loss": {"better": "lower", "tolerance": 0.1},
                "*": {"better": "higher"},
            }
        }
    }
)


def change(name: str, old: float | None, new: float | None, file: str = "test.json"):
    values = {k: v for k, v in (("old", old), ("new", new)) if v is not None}
    return metric_changes({file: {name: values}}, RULES)[0]


@pytest.mark.parametrize(
    ("name", "old", "new", "direction", "breaks"),
    [
        ("accuracy", 0.88, 0.90, "better", False),
        ("accuracy", 0.88, 0.87, "worse", False),  # exactly the tolerance
        ("accuracy", 0.88, 0.8699, "worse", True),
        ("accuracy", 0.88, None, "gone", True),
        ("accuracy", None, 0.88, "new", False),
        ("accuracy", 0.88, 0.88, "same", False),
        ("loss", 0.3, 0.5, "worse", True),
        ("loss", 0.5, 0.3, "better", False),
        ("other", 0.9, 0.1, "worse", False),
        ("accuracy", 0.88, float("nan"), "worse", True),
    ],
)
def test_direction_and_tolerance(
    name: str, old: float | None, new: float | None, direction: str, breaks: bool
) -> None:
    result = change(name, old, new)
    assert (result.direction, result.breaks_rule) == (direction, breaks)


def test_metrics_come_in_the_order_of_their_rules_even_if_two_are_equal() -> None:
    same, other = {"better": "higher"}, {"better": "lower"}
    rules = Rules.model_validate({"metrics": {"f": {"b": same, "c": other, "a": same}}})
    values = {name: {"old": 1, "new": 2} for name in "zabc"}
    assert [c.name for c in metric_changes({"f": values}, rules)] == ["b", "c", "a", "z"]


def test_a_metric_without_a_rule_is_never_judged() -> None:
    result = change("accuracy", 0.9, 0.1, "another.json")
    assert (result.direction, result.breaks_rule) == ("changed", False)


def test_the_ends_of_an_interval_belong_to_their_metric() -> None:
    difference = {
        "test.json": {
            "accuracy": {"old": 0.5, "new": 0.6},
            "accuracy_interval_low": {"old": 0.4, "new": 0.5},
            "accuracy_interval_high": {"old": 0.6, "new": 0.7},
            "f1": {"old": 0.5, "new": 0.6},
        }
    }
    computed = {("head", "test.json", name): (0.1, 0.2) for name in ("accuracy", "f1")}
    changes = with_intervals(metric_changes(difference, RULES), computed)
    assert [c.name for c in changes] == ["accuracy", "f1"]
    assert (changes[0].base_interval, changes[0].head_interval) == ((0.4, 0.6), (0.5, 0.7))
    assert (changes[1].base_interval, changes[1].head_interval) == (None, (0.1, 0.2))


def test_the_ends_of_an_interval_that_are_no_numbers_are_passed_over() -> None:
    difference = {
        "test.json": {
            "accuracy": {"old": 0.5, "new": 0.6},
            "accuracy_interval_low": {"old": "x", "new": 0.5},
            "accuracy_interval_high": {"old": 0.6, "new": 0.7},
        }
    }
    (only,) = metric_changes(difference, RULES)
    assert (only.base_interval, only.head_interval) == (None, (0.5, 0.7))


def test_the_rules_of_this_repository_hold() -> None:
    rules = parse_rules((ROOT / "review.yaml").read_bytes(), "review.yaml")
    _, rule = rules.rule("metrics/test.json", "accuracy")
    assert rule is not None
    assert rule.better == "higher"
    assert rule.tolerance
    assert rules.seeds is not None


def test_a_tolerance_may_be_written_as_in_params() -> None:
    text = b"metrics: {a.json: {loss: {better: lower, tolerance: 2e-2}}}"
    _, rule = parse_rules(text, "review.yaml").rule("a.json", "loss")
    assert rule is not None
    assert rule.tolerance == 0.02


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("metrics: {a.json: {accuracy: {better: up}}}", "better"),
        ("metrics: {a.json: {accuracy: {better: higher, tolerence: 1}}}", "tolerence"),
        ("metrics: {a.json: {accuracy: {better: higher, tolerance: -1}}}", "tolerance"),
        ("metrics: {}\nseeds: {folder: here}", "measured_by"),
        ("metrics: [", "YAML"),
        ("metrics: {a.json: {loss: {better: lower}, loss: {better: higher}}}", "duplicate"),
    ],
)
def test_a_wrong_rule_is_named(text: str, key: str) -> None:
    with pytest.raises(UserError, match=f"review.yaml: .*{key}") as raised:
        parse_rules(text.encode(), "review.yaml")
    assert "\n" not in str(raised.value)
