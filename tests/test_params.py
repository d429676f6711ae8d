"""`params.yaml` is validated as a whole; each message names the key and the file."""

import copy
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import dumps_yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from workflow.errors import UserError
from workflow.params import load_params, parse_yaml

VALID = yaml.safe_load((ROOT / "params.yaml").read_text())


def message(tmp_path: Path, content: object) -> str:
    path = tmp_path / "params.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    with pytest.raises(UserError) as error:
        load_params(path)
    text = str(error.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text.removeprefix(f"{path}: ")


def test_the_committed_file_is_valid() -> None:
    params = load_params(ROOT / "params.yaml")
    assert params.recipe in params.recipes


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (
            "recipe",
            "tutorail",
            f"'tutorail' is not defined; choose one of: {', '.join(sorted(VALID['recipes']))}",
        ),
        ("seed", -1, "seed: input should be greater than or equal to 0, got -1"),
        ("seed", "one", "seed: input should be a valid integer, got 'one'"),
        ("seed", True, "seed: input should be a valid integer, got True"),
        ("recipes.tutorial.epochs", -1, "recipes.tutorial.epochs: input should be greater"),
        ("recipes.tutorial.epochs", "ten", "recipes.tutorial.epochs: input should be a valid"),
        ("recipes.tutorial.epochs", 1.5, "recipes.tutorial.epochs: input should be a valid"),
        ("recipes.tutorial.epoch", 3, "recipes.tutorial.epoch: unknown key"),
        ("recipes.tutorial.head", "linear", "recipes.tutorial.head: input should be 'logits' or"),
        ("recipes.tutorial.validation_fraction", 1, "recipes.tutorial.validation_fraction: input"),
        ("recipes.tutorial.optimizer.name", "adamm", "recipes.tutorial.optimizer: input tag"),
        ("recipes.tutorial.optimizer.learning_rate", 0, "recipes.tutorial.optimizer.adam.learn"),
        ("recipes.tutorial.optimizer.learning_rate", float("inf"), "finite number"),
        ("data.class_names", ["one"], "data.class_names: list should have at least 2 items"),
        ("data.class_names", ["one", "two", "one"], "data: class_names holds 'one' twice"),
        ("data.class_names", ["one", "t\r\nwo"], "'t\\r\\nwo' holds a control character"),
        ("data.files.train_images.name", "..", "data.files.train_images.name: string should"),
        (
            "data.files.train_images.name",
            VALID["data"]["files"]["test_images"]["name"],
            f"data.files: name holds {VALID['data']['files']['test_images']['name']!r} twice",
        ),
        ("data.files.train_images.sha256", "abc", "data.files.train_images.sha256: string should"),
        ("data.files.train_images.name", "../x", "data.files.train_images.name: string should"),
        ("sed", 1, "sed: unknown key: check the spelling"),
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


@pytest.mark.parametrize("written", ["1e-05", "1e-3", "1.5E-3", ".5e-3", "2.e-4", "0.00001"])
def test_numbers_may_be_written_as_dvc_writes_them(tmp_path: Path, written: str) -> None:
    path = tmp_path / "params.yaml"
    text = (ROOT / "params.yaml").read_text()
    assert "learning_rate: 0.001" in text
    path.write_text(text.replace("learning_rate: 0.001", f"learning_rate: {written}"))
    chosen = load_params(path).recipes["tutorial"]
    assert chosen.optimizer.learning_rate == float(written)


WRITTEN_ODDLY = ["4:3", "1:30.5", "yes", "Off", "n", "0o17", "1_000", "010", "1e5", ".5e3", "null"]


@given(st.text("0123456789:.eE+-_oxnyOf~= <'\"#", min_size=1) | st.floats() | st.integers())
@example(WRITTEN_ODDLY)
@settings(deadline=None, derandomize=True)
@example([True, False, None, 1e-05, -0.0, float("inf")])
def test_what_dvc_writes_is_read_as_it_was(value: object) -> None:
    read = parse_yaml(dumps_yaml({"value": value}))["value"]
    assert repr(read) == repr(value)


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
    assert recipes["longer"] == recipes["tutorial"].model_copy(update={"epochs": 99})


def test_an_absurd_width_is_named(tmp_path: Path) -> None:
    content = copy.deepcopy(VALID)
    dense = next(x for x in content["recipes"]["tutorial"]["layers"] if x["layer"] == "dense")
    dense["units"] = 10**10
    assert "units: input should be less than or equal to 65536" in message(tmp_path, content)


@pytest.mark.parametrize("key", ["recipe", "seed", "data", "recipes"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    content = {name: value for name, value in VALID.items() if name != key}
    assert message(tmp_path, content).startswith(f"{key}: this key is missing")


def test_a_misspelt_key_is_named_before_the_one_it_leaves_missing(tmp_path: Path) -> None:
    content = {name.replace("seed", "sead"): value for name, value in VALID.items()}
    assert message(tmp_path, content).startswith("sead: unknown key")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: [1", "not valid YAML"),
        ("seed: 1\nseed: 2", "the key 'seed' stands twice"),
        ("", "input should be a valid dictionary"),
        ("- 1", "input should be a valid dictionary"),
        ("? [a]\n: 1", "a key must be a name or a number"),
        ("seed: 010", "write 010 as a plain decimal number"),
        ("seed: 0x1F", "write 0x1F as a plain decimal number"),
        ("seed: 2024-13-45", "not valid YAML: month must be in 1..12"),
        ("seed: !!bool maybe", "not valid YAML: 'maybe'"),
        ("seed: !!set [1]", "not valid YAML: "),
        ("[" * 3000, "not valid YAML: maximum recursion depth exceeded"),
    ],
)
def test_no_params_at_all(tmp_path: Path, text: str, said: str) -> None:
    assert said in message(tmp_path, text)


def test_a_time_of_day_is_no_number(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text()
    assert f"\nseed: {VALID['seed']}\n" in text
    text = text.replace(f"\nseed: {VALID['seed']}\n", "\nseed: 1:30\n")
    assert message(tmp_path, text) == "seed: input should be a valid integer, got '1:30'"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml is missing"):
        load_params(tmp_path / "nowhere.yaml")
