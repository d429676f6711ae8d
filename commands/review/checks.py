"""What CI asks of a change, as far as it can be told without running anything."""

import re
from dataclasses import dataclass

from commands.review.change import Change
from commands.review.reproduction import last_result
from commands.review.revisions import Revision, changed_files, is_clean, resolve
from commands.review.rules import RULES_FILE, rules_have_changed
from commands.review.stages import stage_changes
from commands.review.wording import listed

# What a review is made by, or could be: make and Python look for files of theirs in the root first.
# comment.yml tells reviewers of the same, without this code.
CHECKING = (
    r"^(\.(github|dvc|venv)/|commands/|requirements/|workflow/(core|data|figures)/|workflow/[^/]+$"
    r"|([^/]+/)?targets\.mk$|\.?[^/.]+$|\.[^/]+$"
    r"|[^/]+\.(py[a-z]?|so|toml|cfg|ini|mk)$|[^/]+/__init__\.)"
)


@dataclass(frozen=True)
class Check:
    """One thing that CI asks of a change.

    Attributes:
        name: of the check.
        passed: None where it was not made.
        lines: what is wrong, or why it was not made.
        of_results: whether the results are those of code and params only if it passes.
    """

    name: str
    passed: bool | None
    lines: list[str]
    of_results: bool = False


def checks(change: Change) -> list[Check]:
    """Make all checks that can be made."""
    base, head = change.base, change.head
    tip, clean = resolve("HEAD").commit, is_clean()
    made = [_lock(change, tip, clean)]
    mismatched = change.mismatched_results
    made.append(
        Check("Results in Git are those of dvc.lock", not mismatched, mismatched, of_results=True)
    )
    contradicting = [
        f"{m.file}: {m.name}: {said}" for m in change.metrics for said in m.contradictions
    ]
    contradicting += [change.relabelled] if change.relabelled else []
    made.append(
        Check(
            "Metrics are those of the predictions",
            not contradicting,
            contradicting,
            # Those of the base are in doubt, too, but are not what the change claims.
            of_results=bool(change.relabelled) or any(": head " in line for line in contradicting),
        )
    )
    unexplained = _unexplained(base, head)
    name = "The same inputs give the same results"
    made.append(Check(name, not unexplained, unexplained, of_results=True))
    made.append(_reproduction(change, tip, clean))
    broken = [f"{m.file}: {m.name}: {m.verdict}" for m in change.metrics if m.breaks_rule]
    name = f"No metric worse than {RULES_FILE} allows"
    if change.fresh_start:
        made.append(Check(name, None, [change.fresh_start]))
    else:
        made.append(Check(name, not broken, broken))
    if rules_have_changed(base, head) and not change.fresh_start:
        why = f"it has changed; the metrics are judged by that of {base.name}"
        made.append(Check(f"{RULES_FILE} as in the base", False, [why]))
    checking = [name for name in changed_files(base, head) if re.search(CHECKING, name)]
    if checking:
        why = (
            f"it changes {listed(checking)}, so that this report is the work of its own code: read"
            " those files first"
        )
        made.append(Check("The change leaves alone what checks it", None, [why]))
    return made


def _unexplained(base: Revision, head: Revision) -> list[str]:
    """Results that differ although nothing does that they are made from, one line a stage."""
    return [
        f"stage {stage.name}: {listed(stage.outs)} of {base.name} and of {head.name} differ, from"
        " the same command, deps and params: one of the two is not what they give"
        for stage in stage_changes(base, head)
        if stage.outs and not stage.reasons
    ]


def _lock(change: Change, tip: str | None, clean: bool) -> Check:
    name, head = "dvc.lock fits code and params", change.head
    if head.commit is not None and not (clean and head.commit == tip):
        why = f"only the workspace can be asked: check out {head.name}"
        return Check(name, None, [why])
    problems = list(map(str, change.inconsistencies))
    return Check(name, not problems, problems, of_results=True)


def _reproduction(change: Change, tip: str | None, clean: bool) -> Check:
    name, head = "Reproduced byte for byte on a clean copy", change.head
    result = last_result()
    if result is None or result.commit != (head.commit or tip) or not (head.commit or clean):
        return Check(name, None, ["run `make reproduce` once all is committed"])
    if not change.changed_stages_of_others <= {*result.others}:
        why = "another dvc.yaml has a changed dvc.lock: run `make reproduce ALL=1`"
        return Check(name, None, [why])
    if not (result.every_stage_ran or result.problems):
        why = (
            "equal to what DVC's run cache holds, which need not come from a run:"
            " `make reproduce` runs every stage"
        )
        return Check(name, None, [why])
    return Check(name, not result.problems, result.problems, of_results=True)
