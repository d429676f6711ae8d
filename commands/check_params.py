"""Validate `params.yaml` before DVC reads it.

DVC takes a recipe that is not there for a missing param and cannot say which ones there are.
"""

from commands.main import run_command
from workflow.params import load_params


def check_params() -> int:
    """Leave with status 1 and one line unless the params are valid."""
    load_params()
    return 0


if __name__ == "__main__":
    run_command("check-params", check_params)
