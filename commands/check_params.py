"""Validate `params.yaml`, and `published/params.yaml` if asked, before DVC reads them.

DVC takes a recipe that is not there for a missing param and cannot say which ones there are.
"""

import argparse

from commands.main import run_command
from workflow.params import load_params
from workflow.published_params import load_published


def check_params() -> int:
    """Leave with status 1 and one line unless the params are valid."""
    parser = argparse.ArgumentParser(prog="python -m commands.check_params", description=__doc__)
    parser.add_argument("--published", action="store_true", help="published/params.yaml, too")
    arguments = parser.parse_args()
    params = load_params()
    if arguments.published:
        load_published(params)
    return 0


if __name__ == "__main__":
    run_command("check-params", check_params)
