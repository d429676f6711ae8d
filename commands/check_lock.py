"""Check that `dvc.lock` speaks of this code, these params and these results; needs no data.

python -m commands.check_lock
"""

from commands.main import run_command
from commands.reproduction import forged_outputs, stale_stages
from commands.revisions import WORKSPACE, resolve
from workflow.progress import say


def check_lock() -> int:
    """Print each thing that does not fit; 1 if there is any."""
    workspace = resolve(WORKSPACE)
    problems = [*stale_stages(workspace), *forged_outputs(workspace)]
    for problem in problems:
        say(f"check-lock: {problem}")
    if problems:
        say("check-lock: run `dvc repro --all-pipelines` and commit what it changes")
        if any("published/dvc.yaml" in line and "param recipes." in line for line in problems):
            say("check-lock: or leave the recipes of published/ alone, and add one of your own")
        return 1
    say(f"check-lock: dvc.lock fits code, params and results of {len(workspace.lock)} stages")
    return 0


if __name__ == "__main__":
    run_command("check-lock", check_lock)
