"""The five stages on folders of pictures, in colour, through the real DVC."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from projects import STAGES, STUDIES, Project, built_once, clone_of, copy_repository
from sklearn.datasets import load_digits, load_sample_images

COLOURS = {"red ones": "red", "синие": "blue", "grün": "green"}


def draw(path: Path, colour: str, seed: int) -> None:
    """A spot of a colour on a light page, whose size and format the seed decides."""
    random = np.random.default_rng(seed)
    width, height = (int(side) for side in random.integers(40, 120, 2))
    page = random.integers(180, 256, (height, width, 3)).astype(np.uint8)
    image = Image.fromarray(page)
    left, top = width * random.uniform(0.1, 0.3), height * random.uniform(0.1, 0.3)
    box = (left, top, left + 0.6 * width, top + 0.6 * height)
    ImageDraw.Draw(image).ellipse(box, fill=colour)
    image.save(path.with_suffix([".png", ".jpg", ".webp", ".bmp"][seed % 4]))


def use_pictures(params: dict[str, Any]) -> None:
    params["data"] = {
        "format": "pictures",
        "folder": "photos",
        "size": [12, 9],
        "channels": 3,
        "test_fraction": 0.3,
    }
    params["recipes"]["tutorial"] |= {"epochs": 20, "batch_size": 16}


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project of pictures that DVC tracks, whose pipeline has run; tests leave it as it is."""

    def photos_project(folder: Path) -> None:
        project = copy_repository(folder, left_out=[*STUDIES, "dvc.lock"])
        for seed, (name, colour) in enumerate(COLOURS.items()):
            (folder / "photos" / name).mkdir(parents=True)
            for number in range(30):
                draw(folder / "photos" / name / f"{number:02}", colour, 100 * seed + number)
        (folder / "photos" / "red ones" / "notes.txt").write_text("no picture")
        project.ok("dvc", "add", "photos")
        project.edit_params(use_pictures)
        output = project.ok("dvc", "repro")
        (folder / ".git" / "repro-output").write_text(output)
        project.commit("Use pictures of our own")

    return Project(built_once(tmp_path_factory, photos_project))


@pytest.fixture
def photos_clone(photos: Project, tmp_path: Path) -> Project:
    project = clone_of(photos, tmp_path / "project")
    project.ok("dvc", "checkout")
    return project


def test_five_stages_tell_colours_apart(photos: Project) -> None:
    output = (photos.root / ".git" / "repro-output").read_text()
    assert [stage for stage in STAGES if f"Running stage '{stage}'" in output] == list(STAGES)
    assert "passed over what is no picture: 1 (red ones/notes.txt)" in output
    metrics = json.loads((photos.root / "metrics/test.json").read_text())
    assert metrics["accuracy"] > 0.8
    assert set(json.loads((photos.root / "metrics/per_class.json").read_text())) == set(COLOURS)
    with np.load(photos.root / "data/normalized.npz") as arrays:
        assert arrays["train_images"].shape[1:] == (12, 9, 3)
        assert arrays["train_images"].dtype == np.float32
        assert len(arrays["train_labels"]) + len(arrays["test_labels"]) == 90


@pytest.mark.slow
def test_a_change_of_the_pictures_runs_the_pipeline_and_comes_back(photos_clone: Project) -> None:
    project = photos_clone
    before = project.bytes_of(["data/normalized.npz", "metrics/test.json", "plots/predictions.csv"])
    assert project.repro() == []
    draw(project.root / "photos" / "grün" / "new", "green", 4000)
    assert project.repro()[:2] == ["download", "normalize"]
    assert (project.root / "data/normalized.npz").read_bytes() != before["data/normalized.npz"]
    project.commit("Add a picture")
    project.ok("git", "checkout", "-q", "HEAD~1")
    project.ok("dvc", "checkout")
    assert project.bytes_of([*before]) == before
    assert not list((project.root / "photos" / "grün").glob("new*"))
    assert project.repro() == []


