"""What the Makefile does before it runs anything."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from projects import ROOT


@pytest.mark.parametrize("name", ["plain", 'it\'s "my" $project'])
@pytest.mark.parametrize(("moved", "left"), [(True, False), (False, True)])
def test_an_environment_that_was_moved_is_made_anew(
    tmp_path: Path, moved: bool, left: bool, name: str
) -> None:
    folder = tmp_path / name
    (folder / ".venv").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", folder)
    made_in = tmp_path / "elsewhere" if moved else folder
    (folder / ".venv/ready").write_text(f"{made_in}\n")
    done = subprocess.run(["make", "help"], cwd=folder, check=True, capture_output=True)
    assert done.stderr == b""
    assert (folder / ".venv").exists() is left


def test_a_variable_that_hides_the_modules_here_is_not_passed_on(tmp_path: Path) -> None:
    targets = f"include {ROOT}/Makefile\nshow:\n\t@env\n"
    (tmp_path / "Makefile").write_text(targets)
    variables = os.environ | {"PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        ["make", "show"], cwd=tmp_path, check=True, capture_output=True, text=True, env=variables
    )
    assert "PATH=" in done.stdout
    assert "PYTHONSAFEPATH" not in done.stdout
