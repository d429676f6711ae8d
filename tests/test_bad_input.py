"""Bad input, given to the real stages: one line that says what to do, and nothing written."""

import gzip
import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import Project

from workflow.idx import write_idx


def last_line(project: Project, stage: str, env: dict[str, str] | None = None) -> str:
    """Run a stage that must fail; returns the one line it says."""
    done = project.run("python", "-m", f"stages.{stage}", env=env)
    assert done.returncode == 1, done.stdout
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert lines[0].startswith(f"{stage}: ")
    assert not list(project.root.rglob(".partial.*"))
    return lines[0]


def replace(project: Project, key: str, content: bytes) -> None:
    """Serve `content` as one of the files, with a checksum that agrees."""
    (project.root / "source").mkdir()
    assert project.data_source
    for path in project.data_source.iterdir():
        (project.root / "source" / path.name).write_bytes(path.read_bytes())
    name = key.replace("_", "-")
    (project.root / "source" / name).write_bytes(content)

    def change(params: dict) -> None:
        params["data"]["sources"] = ["source"]
        params["data"]["files"][key]["sha256"] = hashlib.sha256(content).hexdigest()

    project.edit_params(change)


LOCAL = {"DATA_SOURCE": ""}


@pytest.mark.parametrize(
    ("key", "content", "said"),
    [
        ("train_labels", b"\0\0\x09\x01" + struct.pack(">I", 100) + bytes(100), "type code 0x09"),
        ("train_labels", bytes([1, 0, 8, 1]) + bytes(104), "must start with two zero bytes"),
        ("train_images", b"\0\0\x08\x01" + struct.pack(">I", 100) + bytes(100), "expected 3"),
        ("test_images", b"\0\0\x08\x03" + struct.pack(">III", 40, 6, 5) + bytes(9), "truncated"),
    ],
)
def test_wrong_idx_files(tiny: Project, key: str, content: bytes, said: str) -> None:
    replace(tiny, key, content)
    tiny.ok("python", "-m", "stages.download", env=LOCAL)
    assert said in last_line(tiny, "normalize")
    assert not (tiny.root / "data/normalized.npz").exists()


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.zeros(99, np.uint8), "99 labels for 100 images"),
        (np.arange(100) % 4, "label 3 at position 3, but params.yaml names 3 classes"),
    ],
)
def test_wrong_labels(tiny: Project, tmp_path: Path, labels: np.ndarray, said: str) -> None:
    write_idx(tmp_path / "labels", labels.astype(np.uint8))
    replace(tiny, "train_labels", (tmp_path / "labels").read_bytes())
    tiny.ok("python", "-m", "stages.download", env=LOCAL)
    assert said in last_line(tiny, "normalize")


def test_a_class_without_images_is_named(tiny: Project, tmp_path: Path) -> None:
    write_idx(tmp_path / "labels", (np.arange(100) % 2).astype(np.uint8))
    replace(tiny, "train_labels", (tmp_path / "labels").read_bytes())
    tiny.ok("python", "-m", "stages.download", env=LOCAL)
    last = yaml.safe_load((tiny.root / "params.yaml").read_text())["data"]["class_names"][-1]
    said = tiny.ok("python", "-m", "stages.normalize")
    assert f"normalize: no training image is of the class {last}" in said


