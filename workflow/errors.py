"""What is meant for the person at the terminal when something ends early."""

import sys
from typing import Any


class UserError(Exception):
    """Something the user can put right: bad params, files, pictures or networks.

    The message is one line that says what is wrong, where, and what to do.
    """


def leave_without_traceback_when_interrupted() -> None:
    """Say so in one word where nothing else catches an interrupt, as while modules are imported."""
    otherwise = sys.excepthook

    def report(kind: Any, error: Any, trace: Any) -> None:
        if issubclass(kind, KeyboardInterrupt):
            print("interrupted", file=sys.stderr)
        else:
            otherwise(kind, error, trace)

    sys.excepthook = report
