"""Review a change: what changed, is it real, was it reproduced. No network is needed.

Writes `review/report.md`, for a pull request, and `review/index.html`, one page that holds
everything it needs; beside them each chart as a PNG.
"""

from pathlib import Path

from commands.review.change import Change, change_parser
from commands.review.rendering import MARKDOWN, PAGE, remove_reports, write_reports
from commands.review.report import review
from workflow.core.progress import say

FOLDER = Path("review")


def main(arguments: list[str]) -> int:
    """Read the command line and review."""
    options = change_parser("write-review", __doc__).parse_args(arguments)
    return write(Change(options.base, options.head))


def write(change: Change) -> int:
    """Write the review of a change, and print its verdict.

    Returns:
        The status, 0: a review judges nothing.

    Raises:
        UserError: the params are not valid, or a result is missing or cannot be read.
    """
    remove_reports(FOLDER)  # an earlier one is of another change, perhaps
    if change.nothing_to_compare:
        say(change.nothing_to_compare)
        return 0
    base, reason = change.base_with_reason
    say(f"review: {change.head.name} against {base.name} ({reason})")
    found = review(change)
    write_reports(found, FOLDER)
    say(f"review: {found.headline}")
    for check in found.checks:
        for line in check.lines if check.passed is False else []:
            say(f"review: failed: {check.name}: {line}")
    say(f"review: {FOLDER / MARKDOWN} and {(FOLDER / PAGE).resolve().as_uri()}")
    return 0
