"""Run the pipeline on a clean copy of a commit; fail unless every output comes out as committed.

    python -m commands.reproduce [--head REV] [--base REV] [--all-pipelines] [--no-run-cache]

The pipeline of the root is run; each other dvc.yaml, which takes minutes, if its dvc.lock is
another than in the base.
"""

import argparse
from pathlib import Path

from commands.main import run_command
from commands.reproduction import Reproduction, others_have_changed, reproduce
from commands.revisions import Revision, git, resolve, resolve_base
from workflow.errors import UserError
from workflow.files import write_json, written_whole
from workflow.progress import say

# Read by `commands.review`, which shows it if it speaks of the same commit.
RESULT = Path("review/reproduction.json")


def main() -> int:
    """Reproduce, write the result for the review, and print each output that differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--head", default="HEAD", metavar="REV", help="the commit (default: HEAD)")
    parser.add_argument("--base", metavar="REV", help="as of `commands.review`")
    parser.add_argument(
        "--all-pipelines", action="store_true", help="run every dvc.yaml in any case"
    )
    parser.add_argument(
        "--no-run-cache", action="store_true", help="run each stage, known inputs or not"
    )
    arguments = parser.parse_args()
    head = resolve(arguments.head)
    if head.commit is None:
        raise UserError("the workspace is no commit: commit first, or run `dvc repro`")
    all_pipelines = arguments.all_pipelines or _others_have_changed(arguments.base or None, head)
    if arguments.head == "HEAD" and git("status", "--porcelain"):
        say(f"reproduce: {head.name} alone: what has not been committed is not in it")
    RESULT.unlink(missing_ok=True)  # what an earlier run found may be true no more
    try:
        result = reproduce(head, all_pipelines, not arguments.no_run_cache)
    except UserError as error:
        failed = Reproduction(
            commit=str(head.commit), all_pipelines=all_pipelines, failure=str(error)
        )
        _write(failed)
        raise
    _write(result)
    for problem in result.problems:
        say(f"reproduce: {problem}")
    if result.problems:
        say("reproduce: run `dvc repro --all-pipelines` and commit what it changes")
        return 1
    say(f"reproduce: dvc.lock and all {result.outputs} outputs of {head.name}, byte for byte")
    if not arguments.no_run_cache:
        say(
            "reproduce: a stage that has run before on the same inputs came from the run cache;"
            " `make reproduce FRESH=1` runs each"
        )
    return 0


def _write(result: Reproduction) -> None:
    with written_whole(RESULT) as partial:
        write_json(partial, result.model_dump())


def _others_have_changed(base: str | None, head: Revision) -> bool:
    """Whether the lock of another pipeline has changed; not if there is nothing before the head."""
    try:
        before, _ = resolve_base(base, head)
    except UserError:
        if base:
            raise
        return False
    return others_have_changed(before, head)


if __name__ == "__main__":
    run_command("reproduce", main)
