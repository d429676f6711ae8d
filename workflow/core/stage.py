"""The life of a stage: it ends in whole outputs, or in one clear line and nothing written.

`python -m stages NAME` comes here. Nothing of the stage is imported before its environment is set
and the state of all that it depends on is noted. Its outputs take their places only when all are
written and nothing that it depends on has changed meanwhile.
"""

import ctypes
import hashlib
import json
import os
import re
import resource
import shlex
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from workflow.core import environment, paths
from workflow.core.errors import UserError, end_on_signals, in_one_line
from workflow.core.files import flush, partial_path, remove, replace
from workflow.core.params import load_params
from workflow.core.progress import say
from workflow.core.yaml import read_yaml

# From here on an edit of what the stage depends on is noticed.
_STARTED = time.time_ns()
_PR_SET_PDEATHSIG = 1


class Outputs:
    """The outputs of a running stage: written beside their places, committed together.

    Attributes:
        kept: what an interrupt leaves for the next run, in words; empty for nothing.
    """

    def __init__(self, identity: Callable[[], dict[str, str]]) -> None:
        self.identity = identity
        self.kept = ""
        self._pending: dict[Path, Path] = {}
        self._temporary: list[Path] = []

    def delete_when_done(self, path: Path) -> None:
        """Delete a file of the stage's own once all outputs are in their places."""
        self._temporary.append(path)

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
        # From here on it is too late for an end, which would leave some new, some old.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        for destination, partial in self._pending.items():
            replace(destination, partial)
        for path in self._temporary:
            remove(path)

    def discard(self) -> None:
        """Delete what has not been committed."""
        for partial in self._pending.values():
            remove(partial)


def run_stage(name: str, item: str = "") -> None:
    """Run one stage; the process ends with status 1 and one line if something goes wrong.

    The module of the stage has a function `run`, which takes the checked params, the place for
    its outputs and, where the stage is one of a matrix, the item.

    Args:
        name: of a stage in `dvc.yaml`, whose module is `stages/NAME.py`; or `FOLDER.NAME` of one in
            `FOLDER/dvc.yaml`, whose module is `FOLDER/NAME.py`.
        item: which of a matrix of stages, whose `${item.…}` is filled with it.
    """
    environment.apply()
    _end_with_parent()
    end_on_signals()
    folder, _, stage_name = name.rpartition(".")
    pipeline = Path(folder, paths.PIPELINE)
    repro = "dvc repro" if pipeline == paths.PIPELINE else f"dvc repro {pipeline}"
    declared: dict[str, Any] = {}
    before: dict[str, Any] = {}

    def identity() -> dict[str, str]:
        _require_unchanged(before, _state(declared, item), repro)
        return _identity(before)

    outputs = Outputs(identity)
    try:
        declared |= _declaration(stage_name, pipeline)
        before |= _state(declared, item)
        stage = import_module(name if folder else f"stages.{name}")
        stage.run(load_params(), outputs, *([item] if item else []))
        _require_unchanged(before, _state(declared, item), repro)
        outputs.commit()
    except KeyboardInterrupt as interrupt:
        ended, kept = str(interrupt) or "interrupted", outputs.kept or "nothing was written"
        sys.exit(f"{name}: {ended}; {kept}: run `{repro}` again")
    except Exception as error:
        line = in_one_line(error, outputs.folders())
        # What a UserError asks for is in its line.
        remedy = "" if isinstance(error, UserError) else f": mend it and run `{repro}` again"
        lost = _deleted_results(declared, pipeline, f"{stage_name}@{item}" if item else stage_name)
        sys.exit(f"{name}: {line}{remedy}{lost}")
    finally:
        outputs.discard()
    seconds = (time.time_ns() - _STARTED) / 1e9
    say(f"{name}: {seconds:.1f} s, at most {peak_memory():.0f} MB of memory")


def _deleted_results(declared: Mapping[str, Any], pipeline: Path, stage: str) -> str:
    """How to get back what DVC deletes before it starts a stage; empty where nothing is gone."""
    if "DVC_STAGE" not in os.environ:
        return ""
    try:
        recorded = read_yaml(pipeline.with_name(paths.LOCK.name))["stages"][stage]["outs"]
        gone = [out["path"] for out in recorded if not Path(out["path"]).exists()]
        options = {
            path: entry[path]
            for kind in ("outs", "metrics", "plots")
            for entry in declared.get(kind, [])
            if isinstance(entry, dict)
            for path in entry
        }
        in_git = [path for path in gone if not options.get(path, {}).get("cache", True)]
    except (UserError, LookupError, TypeError, AttributeError):  # there is no lock, or no whole one
        return ""
    commands = [
        f"`{command} {shlex.join(which)}`"
        for command, which in (
            ("git restore", in_git),
            ("dvc checkout", [path for path in gone if path not in in_git]),
        )
        if which
    ]
    return f"; the former results come back with {' and '.join(commands)}" if commands else ""


