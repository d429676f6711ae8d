"""All that a review says of a change."""

from dataclasses import dataclass
from typing import Any

from commands.review.change import Change
from commands.review.charts import Plots, compare_plots, confusion_difference
from commands.review.checks import Check, checks
from commands.review.consistency import require_results
from commands.review.metrics import MetricChange, with_intervals
from commands.review.params import ParamChange, param_changes
from commands.review.predictions import (
    PredictionChanges,
    compare_predictions,
    computed_intervals,
)
from commands.review.revisions import Revision, is_clean, resolve
from commands.review.stages import StageChange, stage_changes
from commands.review.verdict import AccuracyChange, accuracy_change
from workflow.core import paths
from workflow.core.params import load_params

NOT_OF_THE_CODE = "These results are not those of the code."


@dataclass(frozen=True)
class Review:
    """What the report shows.

    Attributes:
        base_reason: how the base was chosen, in words.
        head_place: which commit the head is, or comes from, in words.
        predictions: None unless both sides have some, of the same images.
        charts: Vega-Lite specifications by name: DVC's, and how the confusion matrix changed.
    """

    base: Revision
    head: Revision
    base_reason: str
    head_place: str
    checks: list[Check]
    accuracy: AccuracyChange
    params: list[ParamChange]
    metrics: list[MetricChange]
    predictions: PredictionChanges | None
    stages: list[StageChange]
    plots: Plots
    charts: dict[str, dict[str, Any]]

    @property
    def doubts(self) -> list[str]:
        """Why the results are not, or may not be, those of code and params; none if all is well."""
        return [
            line
            for check in self.checks
            if check.of_results and check.passed is False
            for line in check.lines
        ]

    @property
    def kind(self) -> str:
        """`doubtful`, or what the change of accuracy is."""
        return "doubtful" if self.doubts else self.accuracy.kind

    @property
    def headline(self) -> str:
        """What a reviewer reads first. Of numbers that may be false nothing calm is said."""
        if not self.doubts:
            return self.accuracy.headline
        more = f" (and {len(self.doubts) - 1} more)" if len(self.doubts) > 1 else ""
        return f"{NOT_OF_THE_CODE} {self.doubts[0]}{more}"


def review(change: Change) -> Review:
    """Find out all that the report shows.

    Raises:
        UserError: the params are not valid, or a result is missing or cannot be read.
    """
    base, head = change.base, change.head
    if head.commit is None:
        load_params()
    require_results(head)
    old, new = change.predictions
    predictions = compare_predictions(old, new, base, head) if old and new else None
    metrics, plots = change.metrics, compare_plots(base, head)
    charts = dict(plots.charts)
    if predictions:
        metrics = with_intervals(metrics, computed_intervals(predictions))
        charts[f"{paths.PREDICTIONS}: difference"] = confusion_difference(
            predictions.head_confusion - predictions.base_confusion, predictions.class_names
        )
    return Review(
        base=base,
        head=head,
        base_reason=change.base_with_reason[1],
        head_place=_place(head),
        checks=checks(change),
        accuracy=accuracy_change(
            base,
            head,
            new.accuracy - old.accuracy if old and new else None,
            predictions.test if predictions else None,
            change.rules.seeds,
        ),
        params=param_changes(base, head),
        metrics=metrics,
        predictions=predictions,
        stages=stage_changes(base, head),
        plots=plots,
        charts=charts,
    )


def _place(head: Revision) -> str:
    if head.commit is not None:
        return f"commit {head.name}, as asked for"
    since = "" if is_clean() else " and what has changed since"
    return f"the workspace, commit {resolve('HEAD').name}{since}"
