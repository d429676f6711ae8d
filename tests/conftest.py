"""Projects to test: copies of this repository in which the real DVC runs."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

import workflow

# What is started in the background ignores interrupts, and so would all that is started here.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent
STAGES = ("download", "normalize", "train", "evaluate", "visualize")


@dataclass(frozen=True)
class Project:
    """A copy of the repository, committed in a Git of its own."""

    root: Path
    data_source: Path | None = None

    def run(
        self, *command: str, env: dict[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as a person in the project's folder would, and return what it said."""
        environment = {
            name: value
            for name, value in os.environ.items()
            # What the tests' own process set must not hide what a stage forgets to set.
            if name not in workflow.environment.required() and not name.startswith("GIT_")
        }
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        if self.data_source:
            environment["DATA_SOURCE"] = str(self.data_source)
        return subprocess.run(
            command,
            cwd=cwd or self.root,
            env=environment | (env or {}),
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def ok(self, *command: str, env: dict[str, str] | None = None) -> str:
        """Run a command that must succeed; returns standard output."""
        done = self.run(*command, env=env)
        assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def repro(self, *arguments: str) -> list[str]:
        """`dvc repro`; returns the names of the stages that were run."""
        return stages_run(self.ok("dvc", "repro", *arguments))

    def commit(self, message: str) -> None:
        self.ok("git", "add", "-A")
        self.ok("git", "commit", "-qm", message)

    def edit_params(self, change: Callable[[dict], None]) -> None:
        path = self.root / "params.yaml"
        params = yaml.safe_load(path.read_text())
        change(params)
        path.write_text(yaml.safe_dump(params, sort_keys=False))

    def bytes_of(self, names: Sequence[str]) -> dict[str, bytes]:
        return {name: (self.root / name).read_bytes() for name in names}


def stages_run(output: str) -> list[str]:
    """The stages that `dvc repro` says it ran."""
    return [
        line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage '")
    ]


def copy_repository(target: Path, left_out: Sequence[str] = ()) -> Project:
    """The files that Git has or would add, in a fresh repository with one commit.

    Args:
        target: where to, a folder that may be missing.
        left_out: files and folders of the top level.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists() and name.partition("/")[0] not in left_out:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name, follow_symlinks=False)
    project = Project(target)
    project.ok("git", "init", "-q", "-b", "main")
    project.ok("git", "config", "user.name", "tester")
    project.ok("git", "config", "user.email", "tester@example.org")
    project.commit("As it is")
    return project


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A fresh clone in which the pipeline has run on the real data; tests leave it as it is."""
    project = copy_repository(tmp_path_factory.mktemp("real"))
    done = project.run("dvc", "repro")
    assert done.returncode == 0, done.stdout + done.stderr
    (project.root / ".git" / "repro-output").write_text(done.stdout)
    return project


@pytest.fixture
def clone(real: Project, tmp_path: Path) -> Project:
    """A clone of `real`, with its cache, for a test to change."""
    target = tmp_path / "clone"
    real.ok("git", "clone", "-q", str(real.root), str(target))
    project = Project(target, real.root / "data" / "raw")
    project.ok("git", "config", "user.name", "tester")
    project.ok("git", "config", "user.email", "tester@example.org")
    project.ok("dvc", "cache", "dir", "--local", str(real.root / ".dvc" / "cache"))
    project.ok("dvc", "checkout")
    return project


@pytest.fixture(scope="session")
def tiny_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of another shape: 6 × 5 pixels, three classes, 100 and 40 images."""
    import numpy as np

    from workflow.idx import write_idx

    folder = tmp_path_factory.mktemp("tiny-source")
    random = np.random.default_rng(0)
    for split, count in (("train", 100), ("test", 40)):
        labels = (np.arange(count) % 3).astype(np.uint8)
        images = random.integers(0, 120, (count, 6, 5), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[label * 2 : label * 2 + 2] += 100
        write_idx(folder / f"{split}-images", images)
        write_idx(folder / f"{split}-labels", labels)
    return folder


@pytest.fixture
def tiny(tiny_source: Path, tmp_path: Path) -> Iterator[Project]:
    """A fresh copy of the repository whose params name the tiny data set."""
    # As the README says for other data: without the results that speak of Fashion-MNIST.
    project = copy_repository(tmp_path / "project", left_out=["published"])
    project.edit_params(lambda params: use_tiny(params, tiny_source))
    project.commit("Use the tiny data")
    yield Project(project.root, tiny_source)


def use_tiny(params: dict, source: Path) -> None:
    """Point params at the tiny data set, with a recipe that trains in a moment."""
    import hashlib

    for split in ("train", "test"):
        for kind in ("images", "labels"):
            name = f"{split}-{kind}"
            checksum = hashlib.sha256((source / name).read_bytes()).hexdigest()
            params["data"]["files"][f"{split}_{kind}"] = {"name": name, "sha256": checksum}
    params["data"]["class_names"] = ["upper", "middle", "lower"]
    params["data"]["sources"] = [str(source)]
    params["recipes"]["tutorial"] |= {"epochs": 2, "batch_size": 16}
