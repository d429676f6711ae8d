"""`params.yaml` is checked as a whole; each message names the key and the file."""

import copy
import re
import textwrap
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides
from projects import ROOT, dump_yaml, load_yaml

from workflow.core.errors import UserError
from workflow.core.params import load_params
from workflow.core.yaml import read_yaml

VALID = load_yaml(ROOT / "params.yaml")
OF_TESTS = VALID["data"]["files"]["test_images"]["name"]


def message(tmp_path: Path, content: object) -> str:
    path = tmp_path / "params.yaml"
    dump_yaml(path, content)
    with pytest.raises(UserError) as error:
        load_params(path)
    text = str(error.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text.removeprefix(f"{path}: ")


def test_the_committed_file_is_valid() -> None:
    params = load_params(ROOT / "params.yaml")
    assert params.recipe_settings(params.recipe) == VALID["recipes"][params.recipe]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (
            "recipe",
            "tutorail",
            f"'tutorail' is not defined; choose one of: {next(iter(VALID['recipes']))}",
        ),
        ("seed", -1, "seed: input should be greater than or equal to 0, got -1"),
        ("seed", "one", "seed: input"),
        ("seed", "1:30", "seed: input"),  # no number of minutes
        ("seed", True, "seed: input"),
        ("recipes.a/b", {}, "a/b"),
        ("data.class_names", ["one"], "data.class_names: list"),
        ("data.class_names", ["one", "two", "one"], "data.class_names: the list holds 'one' twice"),
        ("data.class_names", ["one", "t\r\nwo"], "'t\\r\\nwo' holds a control character"),
        ("data.class_names", ["caf\u00e9", "cafe\u0301"], "data.class_names: the list holds"),
        ("data.class_names", ["one", " "], "data.class_names.1: ' ' is blank: name the class"),
        ("data.class_names", ["\u200b", "b"], "is blank: name the class"),
        ("data.class_names", ["one", "two "], "'two ' has a space at an end: delete it"),
        ("data.folder", "~/photos", "DVC takes ~ for a name: write the whole path"),
        ("data.class_names", [0, 1], "data.class_names: 0 is no text in YAML: quote the names"),
        ("data.class_names", ["on", False], "False is no text in YAML: quote the names"),
        ("data.format", "png", "data: unknown 'png': choose one of 'idx', 'pictures'"),
        ("data.size", [8, 8], "data.size: unknown key"),
        (
            "data.files.test_images.sha256",
            VALID["data"]["files"]["train_images"]["sha256"],
            "data.files: train_images and test_images have the same sha256",
        ),
        (
            "data.files.test_labels.sha256",
            VALID["data"]["files"]["train_labels"]["sha256"],
            "data.files: train_labels and test_labels have the same sha256",
        ),
        ("data.files.train_images.name", "..", "data.files.train_images.name: string"),
        ("data.files.train_images.name", "../x", "data.files.train_images.name: string"),
        ("data.files.train_images.name", OF_TESTS, f"data.files: name holds {OF_TESTS!r} twice"),
        ("data.files.train_images.sha256", "abc", "data.files.train_images.sha256: string"),
        ("sed", 1, "sed: unknown key: take one of recipe, seed, data, recipes, or delete it"),
    ],
)
def test_a_bad_value_is_named(tmp_path: Path, key: str, value: object, said: str) -> None:
    content = copy.deepcopy(VALID)
    *parents, last = key.split(".")
    place = content
    for parent in parents:
        place = place[parent]
    place[last] = value
    assert said in message(tmp_path, content)


@pytest.mark.parametrize("size", [64, [64], [64, 64, 3], "64"])
def test_a_size_of_pictures_is_two_numbers(tmp_path: Path, size: object) -> None:
    data = {"format": "pictures", "folder": "photos", "size": size}
    assert message(tmp_path, VALID | {"data": data}).endswith(
        "data.size: give height and width, such as [64, 64]"
    )


@pytest.mark.parametrize("file", ["params.yaml", "README.md", "data/own/README.md"])
def test_what_is_shown_of_pictures_is_valid(tmp_path: Path, file: str) -> None:
    text = (ROOT / file).read_text()
    if file == "params.yaml":  # in a comment, with a comment of its own
        lines = [line[1:] for line in text.splitlines() if line.startswith("#   ")]
        text = "```yaml\n" + "\n".join(lines).replace("# s", "s") + "\n```"
    shown = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert shown
    for number, block in enumerate(shown):
        path = tmp_path / f"{number}.yaml"
        path.write_text(textwrap.dedent(block).replace("sha256: …", f"sha256: {'a' * 64}"))
        dump_yaml(tmp_path / "params.yaml", VALID | read_yaml(path))
        assert load_params(tmp_path / "params.yaml").data.format == "pictures"


@pytest.mark.parametrize("content", [None, [1]])
def test_what_holds_no_keys_is_named(tmp_path: Path, content: object) -> None:
    assert message(tmp_path, content).startswith("input should be a valid dictionary")


def test_a_recipe_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(UserError, match=r"no recipe 'none'; choose one of: .*cnn"):
        load_params(ROOT / "params.yaml").recipe_settings("none")


@pytest.mark.parametrize("written", ["1e-05", "1e-3", "1.5E-3", ".5e-3", "2.e-4", "0.00001"])
def test_numbers_may_be_written_as_dvc_writes_them(tmp_path: Path, written: str) -> None:
    path = tmp_path / "params.yaml"
    text = (ROOT / "params.yaml").read_text()
    assert "learning_rate: 0.001" in text
    path.write_text(text.replace("learning_rate: 0.001", f"learning_rate: {written}"))
    chosen = load_params(path).recipe_settings("tutorial")
    assert chosen["optimizer"]["learning_rate"] == float(written)


def test_dvc_changes_no_more_of_the_file_than_it_is_told_to(tmp_path: Path) -> None:
    before = (ROOT / "params.yaml").read_text()
    path = tmp_path / "params.yaml"
    path.write_text(before)
    seed = load_params(path).seed
    apply_overrides(path, [f"seed={seed + 1}"])  # what `dvc exp run -S` does
    assert path.read_text() == before.replace(f"\nseed: {seed}\n", f"\nseed: {seed + 1}\n")


def test_a_recipe_may_build_on_another_as_yaml_can(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    text = (ROOT / "params.yaml").read_text().replace("  tutorial:\n", "  tutorial: &base\n", 1)
    path.write_text(text + "  longer:\n    <<: *base\n    epochs: 99\n")
    recipes = load_params(path).recipes
    assert recipes["longer"] == recipes["tutorial"] | {"epochs": 99}


@pytest.mark.parametrize("key", ["recipe", "seed", "data", "recipes"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    content = {name: value for name, value in VALID.items() if name != key}
    assert message(tmp_path, content).startswith(f"{key}: this key is missing")


def test_a_misspelt_key_is_named_before_the_one_it_leaves_missing(tmp_path: Path) -> None:
    content = {name.replace("seed", "sead"): value for name, value in VALID.items()}
    assert message(tmp_path, content).startswith("sead: unknown key")