def test_a_changed_size_is_seen_by_dvc(photos_clone: Project) -> None:
    # The key of DVC's run cache leaves out all that is called `size`.
    project = photos_clone
    for size in ([9, 12], [12, 9], [9, 12]):
        project.edit_params(lambda params, size=size: params["data"].update(size=size))
        project.ok("dvc", "repro", "normalize")
        with np.load(project.root / "data/normalized.npz") as arrays:
            assert [*arrays["train_images"].shape[1:]] == [*size, 3]


def test_a_training_picture_is_predicted_from_the_pixels_of_its_row(photos: Project) -> None:
    code = (
        "import numpy as np; from pathlib import Path;"
        " from commands.predict import _prepared, _read;"
        " from workflow.core.params import load_params; data = load_params().data;"
        " rows = {row.tobytes() for row in np.load('data/normalized.npz')['train_images']};"
        " paths = [p for p in Path('photos').rglob('*') if p.suffix in ('.png', '.jpg', '.webp')];"
        " seen = [_prepared(_read(str(p)).content, (12, 9, 3), data, str(p)) for p in paths];"
        " found = {image.tobytes() for image in seen} & rows;"
        " known = {image.tobytes() for image in seen};"
        " print(len(known), len(found))"
    )
    pictures = [*photos.root.glob("photos/*/*.[pjw]*")]
    known, found = map(int, photos.ok("python", "-c", code).split())
    assert known == len(pictures)
    assert found > 0.6 * known


@pytest.mark.slow
def test_a_recipe_of_convolutions_takes_the_colours(photos_clone: Project) -> None:
    project = photos_clone
    small = {"epochs": 1, "batch_size": 16, "validation_fraction": 0.2}
    project.edit_params(lambda params: params["recipes"]["cnn-plain"].update(small))
    project.edit_params(lambda params: params.update(recipe="cnn-plain"))
    assert project.repro() == ["train", "evaluate", "visualize"]
    metrics = json.loads((project.root / "metrics/test.json").read_text())
    assert 0 <= metrics["validation_accuracy"] <= 1
    assert metrics["validation_loss"] > 0
    assert "check-lock: dvc.lock fits" in project.ok("python", "-m", "commands", "check-lock")


def write_digits(folder: Path) -> None:
    """1,797 handwritten digits of 8 × 8 grey pixels (Alpaydin and Kaynak, 1998)."""
    digits = load_digits()
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        image = Image.fromarray((pixels * 255 / 16).astype(np.uint8))
        image.save(folder / str(label) / f"{number}.png")


def write_photographs(folder: Path) -> None:
    """Squares of two photographs, of a temple and of a flower, which do not overlap."""
    for name, pixels in zip(("temple", "flower"), load_sample_images().images, strict=True):
        (folder / name).mkdir(parents=True)
        height, width, _ = pixels.shape
        for top in range(0, height - 40, 40):
            for left in range(0, width - 40, 40):
                square = Image.fromarray(pixels[top : top + 40, left : left + 40])
                square.save(folder / name / f"{top}-{left}.jpg")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("write", "recipe", "settings", "count"),
    [
        (write_digits, "tutorial", {"size": [8, 8], "channels": 1}, 1797),
        (write_photographs, "pictures", {"size": [32, 32], "channels": 3}, 300),
    ],
)
def test_real_pictures_that_a_package_ships(
    tmp_path: Path,
    write: Callable[[Path], None],
    recipe: str,
    settings: dict[str, object],
    count: int,
) -> None:
    project = copy_repository(tmp_path / "project", left_out=[*STUDIES, "dvc.lock"])
    write(project.root / "photos")
    project.ok("dvc", "add", "photos")
    data = {"format": "pictures", "folder": "photos", "test_fraction": 0.2} | settings
    project.edit_params(lambda params: params.update(data=data, recipe=recipe))
    assert project.repro() == list(STAGES)
    metrics = json.loads((project.root / "metrics/test.json").read_text())
    assert metrics["accuracy"] > 0.93
    with np.load(project.root / "data/normalized.npz") as arrays:
        assert len(arrays["train_labels"]) + len(arrays["test_labels"]) == count
