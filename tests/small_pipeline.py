"""A copy of this repository, as Git has it, with a data set so small that it runs in seconds."""

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from conftest import Project, copy_repository

from workflow.idx import write_idx

_TRAIN, _TEST = 400, 300
_SIDE = 28


class SmallPipeline:
    """A Git repository with the real pipeline, driven through the real `dvc` and commands.

    Attributes:
        root: of the repository.
        data: where its IDX files come from, in place of the network.
    """

    def __init__(self, root: Path, data: Path) -> None:
        self.root = root
        self.data = data
        self._project = Project(root, data)

    def run(self, *command: str) -> str:
        """Run a command that must succeed in the repository; returns standard output."""
        return self._project.ok(*command)

    def command(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of our commands as a person does; never raises."""
        return self._project.run("python", "-m", f"commands.{name}", *arguments)

    def set_params(self, **values: Any) -> None:
        """Change `params.yaml`; a key may have dots, written as two underscores."""
        file = self.root / "params.yaml"
        params = yaml.safe_load(file.read_text(encoding="utf-8"))
        for key, value in values.items():
            *path, last = key.split("__")
            tree = params
            for part in path:
                tree = tree[part]
            tree[last] = value
        file.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")

    def repro(self) -> None:
        """Run what is out of date."""
        self.run("dvc", "repro", "-q")

    def commit(self, message: str) -> str:
        """Commit everything; the full hash."""
        self.run("git", "add", "--all")
        self.run("git", "commit", "-q", "--allow-empty", "-m", message)
        return self.run("git", "rev-parse", "HEAD").strip()

    def branch(self, name: str) -> None:
        """Start a branch from main, with the data of main."""
        self.run("git", "checkout", "-q", "-B", name, "main")
        self.run("dvc", "checkout", "-q")

    def clone(self, folder: Path, branch: str) -> "SmallPipeline":
        """A fresh clone of a branch: no data, no cache."""
        self.run("git", "clone", "-q", "--branch", branch, str(self.root), str(folder))
        return SmallPipeline(folder, self.data)


def make_small_pipeline(folder: Path) -> SmallPipeline:
    """Copy the repository, give it small data, run it, and commit it on main."""
    data = folder / "data"
    data.mkdir()
    # What speaks of the real data set stays behind.
    left_out = ["dvc.lock", "published", "tests"]
    pipeline = SmallPipeline(copy_repository(folder / "repository", left_out).root, data)
    _write_data(pipeline)
    pipeline.repro()
    pipeline.commit("Record the small pipeline")
    return pipeline


def _write_data(pipeline: SmallPipeline) -> None:
    """Noisy images of a pattern for each class, hard enough for some mistakes."""
    params = yaml.safe_load((pipeline.root / "params.yaml").read_text(encoding="utf-8"))
    classes = 10
    params["data"]["class_names"] = [f"kind {label}" for label in range(classes)]
    random = np.random.default_rng(5)
    patterns = random.random((classes, _SIDE, _SIDE))
    arrays = {}
    for part, count in (("train", _TRAIN), ("test", _TEST)):
        labels = np.arange(count) % classes
        noisy = 0.25 * patterns[labels] + 0.75 * random.random((count, _SIDE, _SIDE))
        arrays[f"{part}_images"] = (noisy * 255).astype(np.uint8)
        arrays[f"{part}_labels"] = labels.astype(np.uint8)
    files = params["data"]["files"]
    for key, array in arrays.items():
        path = pipeline.data / files[key]["name"]
        write_idx(path, array)
        files[key]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    params["recipe"], params["seed"] = "tutorial", 1
    params["recipes"]["tutorial"]["epochs"] = 6
    (pipeline.root / "params.yaml").write_text(
        yaml.safe_dump(params, sort_keys=False), encoding="utf-8"
    )
