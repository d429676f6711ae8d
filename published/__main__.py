"""Check `published/params.yaml` before DVC reads it: `python -m published`."""

import sys

from published.params import load_published
from workflow.core.errors import UserError
from workflow.core.params import load_params


def main() -> None:
    """Leave with status 1 and one line unless the file is valid and fits `params.yaml`."""
    try:
        load_published(load_params())
    except UserError as error:
        sys.exit(f"published: {error}")


if __name__ == "__main__":
    main()
