"""Run the pipeline on a clean copy of a commit; fail unless every output comes out as committed.

The pipeline of the root is run; of each other dvc.yaml, which takes minutes to hours, the stages
that dvc.lock of the base records otherwise. Nothing comes from a cache: what `dvc commit` has put
there, nobody need have computed.
"""

import argparse
from collections.abc import Collection

from commands.review.change import Change, change_parser
from commands.review.reproduction import (
    RESULT,
    Reproduction,
    reproduce,
    stages_of_others,
    write_result,
)
from commands.review.revisions import Revision, git, resolve
from workflow.core.errors import UserError
from workflow.core.progress import say


def main(arguments: list[str]) -> int:
    """Read the command line and reproduce."""
    parser = change_parser("reproduce", __doc__, head="HEAD")
    add_options(parser)
    options = parser.parse_args(arguments)
    change = Change(options.base, options.head)
    return check(change, options.all_pipelines, options.run_cache)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how much is run."""
    parser.add_argument(
        "--all-pipelines", action="store_true", help="run every stage of every dvc.yaml"
    )
    parser.add_argument(
        "--run-cache",
        action="store_true",
        help="believe DVC's run cache where it knows a stage's inputs: quick, and no proof",
    )


def check(change: Change, all_pipelines: bool, run_cache: bool) -> int:
    """Reproduce the head, keep the result for the review, and print each output that differs.

    Returns:
        The status: 1 if there is any.

    Raises:
        UserError: the head is no commit, or the pipeline fails.
    """
    head = change.head
    if head.commit is None:
        raise UserError("the workspace is no commit: commit first, or run `dvc repro`")
    everywhere = stages_of_others(head)
    others = everywhere if all_pipelines else change.changed_stages_of_others
    if others < everywhere:
        say(
            f"reproduce: stages of other pipelines that are recorded as in the base are not run"
            f" ({len(everywhere - others)}): ALL=1 runs them"
        )
    if head.commit == resolve("HEAD").commit and git("status", "--porcelain"):
        say(f"reproduce: {head.name} alone: what has not been committed is not in it")
    RESULT.unlink(missing_ok=True)  # what an earlier run found may no longer be true
    try:
        result = _reproduced_from_cache(head, others) if run_cache else None
        if result is None:
            result = reproduce(head, others)
    except UserError as error:
        write_result(
            Reproduction(
                commit=head.commit,
                others=sorted(others),
                every_stage_ran=True,
                failure=str(error),
            )
        )
        raise
    write_result(result)
    for problem in result.problems:
        say(f"reproduce: {problem}")
    if result.problems:
        say("reproduce: run `dvc repro --all-pipelines --no-run-cache` and commit what it changes")
        return 1
    say(f"reproduce: dvc.lock and all {result.outputs} outputs of {head.name}, byte for byte")
    if not result.every_stage_ran:
        say(
            "reproduce: this vouches for nothing: stages with known inputs came from the run cache,"
            " which whoever can write it can forge; `make reproduce` runs each"
        )
    elif run_cache:
        say("reproduce: every stage ran; DVC's run cache is wrong: delete .dvc/cache/runs")
    return 0


def _reproduced_from_cache(head: Revision, others: Collection[str]) -> Reproduction | None:
    """What the run cache gives, if that is what is committed; only a run can tell who is wrong."""
    try:
        result = reproduce(head, others, run_cache=True)
        if not result.problems:
            return result
        say("reproduce: the run cache has other results; running every stage, to tell whose")
    except UserError as error:
        say(f"reproduce: from the cache, {error}; running every stage, to tell why")
    return None