def peak_memory() -> float:
    """The largest resident set of this process so far, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # the resource module counts what the parent had when it forked
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _end_with_parent() -> None:
    """Let this process end when DVC does, on Linux: killed, DVC would leave it behind, writing."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            sys.exit("the process that started this stage ended before it began")


def _declaration(name: str, pipeline: Path) -> dict[str, Any]:
    """A stage as its pipeline declares it, when it begins: `dvc.yaml` may be edited meanwhile."""
    content = read_yaml(pipeline)
    stages = content.get("stages") if isinstance(content, dict) else None
    stage = stages.get(name) if isinstance(stages, dict) else None
    if not isinstance(stages, dict) or not isinstance(stage, dict):
        listed = ", ".join(stages) if isinstance(stages, dict) else "none"
        raise UserError(f"{pipeline}: no stage {name}: restore it, or choose one of: {listed}")
    return stage


def _state(stage: Mapping[str, Any], item: str) -> dict[str, Any]:
    """The state of all that a stage declares to depend on."""
    params = read_yaml(paths.PARAMS)
    # DVC joins the values of a matrix with dashes; only the first one may hold any itself.
    keys = [f"item.{key}" for key in stage.get("matrix", [])]
    items = dict(zip(keys, item.rsplit("-", max(len(keys) - 1, 0)), strict=False))

    def filled(declared: str) -> str:
        """What is declared, with the values of its variables."""
        return _VARIABLE.sub(
            lambda match: items.get(match[1]) or str(_at(params, match[1])),
            declared,
        )

    state: dict[str, Any] = {}
    for path in map(filled, stage.get("deps", [])):
        state[path] = _file_state(Path(path))
    for entry in stage.get("params", []):
        # A key of params.yaml, or a list of keys below the name of another file; none: all of it.
        files = entry if isinstance(entry, dict) else {str(paths.PARAMS): [entry]}
        for file, keys in files.items():
            content = params if Path(file) == paths.PARAMS else read_yaml(Path(file))
            if keys is None:
                state[file] = content
            for key in map(filled, keys or []):
                state[f"{file}: {key}"] = _at(content, key)
    return state


# DVC's `${name}`, whose names may hold dots.
_VARIABLE = re.compile(r"\$\{\s*([\w.-]+)\s*\}")


def _at(content: Any, key: str) -> Any:
    """The value at a key with dots; None if there is none."""
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


def _identity(state: Mapping[str, Any]) -> dict[str, str]:
    """The content of all that a stage depends on, as SHA-256 by name."""
    return {
        what: _content_hash(of.files) if isinstance(of, _FileState) else _sha256(json.dumps(of))
        for what, of in state.items()
    }


def _content_hash(files: Sequence[tuple[str, int, int, int]]) -> str:
    """The names and contents of files, as one SHA-256."""
    listed = []
    for name, *_ in files:
        with Path(name).open("rb") as file:
            listed.append([name, hashlib.file_digest(file, "sha256").hexdigest()])
    return _sha256(json.dumps(listed))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _file_state(path: Path) -> _FileState:
    """The state of a file or folder, without what Python and editors leave in a folder of code."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path] if path.exists() else []
    files = [file for file in files if not _is_byproduct(file.relative_to(path))]
    states = [(str(file), file.stat()) for file in files if not file.is_dir()]
    return _FileState(
        tuple((name, state.st_ino, state.st_size, state.st_mtime_ns) for name, state in states),
        max((max(state.st_mtime_ns, state.st_ctime_ns) for _, state in states), default=0),
    )


def _is_byproduct(path: Path) -> bool:
    """Whether `.dvcignore` leaves it out: compiled modules, pages, hidden files, backups."""
    return any(
        part in ("__pycache__", "README.md") or part.startswith(".") or part.endswith("~")
        for part in path.parts
    )


def _require_unchanged(before: Mapping[str, Any], after: Mapping[str, Any], repro: str) -> None:
    """Raise a UserError if something the stage depends on was edited since it began.

    An edit before the first look, while this module's own imports ran, is told by its time.
    """
    now = time.time_ns()
    for what, state in before.items():
        # A time to come is that of another clock: a file server's, or an archive's.
        edited_early = isinstance(state, _FileState) and _STARTED < state.newest <= now
        if edited_early or state != after.get(what):
            raise UserError(
                f"{what} changed while the stage ran, so that its result belongs to neither"
                f" version: run `{repro}` again"
            )
