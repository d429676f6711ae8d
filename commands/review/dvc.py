"""All that DVC is asked.

Questions go to its modules, in this process, which spares each the second that DVC takes to start.
What runs stages or draws goes through its commands.
"""

import json
import logging
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands.review.programs import environment, output_of
from workflow.core import paths
from workflow.core.errors import UserError

# DVC's name for the files as they lie there, committed or not.
WORKSPACE = "workspace"
_DVC = (sys.executable, "-m", "dvc")
# DVC goes on, with status 0, where a plot cannot be read.
_CANNOT_READ = "failed to load"


@dataclass(frozen=True)
class DeclaredStage:
    """A stage that has a command, as a `dvc.yaml` of the workspace declares it.

    Attributes:
        items: what it reads and writes, such as `dep data/raw` or `param seed of params.yaml`.
        frozen: whether DVC never runs it, whatever has changed.
    """

    items: frozenset[str]
    frozen: bool


def repro_command(target: str = "", *options: str) -> str:
    """The command that runs a stage, given its address, or a pipeline, given its `dvc.yaml`."""
    # The pipeline of the root needs no name.
    targets = [] if target in ("", str(paths.PIPELINE)) else [target]
    return shlex.join(["dvc", "repro", *options, *targets])


def output(*arguments: str, folder: Path = Path()) -> bytes:
    """Standard output of a DVC command.

    Raises:
        UserError: DVC fails; the message is what it says.
    """
    return output_of([*_DVC, *arguments], folder, failure=_CANNOT_READ)


def shown(*arguments: str, folder: Path = Path(), variables: dict[str, str] | None = None) -> bool:
    """Run a DVC command whose output is for the person who waits; whether it succeeds.

    Args:
        arguments: of DVC.
        folder: where to run it.
        variables: the whole environment, if it is not to be that of this process.
    """
    env = environment() if variables is None else variables
    done = subprocess.run([*_DVC, *arguments], cwd=folder, env=env, check=False)
    return done.returncode == 0


@contextmanager
def _repository(folder: Path = Path()) -> Iterator[Any]:
    """The repository of a folder; where DVC fails, one line says why."""
    # Importing DVC takes half a second, and some commands do without.
    from dvc.exceptions import DvcException  # type: ignore[import-untyped]
    from dvc.logger import set_loggers_level  # type: ignore[import-untyped]
    from dvc.repo import Repo  # type: ignore[import-untyped]

    try:
        with set_loggers_level(logging.CRITICAL), Repo(str(folder)) as repository:
            yield repository
    except DvcException as error:
        raise UserError(f"DVC: {' '.join(str(error).split())}") from None


def declared_deps(folder: Path) -> set[str]:
    """What the stages of a repository read: data, code and files of params, seen from its root.

    Raises:
        UserError: a `dvc.yaml` is no pipeline.
    """
    with _repository(folder) as repository:
        return {
            Path(os.path.relpath(dep.fs_path, repository.root_dir)).as_posix()
            for stage in repository.index.stages
            for dep in stage.deps
        }


def cache_folder() -> Path:
    """Where DVC keeps its cache."""
    with _repository() as repository:
        return Path(repository.cache.local_cache_dir)


def push_runs() -> tuple[int, int, int]:
    """Push every run of the run cache with all its outputs; how many runs, new files and failures.

    `dvc push --run-cache` pushes the records of all runs, yet outputs of the workspace alone, and
    of those none that Git has (`cache: false`). DVC keeps these, too, and takes a run from the run
    cache only if it has them all.
    """
    from dvc.exceptions import CollectCacheError

    with _repository() as repository, repository.lock:
        runs = repository.stage_cache.push(None)
        outputs = set()
        for run in runs:
            with suppress(CollectCacheError):  # `dvc gc` has deleted what it made
                outputs |= set().union(*repository.stage_cache.get_used_objs([run]).values())
        pushed = repository.cloud.push(outputs)
    return len(runs), len(pushed.transferred), len(pushed.failed)


def workspace_state() -> tuple[dict[str, Any], dict[str, DeclaredStage]]:
    """What `dvc status` finds changed, and what is declared; both by the address of the stage.

    Raises:
        UserError: a `dvc.yaml` is no pipeline.
    """
    from dvc.dependency.param import ParamsDependency  # type: ignore[import-untyped]

    declared = {}
    with _repository() as repository:
        # What `dvc add` and `dvc import` keep, in files of their own, has no command.
        for stage in (stage for stage in repository.index.stages if stage.cmd):
            items = {f"out {os.path.relpath(out.fs_path)}" for out in stage.outs}
            for dep in stage.deps:
                if isinstance(dep, ParamsDependency):
                    # Without keys, all those of the file that were there when the stage ran.
                    keys = dep.params or dep.hash_info.value or ()
                    items |= {f"param {key} of {dep.def_path}" for key in keys}
                else:
                    items.add(f"dep {os.path.relpath(dep.fs_path)}")
            declared[stage.addressing] = DeclaredStage(frozenset(items), stage.frozen)
        return repository.status(), declared


def wrong_sizes() -> Iterator[tuple[str, str, str]]:
    """What has the hash that `dvc.lock` records, and not the size or number of files.

    Yields:
        The address of the stage, the path of what it read or wrote, and what is wrong, in words.
    """
    from dvc.dependency.param import ParamsDependency

    with _repository() as repository:
        for stage in repository.index.stages:
            for item in [*stage.deps, *stage.outs]:
                recorded = item.meta
                if isinstance(item, ParamsDependency) or recorded is None or not item.exists:
                    continue
                found = item.get_meta()
                names = [
                    f"{name}: {getattr(recorded, name)} instead of {getattr(found, name)}"
                    for name in ("size", "nfiles")
                    if getattr(recorded, name) not in (None, getattr(found, name))
                ]
                if names and item.get_hash() == item.hash_info:
                    yield stage.addressing, os.path.relpath(item.fs_path), " and ".join(names)


def run_hash(entry: Any) -> str:
    """The name by which DVC's run cache keeps what a stage gave once."""
    from dvc.utils import dict_sha256  # type: ignore[import-untyped]

    return str(dict_sha256(entry, exclude=["size", "nfiles"]))


def difference(what: str, base: str, head: str, **options: bool) -> dict[str, Any]:
    """The `metrics` or `params` of two revisions: file, then key, then `old` and `new`.

    Args:
        what: either of the two.
        base: the name of a revision.
        head: likewise.
        options: such as `all`, for what has not changed, too.

    Raises:
        UserError: DVC cannot read one of the files.
    """
    with _repository() as repository:
        found = getattr(repository, what).diff(base, head, **options)
    if errors := found.get("errors"):
        raise UserError(
            f"DVC cannot read the {what} of {' and '.join(errors)}: see `dvc {what} show`"
        )
    return dict(found.get("diff", {}))


def plots_difference(base: str, head: str, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """What `dvc plots diff` gives for each plot; pictures are put into a folder.

    Raises:
        UserError: DVC cannot read one of them.
    """
    # Here the workspace is meant by naming no second revision.
    revisions = [base, *([] if head == WORKSPACE else [head])]
    found = json.loads(output("plots", "diff", "--json", "-o", str(folder), *revisions) or "{}")
    return dict(found.get("data", {}))
