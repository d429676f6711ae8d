"""Check `frontier/params.yaml` before DVC reads it: `python -m frontier`.

With `time`, measure what training costs on this machine, into frontier/times.json.
"""

import argparse
import sys

from frontier.params import load_frontier
from workflow.core.errors import UserError
from workflow.core.params import load_params


def main() -> None:
    """Leave with status 1 and one line unless all is well."""
    parser = argparse.ArgumentParser(prog="python -m frontier", description=__doc__)
    parser.add_argument("task", nargs="?", choices=["check", "time"], default="check")
    parser.add_argument("--rounds", type=int, default=3, help="how often each recipe is timed")
    options = parser.parse_args()
    try:
        frontier = load_frontier(load_params())
        if options.task == "time":
            from frontier.times import measure  # it starts processes of their own

            measure(frontier.recipes, options.rounds)
    except UserError as error:
        sys.exit(f"frontier: {error}")


if __name__ == "__main__":
    main()
