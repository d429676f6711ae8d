"""The change of each metric: which way, how sure, and whether it is more than allowed."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError

from commands.revisions import Revision
from workflow.errors import UserError
from workflow.params import Strict, parse_yaml

RULES_FILE = "review.yaml"
# A metric X may come with its confidence interval as two more metrics.
LOW, HIGH = "_interval_low", "_interval_high"
# What rounding to four decimals can do is no change.
_ROUNDING = 1e-9

Interval = tuple[float, float]


class Rule(Strict):
    """Which way a metric is better, and how far it may get worse; None for any distance."""

    better: Literal["higher", "lower"]
    tolerance: Annotated[float, Field(ge=0)] | None = None


class Rules(Strict):
    """The whole of `review.yaml`: metrics file, then pattern, then rule."""

    metrics: dict[str, dict[str, Rule]]

    def rule(self, file: str, metric: str) -> tuple[int, Rule | None]:
        """The first rule whose pattern fits, if any does, and its place among those of the file."""
        patterns = self.metrics.get(file, {})
        for place, (pattern, rule) in enumerate(patterns.items()):
            if fnmatchcase(metric, pattern):
                return place, rule
        return len(patterns), None


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
    """

    file: str
    name: str
    base: float | None
    head: float | None
    base_interval: Interval | None
    head_interval: Interval | None
    rule: Rule | None

    @property
    def difference(self) -> float | None:
        """Head less base."""
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
        """Whether it is worse than its tolerance allows, or has vanished in spite of one."""
        if self.rule is None or self.rule.tolerance is None:
            return False
        # Written so that what is no number (NaN) is not allowed.
        allowed = -self.gain <= self.rule.tolerance + _ROUNDING
        return self.direction == "gone" or not allowed

    @property
    def verdict(self) -> str:
        """Direction and what is allowed, in words."""
        if not self.breaks_rule or self.rule is None:
            return self.direction
        if self.direction == "gone":
            return "gone, though it has a tolerance"
        return f"worse by {-self.gain:.4f}, allowed is {self.rule.tolerance:g}"


def load_rules(base: Revision, head: Revision) -> Rules:
    """Read and validate the `review.yaml` of the base, or of the head where the base has none.

    So a change cannot raise the tolerances that it is judged by.

    Raises:
        UserError: it is missing, is no YAML, or holds an unknown key or a wrong value.
    """
    for revision in (base, head):
        content = revision.read(RULES_FILE)
        if content is not None:
            return parse_rules(content, f"{RULES_FILE} of {revision.name}")
    raise UserError(f"{RULES_FILE} is missing: restore it from an earlier commit")


def rules_have_changed(base: Revision, head: Revision) -> bool:
    """Whether the head brings another `review.yaml` than that by which it is judged."""
    old = base.read(RULES_FILE)
    return old is not None and old != head.read(RULES_FILE)


def parse_rules(content: bytes, place: str) -> Rules:
    """Validate the content of a `review.yaml`.

    Args:
        content: of the file.
        place: where it comes from, for the error message.

    Raises:
        UserError: it is no YAML, or holds an unknown key or a wrong value.
    """
    try:
        return Rules.model_validate(parse_yaml(content))
    except yaml.YAMLError as error:
        raise UserError(f"{place}: not valid YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{place}: {key}: {first['msg']}, got {first['input']!r:.60}") from None


def metric_changes(
    difference: Mapping[str, Mapping[str, Mapping[str, Any]]],
    rules: Rules,
    intervals: Mapping[tuple[str, str, str], Interval],
) -> list[MetricChange]:
    """Put together the changes of all metrics.

    Args:
        difference: what `dvc metrics diff --all --json` prints.
        rules: from `review.yaml`.
        intervals: by side ("old" or "new"), file and metric, those that no metrics file holds.

    Returns:
        One change a metric, sorted by file, the order of the rules, and name. The two ends of
        an interval are no metrics of their own.
    """
    changes = []
    for file, metrics in difference.items():
        ends = {name + end for name in metrics for end in (LOW, HIGH)}

        def interval(side: str, name: str, file: str = file) -> Interval | None:
            here = difference[file]
            low, high = (_number(here.get(name + end, {}).get(side)) for end in (LOW, HIGH))
            if low is None or high is None:
                return intervals.get((side, file, name))
            return low, high

        for name in sorted(set(metrics) - ends):
            values = metrics[name]
            changes.append(
                MetricChange(
                    file,
                    name,
                    _number(values.get("old")),
                    _number(values.get("new")),
                    interval("old", name),
                    interval("new", name),
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


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
