"""Run one command: `python -m commands NAME …`; `--help` behind a name tells its options."""

import os
import sys
from importlib import import_module
from pathlib import Path

from workflow.core import environment
from workflow.core.errors import end_on_signals, in_one_line

INTERRUPTED = 130  # as a shell has it


def main() -> int:
    """Run the command that is named first, and return its status.

    Its module, `commands/NAME.py`, has a function `main`, which takes the other arguments and
    returns the status. Nothing of it is imported before the environment is set.
    """
    environment.apply()
    end_on_signals()
    folder = Path(__file__).parent
    names = sorted(path.stem.replace("_", "-") for path in folder.glob("[a-z]*.py"))
    name, *arguments = sys.argv[1:] or ["--help"]
    if name not in names:
        asked = name in ("-h", "--help")
        print(f"python -m commands NAME …, where NAME is one of: {', '.join(names)}")
        return 0 if asked else 2
    try:
        status: int = import_module(f"commands.{name.replace('-', '_')}").main(arguments)
    except BrokenPipeError:
        # Whoever read has read enough, such as `head`; Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt as interrupt:
        if str(interrupt):
            print(f"{name}: {interrupt}", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        print(f"{name}: {in_one_line(error)}", file=sys.stderr)
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
