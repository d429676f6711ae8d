"""Fail if a metric has got worse by more than `review.yaml` allows."""

from commands.review.change import Change, change_parser
from commands.review.rules import RULES_FILE, rules_have_changed
from workflow.core.progress import counted, say


def main(arguments: list[str]) -> int:
    """Read the command line and check."""
    options = change_parser("check-metrics", __doc__).parse_args(arguments)
    return check(Change(options.base, options.head))


def check(change: Change) -> int:
    """Print each metric that breaks its rule.

    Returns:
        The status: 1 if there is any.
    """
    if change.nothing_to_compare:
        say(change.nothing_to_compare)
        return 0
    if change.fresh_start:
        say(f"check-metrics: {change.fresh_start}: nothing to judge by")
        return 0
    base, head = change.base, change.head
    if rules_have_changed(base, head):
        say(f"check-metrics: {RULES_FILE} has changed; judged by that of {base.name}")
    broken = [metric for metric in change.metrics if metric.breaks_rule]
    for metric in broken:
        say(f"check-metrics: {metric.file}: {metric.name}: {metric.verdict}")
    if broken:
        say(
            f"check-metrics: the tolerances stand in {RULES_FILE}; a change of them counts from the"
            " next commit on"
        )
        return 1
    judged = counted(sum(metric.rule is not None for metric in change.metrics), "metric")
    say(f"check-metrics: {judged} of {head.name} against {base.name}: none too much worse")
    return 0
