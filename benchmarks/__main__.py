"""Measure the pipeline beside the tutorials' script: `make bench`.

Prints the tables and writes them, with pictures, into `benchmarks/`.
"""

import argparse
import sys

from benchmarks import cores, growth, page, speed
from benchmarks.running import RAW
from workflow.core.errors import UserError


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of each side (default 5)")
    parser.add_argument(
        "--only", choices=("speed", "cores", "growth"), help="measure one of them (default: all)"
    )
    arguments = parser.parse_args()
    if not RAW.is_dir():
        sys.exit("bench: data/raw is missing: run `dvc repro download` first")
    try:
        for name, subject in (("speed", speed), ("cores", cores)):
            if arguments.only in (None, name):
                samples = subject.measure(arguments.rounds)
                page.write(name, subject.table(samples, arguments.rounds), subject.picture(samples))
        if arguments.only in (None, "growth"):
            grown = growth.measure()
            page.write("growth", growth.table(grown), growth.picture(grown))
    except UserError as error:
        sys.exit(f"bench: {error}")


if __name__ == "__main__":
    main()
