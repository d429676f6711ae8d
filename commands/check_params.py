"""Validate `params.yaml` before DVC reads it.

DVC takes a recipe that is not there for a missing param and cannot say which ones there are.
"""

import sys

from workflow.errors import UserError
from workflow.params import load_params


def main() -> None:
    """Leave with status 1 and one line unless the params are valid."""
    try:
        load_params()
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
