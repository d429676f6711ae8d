"""Bad input, given to the real stages: one line that says what to do, and nothing written."""

import gzip
import hashlib
import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from projects import Project, load_yaml

from workflow.data.idx import write_idx
from workflow.data.npz import write_arrays


def last_line(project: Project, stage: str, env: dict[str, str] | None = None) -> str:
    """Run a stage that must fail; returns the one line it says."""
    done = project.run("python", "-m", "stages", stage, env=env)
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
        ("train_images", b"\0\0\x08\x01" + struct.pack(">I", 100) + bytes(100), "expected 3"),
        ("test_images", b"\0\0\x08\x03" + struct.pack(">III", 40, 6, 5) + bytes(9), "truncated"),
    ],
)
def test_wrong_idx_files(tiny: Project, key: str, content: bytes, said: str) -> None:
    replace(tiny, key, content)
    tiny.ok("python", "-m", "stages", "download", env=LOCAL)
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
    tiny.ok("python", "-m", "stages", "download", env=LOCAL)
    assert said in last_line(tiny, "normalize")


def test_a_class_without_images_is_named(tiny: Project, tmp_path: Path) -> None:
    write_idx(tmp_path / "labels", (np.arange(100) % 2).astype(np.uint8))
    replace(tiny, "train_labels", (tmp_path / "labels").read_bytes())
    tiny.ok("python", "-m", "stages", "download", env=LOCAL)
    last = load_yaml(tiny.root / "params.yaml")["data"]["class_names"][-1]
    said = tiny.ok("python", "-m", "stages", "normalize")
    assert f"normalize: classes without a training image: 1 ({last})" in said


def test_classes_without_test_images_are_named_where_they_are_scored(tiny_clone: Project) -> None:
    path = tiny_clone.root / "data/normalized.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    path.unlink()
    write_arrays(path, arrays | {"test_labels": np.zeros_like(arrays["test_labels"])})
    said = tiny_clone.ok("python", "-m", "stages", "evaluate")
    assert "evaluate: macro_f1 leaves out the classes without a test image: 2 (" in said


def test_images_of_two_sizes(tiny: Project, tmp_path: Path) -> None:
    write_idx(tmp_path / "images", np.zeros((40, 5, 5), np.uint8))
    replace(tiny, "test_images", (tmp_path / "images").read_bytes())
    tiny.ok("python", "-m", "stages", "download", env=LOCAL)
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
    code += "from workflow.core.stage import run_stage; run_stage('download')"
    done = tiny.run(sys.executable, "-c", code, env=LOCAL)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "https://name.invalid/data/: train-images: cannot be reached" in done.stderr
    assert "apt-get and dpkg-deb are not on this machine" in done.stderr
    assert "DATA_SOURCE" in done.stderr


@pytest.mark.parametrize("stage", ["download", "train"])
def test_bad_params_stop_any_stage(tiny: Project, stage: str) -> None:
    tiny.edit_params(lambda params: params.update(recipe="tutorail"))
    assert "'tutorail' is not defined; choose one of: tutor" in last_line(tiny, stage)


def test_a_bad_recipe_stops_its_training(tiny: Project) -> None:
    tiny.edit_params(lambda params: params["recipes"]["tutorial"].update(epoch=1))
    assert "params.yaml: recipes.tutorial: epoch: unknown key" in last_line(tiny, "train")


def test_params_that_are_no_yaml(tiny: Project) -> None:
    (tiny.root / "params.yaml").write_text("seed: [1")
    assert "params.yaml: not valid YAML" in last_line(tiny, "normalize")


@pytest.mark.parametrize("stage", ["normalize", "train", "evaluate", "visualize"])
def test_a_stage_without_its_inputs_says_how_to_make_them(tiny: Project, stage: str) -> None:
    assert "dvc repro" in last_line(tiny, stage)


NORMALIZED, PREDICTED = "data/normalized.npz", "data/predictions.npz"
CLASSES = "data/classes.json"


