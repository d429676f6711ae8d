"""The command that predicts, run as people run it: as a process, on a small real model."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from projects import ROOT, dump_yaml, load_yaml

HEIGHT, WIDTH = 12, 10


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
    params = load_yaml(ROOT / "params.yaml")
    params["data"]["class_names"] = ["T-shirt/top", "Trouser", "Pullover", "Dress"]
    params["recipes"]["tutorial"]["epochs"] = 40
    dump_yaml(folder / "params.yaml", params)
    shutil.copy(ROOT / "dvc.yaml", folder)
    (folder / "data").mkdir()
    (folder / "data/classes.json").write_text(
        json.dumps({"class_names": params["data"]["class_names"]})
    )
    train, test = np.array([1, 3] * 40, np.uint8), np.array([3, 1, 3], np.uint8)
    np.savez(
        folder / "data/normalized.npz",
        train_images=images_of(train),
        train_labels=train,
        test_images=images_of(test),
        test_labels=test,
    )
    done = python(folder, "-m", "stages", "train")
    assert done.returncode == 0, done.stderr.decode()
    assert (folder / "plots/history.csv").read_text().splitlines()[-1].startswith("40,")
    wide = Image.new("RGB", (300, 200), "white")
    wide.paste("navy", (50, 80, 250, 140))
    wide.save(folder / "wide.jpg", quality=95)
    wide.transpose(Image.Transpose.ROTATE_90).save(folder / "3", "PNG")
    return folder


def predict(project, *arguments, **options):
    done = python(project, "-m", "commands", "predict", *arguments, **options)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_test_images_pictures_and_standard_input_as_json_with_a_plot(project):
    status, out, err = predict(
        project,
        *("0", "1", "wide.jpg", "./3", "-", "--json", "--plot", "seen.png"),
        input=(project / "wide.jpg").read_bytes(),
    )
    assert (status, err) == (0, "predict: seen.png shows what the model saw\n")
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


@pytest.mark.slow
def test_what_is_like_no_training_image_is_strange_whatever_its_probability(project, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH)).astype(np.uint8)
    Image.fromarray(noise).save(project / "noise.png")
    _, out, _ = predict(project, "0", "noise.png", "--json")
    assert [answer["stranger_than"] for answer in json.loads(out)] == [0, 1]
    assert "; stranger than 100% of the test images\n" in predict(project, "noise.png")[1]
    # Who was given the model alone.
    shutil.copytree(project, tmp_path / "alone", ignore=shutil.ignore_patterns("*.npz"))
    status, out, _ = predict(tmp_path / "alone", "noise.png")
    assert status == 0
    assert "stranger" not in out


def test_a_closed_standard_input_is_one_line(project):
    command = f'exec "{sys.executable}" -m commands predict - <&-'
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


def test_a_folder_stands_for_its_pictures(project):
    folder = project / "new"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg"):
        shutil.copy(project / "wide.jpg", folder / name)
    (folder / "notes.txt").write_text("no picture")
    (folder / "below").mkdir()
    for name in ("below/c.jpg", ".hidden.jpg"):
        shutil.copy(project / "wide.jpg", folder / name)
    status, out, err = predict(project, "new", "--json")
    assert (status, err) == (0, "predict: new: 1 files are no pictures\n")
    found = [answer["input"] for answer in json.loads(out)]
    assert found == ["new/a.jpg", "new/b.jpg", "new/below/c.jpg"]
    for path in folder.rglob("[a-c].jpg"):
        path.unlink()
    assert predict(project, "new")[::2] == (
        1,
        "predict: new: the folder holds no pictures: name another\n",
    )


def test_a_picture_of_the_model_s_size_is_not_changed(project):
    archive = np.load(project / "data/normalized.npz")
    for row, image in enumerate(archive["test_images"]):
        Image.fromarray((image * 255).astype(np.uint8)).save(project / f"row {row}.png")
    names = [f"row {row}.png" for row in range(3)]
    _, of_files, _ = predict(project, *names, "--json")
    _, of_rows, _ = predict(project, "0", "1", "2", "--json")
    for of_file, of_row in zip(json.loads(of_files), json.loads(of_rows), strict=True):
        assert of_file["top"] == of_row["top"]


def test_frames_and_a_busy_background_are_told(project):
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    frames = [Image.fromarray(noise), Image.fromarray(255 - noise)]
    frames[0].save(project / "moving.png", save_all=True, append_images=frames[1:])
    status, _, err = predict(project, "moving.png")
    assert status == 0
    assert "moving.png: the first of several frames is taken" in err
    assert "moving.png: the border is no plain background" in err


def test_names_of_any_letters_are_told_and_drawn(project):
    name = "図 \U0001f41f \udce9.jpg"  # the last letter is no UTF-8
    shutil.copy(project / "wide.jpg", project / name)
    strict = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii:strict"}
    done = subprocess.run(
        [sys.executable, "-m", "commands", "predict", name, "--plot", "seen.png"],
        cwd=project,
        env=strict,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("? ? ?.jpg: Trouser ")
    # At most that no font has the letters, and where the plot is.
    assert all(line.startswith("predict: ") for line in done.stderr.splitlines())


def test_nothing_given_shows_the_usage(project):
    status, _, err = predict(project)
    assert status == 2
    assert err.startswith("usage: python -m commands predict")


def test_a_missing_model_says_what_makes_it(project, tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("params.yaml", "data/classes.json"):
        shutil.copyfile(project / name, tmp_path / name)
    status, _, err = predict(tmp_path, str(project / "wide.jpg"))
    assert status == 1
    assert err == "predict: models/model.keras is missing: make it with `dvc repro train`\n"


def test_errors_do_not_wait_for_tensorflow(project):
    code = (
        "import sys, commands.predict as p; p.main(['none.jpg']);"
        " print([m for m in ('tensorflow', 'keras', 'matplotlib') if m in sys.modules])"
    )
    assert python(project, "-c", code).stdout.decode() == "[]\n"


@pytest.mark.slow
def test_many_large_pictures_are_not_held_at_once(project):
    wide = Image.open(project / "wide.jpg").resize((1024, 1024))
    wide.save(project / "large.png")
    code = (
        "import resource, sys; from workflow.core import environment; environment.apply();"
        " import commands.predict as p; p.main(['large.png'] * int(sys.argv[1]));"
        " print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    few, many = (
        int(python(project, "-c", code, count).stdout.decode().splitlines()[-1])
        for count in ("2", "102")
    )
    # In KiB on Linux and in bytes elsewhere: a hundred pictures are a good half of the process.
    assert many < 1.2 * few
