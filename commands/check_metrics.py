"""Fail if a metric has got worse by more than `review.yaml` allows.

python -m commands.check_metrics [--base REV] [--head REV]
"""

from commands.main import run_command
from commands.metric_changes import RULES_FILE, load_rules, metric_changes, rules_have_changed
from commands.revisions import metrics_difference, revision_arguments
from workflow.progress import say


def check_metrics() -> int:
    """Print each metric that breaks its rule; 1 if there is any."""
    base, head, _ = revision_arguments(__doc__)
    changes = metric_changes(metrics_difference(base, head), load_rules(base, head), {})
    if rules_have_changed(base, head):
        say(f"check-metrics: {RULES_FILE} has changed; judged by that of {base.name}")
    broken = [change for change in changes if change.breaks_rule]
    for change in broken:
        say(f"check-metrics: {change.file}: {change.name}: {change.verdict}")
    if broken:
        say(
            f"check-metrics: the tolerances stand in {RULES_FILE}; a change of them counts from the"
            " next commit on"
        )
        return 1
    judged = sum(change.rule is not None for change in changes)
    say(f"check-metrics: {judged} metrics of {head.name} against {base.name}: none too much worse")
    return 0


if __name__ == "__main__":
    run_command("check-metrics", check_metrics)
