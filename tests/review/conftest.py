"""A repository to review: the real pipeline on a small data set, with commits that differ."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from projects import (
    STUDIES,
    Project,
    built_once,
    copy_repository,
    dump_yaml,
    load_yaml,
    use_tiny,
    write_tiny_source,
)

_ONE_UNIT = [{"layer": "flatten"}, {"layer": "dense", "units": 1, "activation": "relu"}]


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A branch for each kind of change. Tests check branches out, and change clones only."""
    template = built_once(tmp_path_factory, reviewed_repository)
    copy = tmp_path_factory.mktemp("une révision")
    shutil.copytree(template, copy, dirs_exist_ok=True, symlinks=True)
    return Project(copy / "repository", copy / "source")


@pytest.fixture(scope="session")
def worse(repository: Project) -> Project:
    """The same with the branch `small`, of a recipe that is much worse."""
    repository.branch("small")
    repository.edit_params(lambda params: params["recipes"]["tutorial"].update(layers=_ONE_UNIT))
    repository.repro()
    repository.repro("published/dvc.yaml")
    repository.commit("Try one unit")
    return repository


def reviewed_repository(folder: Path) -> None:
    """Make the repository: main with the spread over seeds, and branches from it."""
    source = folder / "source"
    source.mkdir()
    # Hard enough for some mistakes, and enough images to tell two models apart.
    write_tiny_source(source, train=400, test=300, noise=256, band=45)
    left_out = ["dvc.lock", *STUDIES, "tests"]
    project = Project(copy_repository(folder / "repository", left_out).root, source)

    def use_data(params: dict) -> None:
        use_tiny(params, source)
        params["recipe"], params["seed"] = "tutorial", 1
        params["recipes"]["tutorial"]["epochs"] = 6

    project.edit_params(use_data)
    project.repro()
    project.commit("Record the pipeline")
    record_spread(project)
    project.commit("Record the spread over seeds")

    project.branch("seed")
    project.edit_params(lambda params: params.update(seed=2))
    project.repro()
    project.commit("Take another seed")
    project.branch("main")


def record_spread(project: Project) -> None:
    """A pipeline that records how far five seeds scatter, the wide way of small data sets."""
    params = load_yaml(project.root / "params.yaml")
    accuracy = json.loads((project.root / "metrics/test.json").read_text())["accuracy"]
    content = (project.root / "data/normalized.npz").read_bytes()
    measured = {
        "data_md5": hashlib.md5(content, usedforsecurity=False).hexdigest(),
        "recipe": params["recipes"]["tutorial"],
        "test_accuracy": {str(n): accuracy + 0.02 * (n - 3) for n in range(1, 6)},
    }
    (project.root / "published").mkdir()
    (project.root / "published/measured.json").write_text(json.dumps(measured))
    stage = {
        "wdir": "..",
        "cmd": "cp published/measured.json published/seeds/tutorial.json",
        "deps": ["data/normalized.npz", "published/measured.json"],
        "params": ["recipes.tutorial"],
        "outs": [{"published/seeds/tutorial.json": {"cache": False}}],
    }
    dump_yaml(project.root / "published/dvc.yaml", {"stages": {"measure": stage}})
    (project.root / "published/seeds").mkdir()
    project.repro("published/dvc.yaml")


@pytest.fixture
def clone_of(repository: Project, tmp_path: Path) -> Callable[[str], Project]:
    """A fresh clone of a branch, for a test to change: no data, no cache."""
    return lambda branch: repository.cloned(tmp_path / "clone", branch)


@pytest.fixture
def forger(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Project:
    """A repository on a branch of a forger's own, with data and a cache that may be spoiled."""
    template = built_once(tmp_path_factory, reviewed_repository)
    shutil.copytree(template, tmp_path / "forger", symlinks=True)
    project = Project(tmp_path / "forger/repository", tmp_path / "forger/source")
    project.branch("forged")
    return project
