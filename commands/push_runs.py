"""Push what the runs of DVC's run cache have made: with the same params, nobody runs it again."""

import argparse

from commands.review import dvc
from workflow.core.errors import UserError, first_line
from workflow.core.progress import counted, say


def main(arguments: list[str]) -> int:
    """Push, and say how much.

    Raises:
        UserError: DVC has no storage, or not all could be written to it.
    """
    parser = argparse.ArgumentParser(prog="python -m commands push-runs", description=__doc__)
    parser.parse_args(arguments)
    try:
        runs, pushed, failed = dvc.push_runs()
    except UserError:
        raise
    except Exception as error:  # each kind of storage has a library, with exceptions of its own
        raise UserError(
            f"the storage cannot be used ({first_line(error)}): check its address and the"
            " credentials in the environment"
        ) from None
    if failed:
        raise UserError(
            f"{counted(failed, 'file')} could not be written to the storage: mend it, and run the"
            " same again"
        )
    say(f"push-runs: {counted(pushed, 'new file')} of {counted(runs, 'run')}")
    return 0
