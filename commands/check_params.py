"""Validate the params and the `dvc.lock` of both pipelines before DVC reads them.

DVC takes a recipe that is not there for a missing param and cannot say which ones there are,
without `published/params.yaml` it runs no pipeline at all, and where an interrupt has left it an
empty `dvc.lock` it names no way back.
"""

from commands.main import run_command
from workflow.lockfile import LOCK_FILE, read_lock
from workflow.params import load_params
from workflow.published_params import PUBLISHED_FILE, load_published


def check_params() -> int:
    """Leave with status 1 and one line unless the files are valid."""
    params = load_params()
    for lock in (LOCK_FILE, PUBLISHED_FILE.with_name(LOCK_FILE.name)):
        if lock.exists():
            read_lock(lock)
    if PUBLISHED_FILE.with_name("dvc.yaml").exists():
        load_published(params)
    return 0


if __name__ == "__main__":
    run_command("check-params", check_params)
