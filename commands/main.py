"""How a command ends: with its status, or with one clear line and status 1."""

import os
import sys
from collections.abc import Callable

from workflow.errors import UserError


def run_command(name: str, work: Callable[[], int]) -> None:
    """Run a command and leave the process with the status that it returns.

    An interrupt leaves with status 130, as a shell has it.

    Args:
        name: stands before an error message.
        work: the command.
    """
    try:
        status = work()
    except UserError as error:
        print(f"{name}: {error}", file=sys.stderr)
        status = 1
    except BrokenPipeError:
        # Whoever read has read enough, such as `head`; Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        print(f"{name}: {reason}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)
