"""Every dependency is declared: modules, params and files, no more and no less."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from dvc_data.hashfile.meta import Meta
from imports import check_deps_of_code, own_files_imported
from projects import ROOT, STAGES, Project, dump_yaml, load_yaml

from workflow.core.params import Params
from workflow.model.recipe import Recipe

PIPELINE = load_yaml(ROOT / "dvc.yaml")["stages"]


def declared_params(stage: str, recipe: str) -> list[str]:
    return [key.replace("${recipe}", recipe) for key in PIPELINE[stage].get("params", [])]


def deps(stage: str) -> list[str]:
    folder = load_yaml(ROOT / "params.yaml")["data"]["folder"]
    return [dep.replace("${data.folder}", folder) for dep in PIPELINE[stage]["deps"]]


def outputs(stage: str) -> list[str]:
    listed = [
        entry for kind in ("outs", "metrics", "plots") for entry in PIPELINE[stage].get(kind, [])
    ]
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in listed]


def files_below(root: Path, names: list[str]) -> dict[str, bytes]:
    found = {}
    for name in names:
        path = root / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                found[file.relative_to(root).as_posix()] = file.read_bytes()
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_deps_of_code_are_what_the_stage_imports(stage: str) -> None:
    check_deps_of_code(PIPELINE[stage]["deps"], f"stages/{stage}.py", ROOT)


def test_no_param_has_a_name_that_the_run_cache_leaves_out() -> None:
    left_out = [f'"{name}"' for name in (Meta.PARAM_SIZE, Meta.PARAM_NFILES)]
    schemas = {
        model.__name__: [name for name in left_out if name in json.dumps(model.model_json_schema())]
        for model in (Params, Recipe)
    }
    # For data.size, which the stage that reads it is kept out of the run cache.
    assert schemas == {"Params": [f'"{Meta.PARAM_SIZE}"'], "Recipe": []}
    assert {"data/classes.json": {"persist": True}} in PIPELINE["normalize"]["outs"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_needs_and_reads_just_what_it_declares(
    stage: str, real: Project, tmp_path: Path
) -> None:
    for dep in deps(stage):
        (tmp_path / dep).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (real.root / dep).is_dir() else shutil.copy2
        copy(real.root / dep, tmp_path / dep)
    shutil.copy2(real.root / "dvc.yaml", tmp_path)
    # The params that it does not declare are valid, but not those of the pipeline.
    params = load_yaml(real.root / "params.yaml")
    declared = declared_params(stage, params["recipe"])
    if "seed" not in declared:
        params["seed"] += 1
    params["data"]["sources"] = [str(real.data_source)]
    for name, recipe in params["recipes"].items():
        if f"recipes.{name}" not in declared:
            recipe |= {"epochs": recipe["epochs"] + 1, "batch_size": 1000}
    dump_yaml(tmp_path / "params.yaml", params)

    recorder = str(Path(__file__).parents[1] / "record_params.py")
    said = Project(tmp_path).ok(sys.executable, recorder, stage)
    assert files_below(tmp_path, outputs(stage)) == files_below(real.root, outputs(stage))
    inputs = [*deps(stage), "dvc.yaml", "params.yaml"]
    written = {*files_below(tmp_path, ["."])}
    assert written == {*files_below(tmp_path, [*inputs, *outputs(stage)])}

    seen = {*json.loads(said.splitlines()[-1])}

    def covered(inner: str, outer: str) -> bool:
        return f"{inner}.".startswith(f"{outer}.")

    undeclared = {key for key in seen if not any(covered(key, of) for of in declared)}
    unread = {of for of in declared if not any(covered(key, of) for key in seen)}
    assert (undeclared, unread) == (set(), set())


def test_only_train_and_evaluate_import_tensorflow() -> None:
    for stage in STAGES:
        imports = own_files_imported(ROOT / "stages" / f"{stage}.py", ROOT)
        assert ("workflow/model/tensorflow.py" in imports) == (stage in ("train", "evaluate"))


def test_one_module_imports_tensorflow() -> None:
    importers = [
        path.relative_to(ROOT).as_posix()
        for room in ("stages", "workflow", "commands", "published")
        for path in sorted((ROOT / room).rglob("*.py"))
        if "tests" not in path.parts
        and any(
            line.split()[:2] in (["import", "tensorflow"], ["import", "keras"])
            or line.startswith(("from tensorflow", "from keras"))
            for line in map(str.strip, path.read_text().splitlines())
        )
    ]
    assert importers == ["workflow/model/tensorflow.py"]


@pytest.mark.parametrize(
    ("room", "below"),
    [
        ("workflow", ("workflow/",)),
        ("stages", ("workflow/", "stages/")),
        ("commands", ("workflow/", "commands/")),
    ],
)
def test_imports_point_one_way(room: str, below: tuple[str, ...]) -> None:
    for path in (ROOT / room).rglob("*.py"):
        others = [name for name in own_files_imported(path, ROOT) if not name.startswith(below)]
        assert others == [], path


def test_the_locked_packages_of_the_stages_are_those_of_the_environment() -> None:
    def pins(name: str) -> set[str]:
        lines = (ROOT / "requirements" / name).read_text().splitlines()
        return {line.split()[0] for line in lines if "==" in line and "--hash" not in line}

    assert pins("pipeline.lock") <= pins("all.lock")
    assert pins("uv.lock") <= pins("all.lock")
