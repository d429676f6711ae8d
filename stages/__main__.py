"""Run one stage, as dvc.yaml does: `python -m stages NAME`.

A stage of another folder's pipeline is FOLDER.NAME; of a matrix, DVC tells which one to run.
"""

import argparse
import os
import sys

from workflow.core.errors import end_on_signals


def main() -> None:
    """Read the command line."""
    end_on_signals()
    parser = argparse.ArgumentParser(prog="python -m stages", description=__doc__)
    parser.add_argument("stage", metavar="NAME", help="of a stage in dvc.yaml, such as train")
    # DVC calls the stages of a matrix NAME@ITEM.
    item = os.environ.get("DVC_STAGE", "").partition("@")[2]
    stage = parser.parse_args().stage
    try:
        # Here, since it takes a tenth of a second, in which a signal may come as well.
        from workflow.core.stage import run_stage

        run_stage(stage, item)
    except KeyboardInterrupt as interrupt:
        ended = str(interrupt) or "interrupted"
        sys.exit(f"{stage}: {ended} before it began; nothing was written: run it again")


if __name__ == "__main__":
    main()
