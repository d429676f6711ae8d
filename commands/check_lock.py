"""Check that `dvc.lock` fits this code, these params and these results; needs no data."""

import argparse

from commands.review import dvc
from commands.review.change import Change
from commands.review.consistency import Inconsistency
from workflow.core import paths
from workflow.core.progress import counted, say


def main(arguments: list[str]) -> int:
    """Read the command line and check."""
    parser = argparse.ArgumentParser(prog="python -m commands check-lock", description=__doc__)
    parser.add_argument(
        "--outlook",
        action="store_true",
        help="only say, in one line, which other dvc.yaml is out of date; status 0",
    )
    change = Change(None, dvc.WORKSPACE)
    return outlook(change) if parser.parse_args(arguments).outlook else check(change)


def outlook(change: Change) -> int:
    """Say what `make ci` would say of each pipeline that `dvc repro` at the root does not run.

    Returns:
        The status, 0.
    """
    stale: dict[str, list[Inconsistency]] = {}
    for found in change.inconsistencies:
        for pipeline in sorted(found.pipelines - {str(paths.PIPELINE)}):
            stale.setdefault(pipeline, []).append(found)
    if not stale:
        return 0
    commands = " and ".join(f"`{dvc.repro_command(pipeline)}`" for pipeline in stale)
    reasons = [found for several in stale.values() for found in several]
    many = len(stale) > 1
    line = (
        f"{' and '.join(stale)} {'are' if many else 'is'} out of date ({reasons[0].what}):"
        f" {commands} {'bring them' if many else 'brings it'} up"
    )
    recipes = [found.param for found in reasons if (found.param or "").startswith("recipes.")]
    if recipes:
        line += f"; or leave {recipes[0]} as it was, and add a recipe of your own"
    say(f"make ci would fail: {line}")
    return 0


def check(change: Change) -> int:
    """Print each thing that does not fit, of a change whose head is the workspace.

    Returns:
        The status: 1 if there is any.
    """
    problems = [*map(str, change.inconsistencies), *change.mismatched_results]
    for problem in problems:
        say(f"check-lock: {problem}")
    if problems:
        say("check-lock: run `dvc repro --all-pipelines` and commit what it changes")
        for found in change.inconsistencies:
            others = sorted(found.pipelines - {str(paths.PIPELINE)})
            if others and (found.param or "").startswith("recipes."):
                say(
                    f"check-lock: {' and '.join(others)} also needs {found.param}: to keep those"
                    " results, leave that recipe as it was and add one of your own"
                )
        return 1
    stages = counted(len(change.head.lock), "stage")
    say(f"check-lock: dvc.lock fits code, params and results of {stages}")
    return 0
