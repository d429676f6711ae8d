"""The change of each metric: which way, how sure, and whether it is more than allowed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from commands.review import dvc
from commands.review.consistency import missing_results_named
from commands.review.lockfile import recorded_outs
from commands.review.revisions import Revision
from commands.review.rules import Rule, Rules
from workflow.core import paths
from workflow.core.errors import UserError
from workflow.core.files import parse_json

# A metric X may come with its confidence interval as two more metrics.
LOW, HIGH = "_interval_low", "_interval_high"
# Less than this is what computing with rounded scores adds, and no change.
_ROUNDING = 1e-9

Interval = tuple[float, float]


@dataclass(frozen=True)
class MetricChange:
    """One metric in two revisions; None where a revision lacks it.

    Attributes:
        file: where it stands.
        name: with dots between the keys.
        base: its value before.
        head: its value after.
        base_interval: its 95 % interval, where one is known.
        head_interval: likewise.
        rule: how it is judged, if at all.
        contradictions: what in the same revision it cannot stand beside, in words.
    """

    file: str
    name: str
    base: float | None
    head: float | None
    base_interval: Interval | None
    head_interval: Interval | None
    rule: Rule | None
    contradictions: tuple[str, ...] = ()

    @property
    def difference(self) -> float | None:
        """Head minus base."""
        return None if self.base is None or self.head is None else self.head - self.base

    @property
    def gain(self) -> float:
        """How much better it has become; negative for worse, 0 where that is not judged."""
        if self.difference is None or self.rule is None or abs(self.difference) < _ROUNDING:
            return 0.0
        return self.difference if self.rule.better == "higher" else -self.difference

    @property
    def direction(self) -> str:
        """In a word."""
        if self.base is None or self.head is None:
            return "new" if self.base is None else "gone"
        if abs(self.head - self.base) < _ROUNDING:
            return "same"
        if self.rule is None:
            return "changed"
        return "better" if self.gain > 0 else "worse"

    @property
    def breaks_rule(self) -> bool:
        """Whether it is worse than its tolerance allows, or is gone although it has one."""
        if self.rule is None or self.rule.tolerance is None:
            return False
        # Written so that NaN, too, breaks the rule.
        allowed = -self.gain <= self.rule.tolerance + _ROUNDING
        return self.direction == "gone" or not allowed

    @property
    def verdict(self) -> str:
        """Direction and what is allowed, in words."""
        if not self.breaks_rule or self.rule is None:
            return self.direction
        if self.direction == "gone":
            return "gone, though it has a tolerance"
        return f"worse by {-self.gain:.{paths.DECIMALS}f}, allowed is {self.rule.tolerance:g}"


def metrics_difference(base: Revision, head: Revision) -> dict[str, Any]:
    """All metrics of two revisions: file, then metric, then `old`, `new` and `diff`.

    Raises:
        UserError: one is missing or cannot be read. DVC would say so, but not which.
    """
    for revision in (base, head):
        for path in recorded_outs(revision.lock):
            content = revision.read(path) if path.endswith(".json") else None
            try:
                parse_json(content or b"{}")
            except ValueError as error:
                raise UserError(
                    f"{path} of {revision.name}: not valid JSON ({error}): run"
                    f" `{dvc.repro_command()}`"
                ) from None
    with missing_results_named(base, head):
        return dvc.difference("metrics", base.name, head.name, all=True)


def metric_changes(
    difference: Mapping[str, Mapping[str, Mapping[str, Any]]], rules: Rules
) -> list[MetricChange]:
    """Put together the changes of all metrics.

    Args:
        difference: from `metrics_difference`.
        rules: by which they are judged.

    Returns:
        The changes, sorted by file, the order of the rules, and name. The two ends of an
        interval are not metrics of their own.
    """
    changes = []
    for file, metrics in difference.items():
        ends = {name + end for name in metrics for end in (LOW, HIGH)}
        for name in metrics.keys() - ends:
            values = metrics[name]
            changes.append(
                MetricChange(
                    file,
                    name,
                    _number(values.get("old")),
                    _number(values.get("new")),
                    _recorded_interval(metrics, name, "old"),
                    _recorded_interval(metrics, name, "new"),
                    rules.rule(file, name)[1],
                )
            )
    # What is judged comes first, in the order of review.yaml.
    files = list(rules.metrics)
    return sorted(
        changes,
        key=lambda c: (
            files.index(c.file) if c.file in files else len(files),
            c.file,
            rules.rule(c.file, c.name)[0],
            c.name,
        ),
    )


def _recorded_interval(
    metrics: Mapping[str, Mapping[str, Any]], name: str, side: str
) -> Interval | None:
    low, high = (_number(metrics.get(name + end, {}).get(side)) for end in (LOW, HIGH))
    return None if low is None or high is None else (low, high)


def with_intervals(
    changes: Iterable[MetricChange], computed: Mapping[tuple[str, str, str], Interval]
) -> list[MetricChange]:
    """Add intervals, by side ("base" or "head"), file and metric, where none is recorded."""
    return [
        replace(
            change,
            base_interval=change.base_interval or computed.get(("base", change.file, change.name)),
            head_interval=change.head_interval or computed.get(("head", change.file, change.name)),
        )
        for change in changes
    ]


def with_contradictions(
    changes: Iterable[MetricChange], computed: Mapping[tuple[str, str, str], float]
) -> list[MetricChange]:
    """Mark each metric that is not what follows from other numbers of its revision.

    Args:
        changes: all metrics.
        computed: what follows from the predictions, by side ("base" or "head"), file and metric.
    """
    marked = []
    for change in changes:
        found = []
        for side, value, interval in (
            ("base", change.base, change.base_interval),
            ("head", change.head, change.head_interval),
        ):
            if value is None:
                continue
            expected = computed.get((side, change.file, change.name))
            if expected is not None and abs(value - expected) > _ROUNDING:
                gives = f"{expected:.{paths.DECIMALS}f}"
                found.append(f"{side} contradicts {paths.PREDICTIONS}, which gives {gives}")
            # The ends are rounded, and so is the value.
            reach = 10.0**-paths.DECIMALS
            if interval and not interval[0] - reach <= value <= interval[1] + reach:
                found.append(f"{side} lies outside its own interval")
            for end, bound in zip((LOW, HIGH), interval or (), strict=False):
                expected = computed.get((side, change.file, change.name + end))
                if expected is not None and abs(bound - expected) > _ROUNDING:
                    found.append(f"{side} has an interval that {paths.PREDICTIONS} does not give")
                    break
        marked.append(replace(change, contradictions=tuple(found)))
    return marked


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
