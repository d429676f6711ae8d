"""The two studies, of tutorials and of recipes, can be deleted, and nothing misses them."""

import ast
import re
import shutil
import tomllib
from pathlib import Path

import pytest
from projects import ROOT, STUDIES, Project, clone_of, dump_yaml, load_yaml

PAGE = ROOT / "published/README.md"


def strings_of_code(path: Path) -> list[str]:
    """What is imported, and every string that is no docstring."""
    nodes = [*ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    found = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(node.module or "")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found += [node.value] * (id(node) not in docstrings)
    return found


@pytest.mark.parametrize("room", ["workflow", "stages", "commands"])
def test_no_code_of_another_room_names_the_folders(room: str) -> None:
    named = {
        path.relative_to(ROOT).as_posix(): text
        for path in sorted((ROOT / room).rglob("*.py"))
        for text in strings_of_code(path)
        if re.search(r"\b(published|frontier)\b", text)
    }
    assert named == {}


def test_settings_name_the_folder_where_they_are_told_to() -> None:
    assert "published" not in (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "published" not in (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["pytest"]["ini_options"].pop("testpaths") == [
        "tests",
        "frontier/tests",
        "published/tests",
    ]
    assert "published" not in str(project)


@pytest.mark.slow
@pytest.mark.skipif(not PAGE.exists(), reason="it is deleted")
def test_the_rest_works_without_the_folders(real: Project, tmp_path: Path) -> None:
    project = clone_of(real, tmp_path / "project")
    page = PAGE.read_text(encoding="utf-8").partition("## Delete it")[2]
    unused = [name for name in re.findall(r"`([\w-]+)`", page) if name in recipes(project)]
    assert len(unused) == 5
    for study in STUDIES:
        shutil.rmtree(project.root / study)
    project.edit_params(lambda p: [p["recipes"].pop(name) for name in unused])
    review = load_yaml(project.root / "review.yaml")
    del review["seeds"]
    dump_yaml(project.root / "review.yaml", review)
    project.commit("Delete the studies")

    project.ok("dvc", "checkout")
    assert project.repro() == []
    project.ok("python", "-m", "commands", "check-params")
    project.ok("python", "-m", "commands", "check-lock")
    project.ok("ruff", "check")
    project.ok("ruff", "format", "--check")
    project.ok("mypy")
    assert "make repro" in project.ok("make", "help")
    collected = project.ok("pytest", "--collect-only", "-q")
    assert not any(f"{study}/tests" in collected for study in STUDIES)


def recipes(project: Project) -> dict[str, object]:
    return load_yaml(project.root / "params.yaml")["recipes"]
