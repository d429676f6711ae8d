"""What every stage is wrapped in, so that it ends in whole outputs or one clear line.

A stage hands its work to `run_stage`, which validates the params, gives it temporary paths
for its outputs, and lets them take their places only when all are written and nothing that
the stage depends on has changed meanwhile.
"""

import ctypes
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow.errors import UserError
from workflow.files import flush, partial_path, remove, take_place
from workflow.params import PARAMS_FILE, Params, load_content, load_params
from workflow.progress import say

_PR_SET_PDEATHSIG = 1
_started = time.time_ns()


def enter() -> None:
    """Begin a stage, before it imports what takes seconds.

    From here on an edit of what the stage depends on is noticed, and the stage ends with DVC.
    """
    global _started
    _started = time.time_ns()
    if any(word.startswith("stages.") for word in sys.orig_argv):
        end_with(os.getppid())


def end_with(parent: int) -> None:
    """Let this process end when its parent does, on Linux.

    Killed, DVC would leave a stage behind, still writing, and a stage its workers.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            sys.exit("the process that started this one ended before it began")


class Outputs:
    """The outputs of a running stage: written beside their places, committed together."""

    def __init__(self) -> None:
        self._pending: dict[Path, Path] = {}

    def path(self, destination: str | Path) -> Path:
        """Where to write what will be `destination` once the stage has ended well."""
        destination = Path(destination)
        destination.parent.mkdir(parents=True, exist_ok=True)
        partial = partial_path(destination)
        remove(partial)
        self._pending[destination] = partial
        return partial

    def folders(self) -> list[str]:
        """Where the outputs that have been asked for will be."""
        return sorted({str(destination.parent) for destination in self._pending})

    def commit(self) -> None:
        """Let every output take its place, when all are safe on the disk."""
        for partial in self._pending.values():
            flush(partial)
        # From here on it is too late for an interrupt, which would leave some new, some old.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for destination, partial in self._pending.items():
            take_place(partial, destination)

    def discard(self) -> None:
        """Delete what has not been committed."""
        for partial in self._pending.values():
            remove(partial)


def run_stage(
    name: str,
    work: Callable[[Params, Outputs], None],
    pipeline: Path = Path("dvc.yaml"),
    variables: Mapping[str, str] | None = None,
) -> None:
    """Run one stage; the process ends with status 1 and one line if something goes wrong.

    Args:
        name: of the stage in `pipeline`.
        work: does it; gets the validated params and the place for its outputs.
        pipeline: the YAML file that declares the stage's deps and params.
        variables: values for `${...}` in the declaration that are no params.
    """
    started = time.perf_counter()
    outputs = Outputs()
    repro = "dvc repro" if pipeline == Path("dvc.yaml") else f"dvc repro {pipeline}"
    try:
        stage = _declaration(name, pipeline)
        before = _snapshot(stage, variables or {})
        work(load_params(), outputs)
        _require_unchanged(before, _snapshot(stage, variables or {}), repro)
        outputs.commit()
    except UserError as error:
        sys.exit(f"{name}: {error}")
    except OSError as error:
        # A full disk tells no name.
        where = error.filename or " or ".join(outputs.folders()) or "."
        sys.exit(f"{name}: {where}: {error.strerror or error}: mend it and run `{repro}` again")
    except KeyboardInterrupt:
        sys.exit(f"{name}: interrupted; nothing was written: run `{repro}` again")
    finally:
        outputs.discard()
    seconds, memory = time.perf_counter() - started, peak_memory()
    say(f"{name}: {seconds:.1f} s, at most {memory:.0f} MB of memory a process")


def peak_memory() -> float:
    """The largest resident set so far of this process or any that it has started, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    own, largest_child = (
        resource.getrusage(who).ru_maxrss * unit / 2**20
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    status = Path("/proc/self/status")
    if status.exists():  # the resource module counts what the parent had when it forked
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        own = int(lines["VmHWM"].split()[0]) / 1024
    return max(own, largest_child)


def _declaration(name: str, pipeline: Path) -> dict[str, Any]:
    """A stage as its pipeline declares it, when it begins: `dvc.yaml` may be edited meanwhile."""
    content = load_content(pipeline)
    stages = content.get("stages") if isinstance(content, dict) else None
    stage = stages.get(name) if isinstance(stages, dict) else None
    if not isinstance(stage, dict):
        raise UserError(f"{pipeline}: no stage {name}: restore it, or run another")
    return stage


def _snapshot(stage: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    """The state of all that a stage declares to depend on."""
    params = load_content(PARAMS_FILE)

    def filled(declared: str) -> str:
        """What is declared, with the values of its variables."""
        return _VARIABLE.sub(lambda match: _variable(match[1], variables, params), declared)

    state: dict[str, Any] = {}
    for path in map(filled, stage.get("deps", [])):
        state[path] = _file_state(Path(path))
    for entry in stage.get("params", []):
        # A key of params.yaml, or a list of keys below the name of another file; none: all of it.
        files = entry if isinstance(entry, dict) else {str(PARAMS_FILE): [entry]}
        for file, keys in files.items():
            content = params if Path(file) == PARAMS_FILE else load_content(Path(file))
            if keys is None:
                state[file] = content
            for key in map(filled, keys or []):
                state[f"{file}: {key}"] = _at(content, key)
    return state


# DVC's `${name}`, whose names may hold dots.
_VARIABLE = re.compile(r"\$\{\s*([\w.-]+)\s*\}")


def _variable(name: str, given: Mapping[str, str], params: Any) -> str:
    """The value of a variable in a declaration: one that is given, or a param, as DVC has it."""
    return given[name] if name in given else str(_at(params, name))


def _at(content: Any, key: str) -> Any:
    """What stands at a key with dots; None if nothing does."""
    for part in key.split("."):
        content = content.get(part) if isinstance(content, dict) else None
    return content


@dataclass(frozen=True)
class _FileState:
    """What tells that a file is no longer the one it was, without reading it.

    Attributes:
        files: path, inode, size and time of change; of a folder, of all its files.
        newest: when the latest of them was last changed or moved, in nanoseconds.
    """

    files: tuple[tuple[str, int, int, int], ...]
    newest: int


def _file_state(path: Path) -> _FileState:
    """The state of a file or folder."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path] if path.exists() else []
    states = [(str(file), file.stat()) for file in files]
    return _FileState(
        tuple((name, state.st_ino, state.st_size, state.st_mtime_ns) for name, state in states),
        max((max(state.st_mtime_ns, state.st_ctime_ns) for _, state in states), default=0),
    )


def _require_unchanged(before: Mapping[str, Any], after: Mapping[str, Any], repro: str) -> None:
    """Raise a UserError if something the stage depends on was edited since it began.

    What was edited before the first look, while modules were imported, is told by its time.
    """
    now = time.time_ns()
    for what, state in before.items():
        # A time to come is that of another clock: a file server's, or an archive's.
        edited_early = isinstance(state, _FileState) and _started < state.newest <= now
        if edited_early or state != after.get(what):
            raise UserError(
                f"{what} changed while the stage ran, so that its result belongs to neither"
                f" version: run `{repro}` again"
            )
