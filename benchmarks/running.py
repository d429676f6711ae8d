"""Commands, run to their end and timed, and the samples that several rounds of them give."""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from workflow.core import environment
from workflow.core.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
RAW = ROOT / "data" / "raw"
STAGES = ("download", "normalize", "train", "evaluate", "visualize")

_EPOCH = re.compile(r"\s*epoch \d+/\d+:")


@dataclass(frozen=True)
class Run:
    """One finished command.

    Attributes:
        seconds: wall clock.
        lines: of standard output, each with the seconds after which it came.
    """

    seconds: float
    lines: list[tuple[float, str]]

    def json(self) -> Any:
        """What the command printed last, as JSON."""
        return json.loads(self.lines[-1][1])

    def peak_memory(self) -> float:
        """In MB, as a stage tells it in its last line."""
        told = re.search(r"at most (\d+) MB", self.lines[-1][1])
        if not told:
            raise UserError(f"the stage's last line tells no memory: {self.lines[-1][1]!r}")
        return float(told[1])

    def epochs(self) -> list[float]:
        """The seconds that each epoch took; the first includes the compilation."""
        ends = [seconds for seconds, line in self.lines if _EPOCH.match(line)]
        begin = next(seconds for seconds, line in self.lines if line.startswith("train: recipe"))
        return [end - start for start, end in zip([begin, *ends], ends, strict=False)]


@dataclass(frozen=True)
class Samples:
    """Measurements by name, one list entry per round."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        """Record one measurement."""
        self.values.setdefault(name, []).append(value)

    def median(self, name: str) -> float:
        """The median of all rounds."""
        return statistics.median(self.values[name])

    def shown(self, name: str, unit: str = "s") -> str:
        """Median and range, as text."""
        low, high = min(self.values[name]), max(self.values[name])
        digits = 2 if high < 10 else 1 if high < 100 else 0
        return f"{self.median(name):.{digits}f} {unit} ({low:.{digits}f}–{high:.{digits}f})"


def run(
    *command: str,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    cores: Collection[int] | None = None,
) -> Run:
    """Run a command to its end.

    Args:
        command: program and arguments.
        cwd: where.
        env: variables beside those of this process.
        cores: which of them it may use, counted from 0; by default all.

    Raises:
        UserError: it failed.
    """
    # What a stage sets for itself; the tutorials' script gets what a person would give it.
    inherited = {
        name: value for name, value in os.environ.items() if name not in environment.required()
    }
    with tempfile.TemporaryFile() as complaints:
        started = time.perf_counter()
        with subprocess.Popen(
            command,
            cwd=cwd,
            env=inherited | dict(env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            preexec_fn=None if cores is None else partial(_keep_to, cores),
        ) as process:
            lines = [
                (time.perf_counter() - started, line.rstrip()) for line in process.stdout or []
            ]
        seconds = time.perf_counter() - started
        if process.returncode:
            complaints.seek(0)
            told = complaints.read().decode().strip().splitlines()[-1:]
            raise UserError(f"`{' '.join(command)}` failed: {' '.join(told)}")
    return Run(seconds, lines)


def _keep_to(cores: Collection[int]) -> None:
    available = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {available[core] for core in cores})


def run_stage(name: str, cwd: Path, env: Mapping[str, str]) -> Run:
    """Run one stage alone, without DVC."""
    return run(sys.executable, "-m", "stages", name, cwd=cwd, env=env)


def import_stage(name: str, cwd: Path) -> Run:
    """Do what a stage does before its work begins: start Python and import its modules."""
    code = f"from workflow.core import environment; environment.apply(); import stages.{name}"
    return run(sys.executable, "-c", code, cwd=cwd)


@contextmanager
def fresh_clone() -> Iterator[Path]:
    """The committed state in a folder of its own, with no data and no cache."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        target = Path(folder, "clone")
        run("git", "clone", "-q", str(ROOT), str(target), cwd=ROOT)
        yield target
