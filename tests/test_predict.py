"""The command that predicts, run as people run it: as a process, on a small real model."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

ROOT = Path(__file__).parent.parent
HEIGHT, WIDTH = 12, 10
TRAINS_A_MODEL = """
from pathlib import Path
from workflow.dataset import read_array
from workflow.params import load_params
from workflow.reproducible import save_model
from workflow.runs import train_run
params = load_params()
recipe = params.recipes["tutorial"].model_copy(update={"epochs": 40})
archive = Path("data/normalized.npz")
model, history = train_run(archive, "tutorial", recipe, 1, len(params.data.class_names))
assert history[-1].accuracy == 1
Path("models").mkdir()
save_model(model, Path("models/model.keras"))
"""


def images_of(labels):
    """Wide (class 1) and tall (class 3) blocks on black, each touching two borders."""
    images = np.zeros((len(labels), HEIGHT, WIDTH), np.float32)
    for image, label in zip(images, labels, strict=True):
        if label == 1:
            image[4:8] = 1
        else:
            image[:, 3:6] = 1
    return images


def python(folder, *arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        check=False,
        **options,
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predict")
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["data"]["class_names"] = ["T-shirt/top", "Trouser", "Pullover", "Dress"]
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    (folder / "data").mkdir()
    train, test = np.array([1, 3] * 40, np.uint8), np.array([3, 1, 3], np.uint8)
    np.savez(
        folder / "data/normalized.npz",
        train_images=images_of(train),
        train_labels=train,
        test_images=images_of(test),
        test_labels=test,
    )
    done = python(folder, "-c", TRAINS_A_MODEL)
    assert done.returncode == 0, done.stderr.decode()
    wide = Image.new("RGB", (300, 200), "white")
    wide.paste("navy", (50, 80, 250, 140))
    wide.save(folder / "wide.jpg", quality=95)
    wide.transpose(Image.Transpose.ROTATE_90).save(folder / "3", "PNG")
    return folder


def predict(project, *arguments, **options):
    done = python(project, "-m", "commands.predict", *arguments, **options)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_test_images_pictures_and_standard_input_as_json_with_a_plot(project):
    status, out, err = predict(
        project,
        *("0", "1", "wide.jpg", "./3", "-", "--json", "--plot", "seen.png"),
        input=(project / "wide.jpg").read_bytes(),
    )
    assert (status, err) == (0, "")
    answers = json.loads(out)
    assert [answer["input"] for answer in answers] == [
        *("test image 0", "test image 1", "wide.jpg", "./3", "standard input")
    ]
    assert [answer["class"] for answer in answers] == [
        *("Dress", "Trouser", "Trouser", "Dress", "Trouser")
    ]
    assert [answer["label"] for answer in answers] == [3, 1, 1, 3, 1]
    assert [answer.get("actual") for answer in answers] == ["Dress", "Trouser", None, None, None]
    for answer in answers:
        top = [other["probability"] for other in answer["top"]]
        assert len(top) == 3
        assert top == sorted(top, reverse=True)
        assert answer["probability"] == top[0] > 0.5
    assert answers[2] == {**answers[4], "input": "wide.jpg"}
    with Image.open(project / "seen.png") as plot:
        assert plot.height > plot.width


def test_text_for_people(project):
    status, out, err = predict(project, "0")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("test image 0: Dress ")
    assert lines[0].endswith("% (actual: Dress)")
    assert lines[1].startswith("  then ")


def test_a_closed_standard_input_is_one_line(project):
    command = f'exec "{sys.executable}" -m commands.predict - <&-'
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "predict: standard input is closed: name a picture file\n"


def test_what_cannot_be_used_gets_a_line_each_and_the_rest_its_answer(project):
    (project / "text.png").write_text("no picture")
    Image.new("L", (1, 1)).save(project / "one.png")
    status, out, err = predict(
        project, "wide.jpg", "3", "text.png", "one.png", "none.jpg", "9" * 5000
    )
    assert status == 1
    assert out.startswith("wide.jpg: Trouser ")
    assert len(out.splitlines()) == 2
    lines = err.splitlines()
    assert len(lines) == 5
    assert lines[4].endswith("File name too long: name a picture file")
    assert "test image 3: there are 3: give 0 to 2, or ./3" in lines[0]
    assert "text.png: no picture" in lines[1]
    assert "one.png: nothing to see" in lines[2]
    assert "none.jpg: No such file" in lines[3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.jpg"], "predict: none.jpg: No such file or directory: name a picture file"),
        (["0", "--plot", "seen.pdf"], "predict: seen.pdf: only PNG is written: end the name"),
        (["0", "--plot", "no/seen.png"], "predict: no: no such folder: make it, or plot to"),
        (["-", "-"], "predict: -: standard input can be read only once"),
        (["0"] * 51 + ["--plot", "seen.png"], "predict: --plot: 51 inputs: give at most 50"),
    ],
)
def test_errors_are_one_line_and_write_nothing(project, arguments, message):
    before = sorted(project.rglob("*"))
    status, out, err = predict(project, *arguments, stdin=subprocess.DEVNULL)
    assert (status, out) == (1, "")
    assert err.startswith(message)
    assert len(err.splitlines()) == 1
    assert sorted(project.rglob("*")) == before


def test_nothing_given_shows_the_usage(project):
    status, _, err = predict(project)
    assert status == 2
    assert err.startswith("usage: python -m commands.predict")


def test_a_missing_model_says_what_makes_it(project, tmp_path):
    shutil.copyfile(project / "params.yaml", tmp_path / "params.yaml")
    status, _, err = predict(tmp_path, str(project / "wide.jpg"))
    assert status == 1
    assert err == "predict: models/model.keras is missing: make it with `dvc repro train`\n"


def test_errors_do_not_wait_for_tensorflow(project):
    code = (
        "import sys, commands.predict as p; p.main(['none.jpg']);"
        " print([m for m in ('tensorflow', 'keras', 'matplotlib') if m in sys.modules])"
    )
    assert python(project, "-c", code).stdout.decode() == "[]\n"


def test_many_large_pictures_are_not_held_at_once(project):
    wide = Image.open(project / "wide.jpg").resize((1024, 1024))
    wide.save(project / "large.png")
    code = (
        "import resource, sys, commands.predict as p; p.main(['large.png'] * int(sys.argv[1]));"
        " print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    few, many = (
        int(python(project, "-c", code, count).stdout.decode().splitlines()[-1])
        for count in ("2", "102")
    )
    # In KiB on Linux and in bytes elsewhere: a hundred pictures are a good half of the process.
    assert many < 1.2 * few
