"""All that CI asks of a change: check-lock, reproduce, check-metrics, and the review.

Each is made even if another fails. What several of them need is found out once.
"""

import sys
from collections.abc import Callable

from commands import check_lock, check_metrics, reproduce, write_review
from commands.review.change import Change, change_parser
from commands.review.dvc import WORKSPACE
from workflow.core.errors import in_one_line


def main(arguments: list[str]) -> int:
    """Make all of them.

    Returns:
        The status: 1 if one fails.
    """
    parser = change_parser("ci", __doc__)
    reproduce.add_options(parser)
    options = parser.parse_args(arguments)
    change = Change(options.base, options.head)
    commit = Change(options.base, "HEAD")
    workspace = change if change.head.commit is None else Change(None, WORKSPACE)
    steps: dict[str, Callable[[], int]] = {
        "check-lock": lambda: check_lock.check(workspace),
        "reproduce": lambda: reproduce.check(commit, options.all_pipelines, options.run_cache),
        "check-metrics": lambda: check_metrics.check(change),
        "write-review": lambda: write_review.write(change),
    }
    status = 0
    for name, step in steps.items():
        try:
            status |= step()
        except Exception as error:
            print(f"{name}: {in_one_line(error)}", file=sys.stderr)
            status = 1
    return status