def test_images_of_two_sizes(tiny: Project, tmp_path: Path) -> None:
    write_idx(tmp_path / "images", np.zeros((40, 5, 5), np.uint8))
    replace(tiny, "test_images", (tmp_path / "images").read_bytes())
    tiny.ok("python", "-m", "stages.download", env=LOCAL)
    assert "images of (5, 5) pixels, but train-images has (6, 5)" in last_line(tiny, "normalize")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda content: gzip.compress(content)[:-30], "no whole gzip file"),
        (lambda content: gzip.compress(content[:-1]), "wrong bytes: SHA-256"),
    ],
)
def test_a_damaged_download(tiny: Project, damage: Callable[[bytes], bytes], said: str) -> None:
    assert tiny.data_source
    source = tiny.root / "source"
    source.mkdir()
    for path in tiny.data_source.iterdir():
        (source / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    (source / "test-images.gz").write_bytes(damage((tiny.data_source / "test-images").read_bytes()))
    tiny.edit_params(lambda params: params["data"].update(sources=["source"]))
    line = last_line(tiny, "download", LOCAL)
    assert said in line
    assert "source: test-images" in line
    assert not (tiny.root / "data" / "raw").exists()


def test_no_network_and_no_apt(tiny: Project, tmp_path: Path) -> None:
    import sys

    tiny.edit_params(
        lambda params: params["data"].update(
            sources=["https://name.invalid/data/", "debian:dataset-fashion-mnist"]
        )
    )
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    code = f"import os, sys; os.environ['PATH'] = {str(tmp_path / 'bin')!r}; "
    code += "import runpy; runpy.run_module('stages.download', run_name='__main__')"
    done = tiny.run(sys.executable, "-c", code, env=LOCAL)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "https://name.invalid/data/: train-images: cannot be reached" in done.stderr
    assert "apt-get and dpkg-deb are not on this machine" in done.stderr
    assert "DATA_SOURCE" in done.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p.update(recipe="tutorail"), "'tutorail' is not defined; choose one of: tutor"),
        (lambda p: p["recipes"]["tutorial"].update(epochs=-1), "tutorial.epochs: input should be"),
        (lambda p: p["recipes"]["tutorial"].update(epochs="ten"), "valid integer, got 'ten'"),
        (lambda p: p["recipes"]["tutorial"].update(epoch=1), "tutorial.epoch: unknown key"),
    ],
)
@pytest.mark.parametrize("stage", ["download", "normalize", "visualize"])
def test_bad_params_stop_any_stage(
    tiny: Project, stage: str, change: Callable[[dict], None], said: str
) -> None:
    tiny.edit_params(change)
    assert said in last_line(tiny, stage)
    checked = tiny.run("python", "-m", "commands.check_params")
    assert (checked.returncode, len(checked.stderr.splitlines())) == (1, 1)
    assert said in checked.stderr


@pytest.mark.parametrize("text", ["seed: [1", "- 1", "", "? [a]\n: 1"])
def test_params_that_are_no_params(tiny: Project, text: str) -> None:
    (tiny.root / "params.yaml").write_text(text)
    assert "params.yaml: " in last_line(tiny, "normalize")


@pytest.mark.parametrize("stage", ["normalize", "train", "evaluate", "visualize"])
def test_a_stage_without_its_inputs_says_how_to_make_them(tiny: Project, stage: str) -> None:
    assert "dvc repro" in last_line(tiny, stage)


def test_dvc_ends_with_the_stages_line_and_loses_nothing(tiny: Project) -> None:
    tiny.repro()
    before = (tiny.root / "models/model.keras").read_bytes()
    tiny.edit_params(lambda params: params["recipes"]["tutorial"].update(epochs=0))
    done = tiny.run("dvc", "repro")
    assert done.returncode != 0
    assert "train: params.yaml: recipes.tutorial.epochs: input should be" in done.stderr
    tiny.ok("git", "checkout", "params.yaml")
    tiny.edit_params(lambda params: None)
    tiny.ok("dvc", "checkout")
    assert (tiny.root / "models/model.keras").read_bytes() == before


def test_a_recipe_too_large_for_the_memory(tiny: Project) -> None:
    dense = {"layer": "dense", "units": 65536}  # two of them have 17 GB of weights
    layers = [{"layer": "flatten"}, dense, dense]
    tiny.edit_params(lambda params: params["recipes"]["tutorial"].update(layers=layers))
    tiny.ok("dvc", "repro", "normalize")
    limited = "ulimit -v 14000000 && exec python -m stages.train"
    done = tiny.run("sh", "-c", limited)
    assert done.returncode == 1
    said = "train: params.yaml: the recipe needs more memory than there is: take fewer units"
    (line,) = done.stderr.splitlines()
    assert line.startswith(said)
