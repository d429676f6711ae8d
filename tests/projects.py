"""Projects to test: copies of this repository in which the real DVC runs."""

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from workflow.core import environment
from workflow.data.idx import read_images, read_labels, write_idx

# What is started in the background ignores interrupts, and so would all that is started here.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent
STAGES = ("download", "normalize", "train", "evaluate", "visualize")


def load_yaml(path: Path) -> Any:
    """A YAML file as plain data."""
    return YAML(typ="safe").load(path)


def dump_yaml(path: Path, content: Any) -> None:
    """Write plain data as YAML, in its order."""
    YAML().dump(content, path)


@dataclass(frozen=True)
class Project:
    """A copy of the repository, committed in a Git of its own."""

    root: Path
    data_source: Path | None = None

    def run(
        self, *command: str, env: dict[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as a person in the project's folder would, and return what it said."""
        variables = {
            name: value
            for name, value in os.environ.items()
            # What the tests' own process set must not hide what a stage forgets to set.
            if name not in {*environment.required(), "PYTHONDONTWRITEBYTECODE"}
            and not name.startswith(("GIT_", "PYTEST_"))
        }
        variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{variables['PATH']}"
        if self.data_source:
            variables["DATA_SOURCE"] = str(self.data_source)
        return subprocess.run(
            command,
            cwd=cwd or self.root,
            env=variables | (env or {}),
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

    def command(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of our commands as a person does; it may fail."""
        return self.run("python", "-m", "commands", name, *arguments)

    def commit(self, message: str) -> str:
        """Commit everything; the full hash."""
        self.ok("git", "add", "-A")
        self.ok("git", "commit", "-qm", message)
        return self.ok("git", "rev-parse", "HEAD").strip()

    def branch(self, name: str) -> None:
        """Start a branch from main, with the data of main."""
        self.ok("git", "checkout", "-q", "-B", name, "main")
        self.ok("dvc", "checkout", "-q")

    def cloned(self, folder: Path, branch: str) -> "Project":
        """A fresh clone of a branch: no data, no cache."""
        self.ok("git", "clone", "-q", "--branch", branch, str(self.root), str(folder))
        clone = Project(folder, self.data_source)
        clone.name_committer()
        return clone

    def name_committer(self) -> None:
        """Say who commits, which Git wants to know."""
        self.ok("git", "config", "user.name", "tester")
        self.ok("git", "config", "user.email", "tester@example.org")

    def edit_params(self, change: Callable[[dict[str, Any]], None]) -> None:
        path = self.root / "params.yaml"
        params = load_yaml(path)
        change(params)
        dump_yaml(path, params)

    def bytes_of(self, names: Sequence[str]) -> dict[str, bytes]:
        return {name: (self.root / name).read_bytes() for name in names}


def stages_run(output: str) -> list[str]:
    """The stages that `dvc repro` says it ran."""
    return [
        line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage '")
    ]


# Folders with a pipeline of their own, about Fashion-MNIST.
STUDIES = ("published", "frontier")


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
    project.name_committer()
    project.commit("As it is")
    return project


def built_once(tmp_path_factory: pytest.TempPathFactory, build: Callable[[Path], None]) -> Path:
    """The folder that `build` fills, once for all processes of a test run; leave it as it is."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, done = base / build.__name__, base / f"{build.__name__}.done"
    with (base / f"{build.__name__}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a process that failed
            folder.mkdir()
            build(folder)
            done.touch()
    return folder


def clone_of(original: Project, target: Path) -> Project:
    """A clone for a test to change, with the original's cache."""
    project = original.cloned(target, "main")
    config = target / ".dvc" / "config.local"
    config.write_text(f"[cache]\n    dir = {original.root / '.dvc' / 'cache'}\n")
    return project


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A fresh clone in which the pipeline has run on the real data; tests leave it as it is."""

    def real_project(folder: Path) -> None:
        output = copy_repository(folder).ok("dvc", "repro")
        (folder / ".git" / "repro-output").write_text(output)

    folder = built_once(tmp_path_factory, real_project)
    return Project(folder, folder / "data" / "raw")


def sliced(folder: Path, real: Project, images: int = 200) -> Project:
    """A copy of the repository that trains for two epochs on the first images of the real data."""
    source = folder / "source"
    source.mkdir(parents=True)
    project = copy_repository(folder / "project")

    def change(params: dict[str, Any]) -> None:
        for kind, file in params["data"]["files"].items():
            assert real.data_source
            read = read_images if "images" in kind else read_labels
            array = read(real.data_source / file["name"]).astype(np.uint8)
            write_idx(source / file["name"], np.asarray(array[:images]))
            file["sha256"] = hashlib.sha256((source / file["name"]).read_bytes()).hexdigest()
        params["recipes"][params["recipe"]]["epochs"] = 2

    project.edit_params(change)
    return Project(project.root, source)


@pytest.fixture
def clone(real: Project, tmp_path: Path) -> Project:
    """A clone of `real`, with its results, for a test to change."""
    project = clone_of(real, tmp_path / "clone")
    project.ok("dvc", "checkout")
    return project


@pytest.fixture(scope="session")
def tiny_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of another shape: 6 × 5 pixels, three classes, 100 and 40 images."""

    def source(folder: Path) -> None:
        write_tiny_source(folder)

    return built_once(tmp_path_factory, source)


def write_tiny_source(
    folder: Path, train: int = 100, test: int = 40, noise: int = 120, band: int = 100
) -> None:
    """Write IDX files of noisy images with a band, whose place is the class.

    Args:
        folder: where to.
        train: how many training images.
        test: how many test images.
        noise: the brightest noise.
        band: how much brighter the band is, up to white.
    """
    random = np.random.default_rng(0)
    for split, count in (("train", train), ("test", test)):
        labels = (np.arange(count) % 3).astype(np.uint8)
        images = random.integers(0, noise, (count, 6, 5))
        for image, label in zip(images, labels, strict=True):
            image[label * 2 : label * 2 + 2] += band
        write_idx(folder / f"{split}-images", images.clip(max=255).astype(np.uint8))
        write_idx(folder / f"{split}-labels", labels)


@pytest.fixture(scope="session")
def tiny_run(tiny_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project of the tiny data set whose pipeline has run; tests leave it as it is.

    The commit before the last is without results.
    """

    def tiny_project(folder: Path) -> None:
        # As the README says for other data: without the results that speak of Fashion-MNIST.
        project = copy_repository(folder, left_out=[*STUDIES, "dvc.lock"])
        project.edit_params(lambda params: use_tiny(params, tiny_source))
        project.commit("Use the tiny data")
        output = project.ok("dvc", "repro")
        (folder / ".git" / "repro-output").write_text(output)
        project.commit("Record the results")

    return Project(built_once(tmp_path_factory, tiny_project), tiny_source)


@pytest.fixture
def tiny(tiny_run: Project, tmp_path: Path) -> Project:
    """A project of the tiny data set, without data, results and cache."""
    project = tiny_run.cloned(tmp_path / "project", "main")
    project.ok("git", "reset", "-q", "--hard", "HEAD~1")
    return project


@pytest.fixture
def tiny_clone(tiny_run: Project, tmp_path: Path) -> Project:
    """A clone of `tiny_run`, with its results, for a test to change."""
    project = clone_of(tiny_run, tmp_path / "project")
    project.ok("dvc", "checkout")
    return project


def use_tiny(params: dict[str, Any], source: Path) -> None:
    """Point params at the tiny data set, with a recipe that trains in a moment."""
    for split in ("train", "test"):
        for kind in ("images", "labels"):
            name = f"{split}-{kind}"
            checksum = hashlib.sha256((source / name).read_bytes()).hexdigest()
            params["data"]["files"][f"{split}_{kind}"] = {"name": name, "sha256": checksum}
    params["data"]["class_names"] = ["upper", "middle", "lower"]
    params["data"]["sources"] = [str(source)]
    params["recipes"]["tutorial"] |= {"epochs": 2, "batch_size": 16}
