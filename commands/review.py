"""Review a change: what changed, is it real, was it reproduced. Two files, no network.

    python -m commands.review [--base REV] [--head REV]

Writes `review/report.md`, for a pull request, and `review/index.html`, one page that holds
everything it needs; beside them each chart as a PNG.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from commands.accuracy_change import accuracy_change
from commands.main import run_command
from commands.metric_changes import (
    RULES_FILE,
    MetricChange,
    load_rules,
    metric_changes,
    rules_have_changed,
)
from commands.plots import compare_plots, confusion_difference
from commands.prediction_changes import (
    PREDICTIONS,
    compare_predictions,
    computed_intervals,
    read_predictions,
)
from commands.report import (
    REPORTS,
    Check,
    ParamChange,
    Review,
    StageChange,
    write_reports,
)
from commands.reproduce import RESULT
from commands.reproduction import (
    Reproduction,
    changed_outs,
    forged_outputs,
    others_have_changed,
    stage_changes,
    stale_stages,
)
from commands.revisions import (
    Revision,
    dvc_json,
    dvc_range,
    git,
    metrics_difference,
    missing_results_named,
    require_results,
    resolve,
    revision_arguments,
)
from workflow.params import PARAMS_FILE, load_params
from workflow.progress import say

FOLDER = Path("review")


def main() -> int:
    """Gather, write, and print the verdict."""
    base, head, reason = revision_arguments(__doc__)
    say(f"review: {head.name} against {base.name} ({reason})")
    for name in REPORTS:  # what stands there is of another change, should this one fail
        (FOLDER / name).unlink(missing_ok=True)
    review = gather(base, head, reason)
    write_reports(review, FOLDER)
    say(f"review: {review.accuracy.headline}")
    for check in review.checks:
        for line in check.lines if check.passed is False else []:
            say(f"review: failed: {check.name}: {line}")
    say(f"review: {FOLDER}/report.md and {(FOLDER / 'index.html').resolve().as_uri()}")
    return 0


def gather(base: Revision, head: Revision, base_reason: str) -> Review:
    """Read everything that the reports show.

    Raises:
        UserError: the params are not valid, or a result cannot be read or is missing.
    """
    if head.commit is None:
        load_params()
    require_results(head)
    old, new = read_predictions(base), read_predictions(head)
    predictions = compare_predictions(old, new, base, head) if old and new else None
    difference = new.accuracy - old.accuracy if old and new else None
    metrics = metric_changes(
        metrics_difference(base, head),
        load_rules(base, head),
        computed_intervals(predictions) if predictions else {},
    )
    with missing_results_named(base):
        plots = compare_plots(base, head)
    charts = dict(plots.charts)
    if predictions is not None:
        charts[f"{PREDICTIONS}: difference"] = confusion_difference(
            predictions.head_confusion - predictions.base_confusion, predictions.class_names
        )
    return Review(
        base,
        head,
        base_reason,
        _place(head),
        _checks(base, head, metrics),
        accuracy_change(base, head, difference, predictions.test if predictions else None),
        [
            ParamChange(
                name if file == str(PARAMS_FILE) else f"{file}: {name}",
                _text(values, "old"),
                _text(values, "new"),
            )
            for file, params in _params_first(dvc_json("params", "diff", *dvc_range(base, head)))
            for name, values in sorted(params.items())
        ],
        metrics,
        predictions,
        _stages(base, head),
        plots,
        charts,
    )


def _params_first(files: dict[str, Any]) -> list[tuple[str, Any]]:
    """By name, but `params.yaml` before others; DVC's order is another each time."""
    return sorted(files.items(), key=lambda item: (item[0] != str(PARAMS_FILE), item[0]))


def _checks(base: Revision, head: Revision, metrics: list[MetricChange]) -> list[Check]:
    """What CI asks of a change, as far as it can be told here."""
    checks = []
    clean, tip = _is_clean(), resolve("HEAD").commit
    if head.commit is None or (clean and head.commit == tip):
        stale = stale_stages(head)
        checks.append(Check("dvc.lock fits code and params", not stale, stale, vouches=True))
    else:
        why = f"only the workspace can be asked: check out {head.name}"
        checks.append(Check("dvc.lock fits code and params", None, [why]))
    forged = forged_outputs(head)
    checks.append(Check("Results in Git are those of dvc.lock", not forged, forged, vouches=True))
    result = _reproduction()
    name = "Reproduced byte for byte on a clean copy"
    if result is None or result.commit != (head.commit or tip) or (not head.commit and not clean):
        checks.append(Check(name, None, ["run `make reproduce` once all is committed"]))
    elif not result.all_pipelines and others_have_changed(base, head):
        why = "a dvc.yaml beside the root's has another dvc.lock: `make reproduce ALL=1` runs it"
        checks.append(Check(name, None, [why]))
    else:
        checks.append(Check(name, not result.problems, result.problems, vouches=True))
    broken = [f"{m.file}: {m.name}: {m.verdict}" for m in metrics if m.breaks_rule]
    checks.append(Check(f"No metric worse than {RULES_FILE} allows", not broken, broken))
    if rules_have_changed(base, head):
        why = f"it has changed; the metrics are judged by that of {base.name}"
        checks.append(Check(f"{RULES_FILE} as in the base", False, [why]))
    return checks


def _is_clean() -> bool:
    """Whether the workspace is the commit that it comes from."""
    return not git("status", "--porcelain", "--untracked-files=no")


def _place(head: Revision) -> str:
    """Which commit the head is, or comes from, in words."""
    if head.commit is not None:
        return f"commit {head.name}, as asked for"
    since = "" if _is_clean() else " and what has changed since"
    return f"the workspace, commit {resolve('HEAD').name}{since}"


def _stages(base: Revision, head: Revision) -> list[StageChange]:
    """What became of each stage; those of one matrix that ran for the same reasons together."""
    outs = changed_outs(base.lock, head.lock)
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name, reasons in stage_changes(base.lock, head.lock).items():
        alike.setdefault((name.partition("@")[0], tuple(reasons)), []).append(name)
    return [
        StageChange(
            names[0] if len(names) == 1 else f"{stem}@… ({len(names)} stages)",
            list(reasons),
            [out for name in names for out in outs.get(name, [])],
        )
        for (stem, reasons), names in alike.items()
    ]


def _reproduction() -> Reproduction | None:
    """What `make reproduce` last found, if it has run and can be read."""
    try:
        return Reproduction.model_validate_json(RESULT.read_bytes())
    except (OSError, ValidationError):
        return None


def _text(values: dict[str, Any], side: str) -> str | None:
    """A param as it stands in YAML's flow style, or None where it does not exist."""
    value = values.get(side)
    if value is None:
        return None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    run_command("review", main)