@pytest.mark.parametrize(
    ("stage", "file", "change", "said"),
    [
        (
            "visualize",
            PREDICTED,
            {"probabilities": np.zeros((39, 3), np.float32)},
            "damaged (probabilities of shape (39, 3) for 40 images and 3 classes): delete it and"
            " run `dvc repro evaluate`",
        ),
        (
            "visualize",
            PREDICTED,
            {"probabilities": np.full((40, 3), np.nan, np.float32)},
            "damaged (a probability is not finite)",
        ),
        ("visualize", "metrics/per_class.json", "{}", "damaged (KeyError: 'upper')"),
        *(
            pytest.param(
                stage,
                CLASSES,
                '{"class_names": ["a", "b"]}',
                "names 2 classes: delete both and run `dvc repro normalize`",
                marks=[] if stage == "visualize" else [pytest.mark.slow],  # they load TensorFlow
            )
            for stage in ("train", "evaluate", "visualize")
        ),
        pytest.param(
            "evaluate",
            CLASSES,
            '{"class_names": ["a", "b", "c", "d"]}',
            "models/model.keras takes images of (6, 5) and knows 3 classes, data/normalized.npz",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "evaluate",
            NORMALIZED,
            {"test_images": np.zeros((40, 5, 5), np.float32)},
            "holds images of (5, 5), data/classes.json names 3 classes: run `dvc repro`",
            marks=pytest.mark.slow,
        ),
        (
            "evaluate",
            NORMALIZED,
            {"test_labels": np.zeros(39, np.uint8)},
            "damaged (uint8 test labels of shape (39,) for 40 images): delete it and run",
        ),
        ("evaluate", "plots/history.csv", "accuracy,kept\n0.5,0\n", "damaged (1 is not in list)"),
    ],
)
def test_a_whole_file_that_does_not_go_with_the_others_is_named(
    tiny_clone: Project, stage: str, file: str, change: str | dict[str, np.ndarray], said: str
) -> None:
    path = tiny_clone.root / file
    content = path.read_bytes()
    path.unlink()  # it may be linked to the cache
    if isinstance(change, str):
        path.write_text(change)
    else:
        np.savez(path, **{**np.load(io.BytesIO(content)), **change})
    line = last_line(tiny_clone, stage)
    assert file in line
    assert said in line


def test_dvc_ends_with_the_stages_line_and_loses_nothing(tiny_clone: Project) -> None:
    before = (tiny_clone.root / "models/model.keras").read_bytes()
    tiny_clone.edit_params(lambda params: params["recipes"]["tutorial"].update(epochs=0))
    done = tiny_clone.run("dvc", "repro")
    assert done.returncode != 0
    assert "train: params.yaml: recipes.tutorial: epochs: input should be" in done.stderr
    tiny_clone.ok("git", "checkout", "params.yaml")
    tiny_clone.ok("dvc", "checkout")
    assert (tiny_clone.root / "models/model.keras").read_bytes() == before


def test_a_recipe_that_is_not_there_costs_nothing_that_does_not_come_back(
    tiny_clone: Project,
) -> None:
    """DVC looks for the params of a stage only when it has deleted what the stage made."""
    results = tiny_clone.ok("git", "ls-files", "metrics", "plots", "params.yaml").split()
    results += ["models/model.keras"]
    before = tiny_clone.bytes_of(results)
    failed = tiny_clone.run("dvc", "exp", "run", "-S", "recipe=nope")
    assert failed.returncode != 0
    # As the README quotes it.
    assert "Parameters 'recipes.nope' are missing" in failed.stderr
    assert not (tiny_clone.root / "models/model.keras").exists()
    tiny_clone.ok("sh", "-c", "git restore . && dvc checkout")
    assert tiny_clone.bytes_of(results) == before
    # Our own command looks first.
    tiny_clone.edit_params(lambda params: params.update(recipe="nope"))
    refused = tiny_clone.command("check-params").stderr
    assert "recipe: 'nope' is not defined; choose one of: tutorial, " in refused
    assert (tiny_clone.root / "models/model.keras").exists()


TOO_LARGE = "train: params.yaml: the recipe needs more memory than there is: "


def trained_within(project: Project, units: int, allowed: int) -> str:
    """What train says of a recipe of wide layers where it may address so many kilobytes."""
    dense = {"layer": "dense", "units": units}
    layers = [{"layer": "flatten"}, dense, dense]
    project.edit_params(lambda params: params["recipes"]["tutorial"].update(layers=layers))
    done = project.run("sh", "-c", f"ulimit -v {allowed} && exec python -m stages train")
    assert done.returncode == 1, done.stdout
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.slow
def test_a_recipe_too_large_for_the_memory(tiny_clone: Project) -> None:
    allowed = 3_300_000
    start = f"{TOO_LARGE}up to layers.2, with batches of 16, at least 4.3 GB, and there are "
    line = trained_within(tiny_clone, 16384, allowed)
    assert line.startswith(start)
    # Enough for the weights and their gradients, but the rest of training takes as much again.
    spare = float(line.removeprefix(start).split()[0])
    allowed += round((4.3 - spare + 0.3) * 1e9 / 1024)
    assert trained_within(tiny_clone, 16384, allowed).startswith(f"{TOO_LARGE}take fewer units")


@pytest.mark.parametrize("stage", ["train", "evaluate"])
@pytest.mark.parametrize("allowed", [600_000, 1_500_000, 2_700_000])
def test_less_memory_than_tensorflow_takes(tiny_clone: Project, stage: str, allowed: int) -> None:
    done = tiny_clone.run("sh", "-c", f"ulimit -v {allowed} && exec python -m stages {stage}")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    said = f"{allowed * 1024 / 1e9:.1f} GB: allow more, and run it again"
    assert line.startswith(f"{stage}: TensorFlow needs "), line
    assert line.endswith(f" GB of address space, and `ulimit -v` allows {said}"), line
