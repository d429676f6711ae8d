"""Every dependency is declared: modules, params and files, no more and no less."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, STAGES, Project
from imports import own_files_imported

PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
# `download` reads the sources, but they do not decide what it writes: the checksums do.
READ_WITHOUT_EFFECT = {"download": {"data.sources"}}

# Runs a stage and prints the params that it looked at, by their full names.
RECORDER = """
import json, runpy, sys
from workflow import params as module

seen, names = set(), {}

def label(value, name):
    names[id(value)] = name
    if isinstance(value, module.Strict):
        for field in type(value).model_fields:
            label(value.__dict__[field], f"{name}.{field}" if name else field)
    elif isinstance(value, dict):
        for key, item in value.items():
            label(item, f"{name}.{key}")

plain = module.Strict.__getattribute__

def recording(self, attribute):
    value = plain(self, attribute)
    if attribute in type(self).model_fields and id(self) in names:
        if not isinstance(value, (module.Strict, dict)):
            seen.add(f"{names[id(self)]}.{attribute}".lstrip("."))
    return value

kept = []

def load(path=module.PARAMS_FILE, load=module.load_params):
    value = load(path)
    kept.append(value)
    label(value, "")
    module.Strict.__getattribute__ = recording
    return value

module.load_params = load
sys.argv = sys.argv[1:]
try:
    runpy.run_module(sys.argv[0], run_name="__main__")
finally:
    print("SEEN " + json.dumps(sorted(seen)))
"""


def declared_params(stage: str, recipe: str) -> list[str]:
    return [key.replace("${recipe}", recipe) for key in PIPELINE[stage].get("params", [])]


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
            found[file.relative_to(root).as_posix()] = file.read_bytes()
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_the_modules_that_the_stage_imports(stage: str) -> None:
    code = {dep for dep in PIPELINE[stage]["deps"] if dep.endswith(".py")}
    assert code == own_files_imported(ROOT / "stages" / f"{stage}.py", ROOT)


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_those_that_the_stage_reads(stage: str, real: Project) -> None:
    for dep in PIPELINE[stage]["deps"]:
        assert (real.root / dep).exists()
    recipe = yaml.safe_load((real.root / "params.yaml").read_text())["recipe"]
    saved = files_below(real.root, outputs(stage))
    source = {"DATA_SOURCE": str(real.root / "data/raw")}
    done = real.run("python", "-c", RECORDER, f"stages.{stage}", env=source)
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("SEEN "))
    seen = set(json.loads(line.removeprefix("SEEN "))) - READ_WITHOUT_EFFECT.get(stage, set())
    declared = declared_params(stage, recipe)

    def covered(inner: str, outer: str) -> bool:
        return f"{inner}.".startswith(f"{outer}.")

    undeclared = {key for key in seen if not any(covered(key, of) for of in declared)}
    unread = {of for of in declared if not any(covered(key, of) for key in seen)}
    assert (undeclared, unread) == (set(), set())
    assert files_below(real.root, outputs(stage)) == saved


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_needs_only_what_it_declares(stage: str, real: Project, tmp_path: Path) -> None:
    for dep in PIPELINE[stage]["deps"]:
        (tmp_path / dep).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (real.root / dep).is_dir() else shutil.copy2
        copy(real.root / dep, tmp_path / dep)
    shutil.copy2(real.root / "dvc.yaml", tmp_path)
    # The params that it does not declare are valid, but not those of the pipeline.
    params = yaml.safe_load((real.root / "params.yaml").read_text())
    declared = declared_params(stage, params["recipe"])
    if not any(key == "seed" for key in declared):
        params["seed"] += 1
    params["data"]["sources"] = [str(real.root / "data/raw")]
    for name, recipe in params["recipes"].items():
        if f"recipes.{name}" not in declared:
            recipe |= {"epochs": recipe["epochs"] + 1, "batch_size": 1000}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))

    project = Project(tmp_path)
    project.ok("python", "-m", f"stages.{stage}")
    assert files_below(tmp_path, outputs(stage)) == files_below(real.root, outputs(stage))
    inputs = set(PIPELINE[stage]["deps"]) | {"dvc.yaml", "params.yaml"}
    written = {
        file.relative_to(tmp_path).as_posix()
        for file in tmp_path.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    allowed = set(files_below(tmp_path, [*inputs, *outputs(stage)]))
    assert written == allowed


def test_only_train_and_evaluate_import_tensorflow() -> None:
    for stage in STAGES:
        imports = own_files_imported(ROOT / "stages" / f"{stage}.py", ROOT)
        assert ("workflow/reproducible.py" in imports) == (stage in ("train", "evaluate"))


def test_one_module_imports_tensorflow() -> None:
    importers = [
        path.relative_to(ROOT).as_posix()
        for room in ("stages", "workflow", "commands")
        for path in sorted((ROOT / room).rglob("*.py"))
        if any(
            line.split()[:2] in (["import", "tensorflow"], ["import", "keras"])
            or line.startswith(("from tensorflow", "from keras"))
            for line in map(str.strip, path.read_text().splitlines())
        )
    ]
    assert importers == ["workflow/reproducible.py"]


def test_imports_point_one_way() -> None:
    for path in (ROOT / "workflow").rglob("*.py"):
        names = own_files_imported(path, ROOT)
        assert not [name for name in names if not name.startswith("workflow/")]


def test_the_locked_packages_of_the_stages_are_those_of_the_environment() -> None:
    def pins(name: str) -> set[str]:
        lines = (ROOT / "requirements" / name).read_text().splitlines()
        return {line.split()[0] for line in lines if "==" in line and "--hash" not in line}

    assert pins("pipeline.lock") <= pins("all.lock")
    assert pins("uv.lock") <= pins("all.lock")
