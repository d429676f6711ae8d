"""Two branches that each add a recipe are merged; the results of the merge are those of a run."""

import json
from typing import Any

import pytest
from projects import Project, load_yaml

pytestmark = pytest.mark.slow


def add_recipe(project: Project, name: str, units: int) -> None:
    """A branch on which a recipe is added and used."""
    project.ok("git", "checkout", "-q", "-B", name, "main")

    def add(params: dict[str, Any]) -> None:
        layers = [{"layer": "flatten"}, {"layer": "dense", "units": units, "activation": "relu"}]
        params["recipes"][name] = {**params["recipes"]["tutorial"], "layers": layers}
        params["recipe"] = name

    project.edit_params(add)
    project.repro()
    project.commit(f"Add {name}")


def test_results_of_a_merge_are_made_anew(tiny_clone: Project) -> None:
    project = tiny_clone
    add_recipe(project, "one", 8)
    add_recipe(project, "two", 16)
    assert project.run("git", "merge", "one").returncode == 1
    conflicts = project.ok("git", "diff", "--name-only", "--diff-filter=U").split()
    assert {"params.yaml", "dvc.lock", "metrics/test.json", "plots/history.csv"} <= set(conflicts)

    # Params are for people, and the messages say so.
    done = project.command("check-params")
    assert "params.yaml: holds conflict markers of a merge in line" in done.stderr
    assert "let `make resolve` make the results anew" in done.stderr
    done = project.command("check-lock")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "make resolve" in done.stderr
    done = project.command("resolve")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("resolve: params.yaml: no results of a run: resolve these by")

    project.ok("git", "checkout", "-q", "--ours", "params.yaml")
    theirs = project.ok("git", "show", "one:params.yaml")
    (project.root / "theirs.yaml").write_text(theirs, encoding="utf-8")
    recipe = load_yaml(project.root / "theirs.yaml")["recipes"]["one"]
    (project.root / "theirs.yaml").unlink()
    project.edit_params(lambda params: params["recipes"].update(one=recipe))
    project.ok("git", "add", "params.yaml")
    done = project.command("resolve")
    assert done.returncode == 0, done.stdout + done.stderr
    assert project.ok("git", "diff", "--name-only", "--diff-filter=U") == ""
    project.ok("git", "commit", "-qm", "Merge one")
    assert project.ok("git", "status", "--porcelain") == ""
    assert project.command("check-lock").returncode == 0
    assert project.repro() == []
    # The recipe in use is that of this side, whose results they are.
    ours = json.loads(project.ok("git", "show", "two:metrics/test.json"))
    assert json.loads((project.root / "metrics/test.json").read_text()) == ours
    assert project.command("resolve").stdout == "resolve: no merge has left a conflict here\n"
