"""check-lock names what does not fit `dvc.lock`, on real commits and without data."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from projects import Project, dump_yaml, load_yaml

from commands.review.lockfile import md5_of, recorded_outs
from commands.review.revisions import Revision

CloneOf = Callable[[str], Project]


def forge(project: Project) -> None:
    """Claim a better accuracy."""
    metrics = project.root / "metrics/test.json"
    content = json.loads(metrics.read_text(encoding="utf-8")) | {"accuracy": 0.9999}
    metrics.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def problems(project: Project) -> str:
    """What check-lock finds, which has to be something."""
    done = project.command("check-lock")
    assert (done.returncode, done.stderr) == (1, "")
    return done.stdout


def test_a_good_commit_passes_without_data(clone_of: CloneOf) -> None:
    clone = clone_of("seed")
    done = clone.command("check-lock")
    assert (done.returncode, done.stderr) == (0, "")
    assert not (clone.root / "data/raw").exists()


def test_a_forged_metric_is_caught_without_data(clone_of: CloneOf) -> None:
    clone = clone_of("main")
    forge(clone)
    clone.commit("Claim more")
    assert "metrics/test.json: is not what stage evaluate wrote" in problems(clone)


def test_a_link_to_a_result_is_no_result(clone_of: CloneOf, tmp_path: Path) -> None:
    clone = clone_of("main")
    picture = clone.root / "plots/sample.png"
    picture.rename(tmp_path / "elsewhere.png")
    picture.symlink_to(tmp_path / "elsewhere.png")
    assert "plots/sample.png: is a link, of which Git keeps no content" in problems(clone)


def test_a_changed_recipe_names_every_pipeline_that_reads_it(clone_of: CloneOf) -> None:
    clone = clone_of("main")
    clone.edit_params(lambda params: params["recipes"]["tutorial"].update(epochs=7))
    found = problems(clone)
    stages = "train, published/dvc.yaml:measure"
    assert f"stage {stages}: param recipes.tutorial is modified" in found
    assert "published/dvc.yaml also needs recipes.tutorial" in found


def test_the_outlook_is_one_line_of_what_another_pipeline_needs(clone_of: CloneOf) -> None:
    clone = clone_of("main")
    clone.edit_params(lambda params: params["recipes"]["tutorial"].update(epochs=7))
    done = clone.command("check-lock", "--outlook")
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)
    assert done.stdout.startswith(
        "make ci would fail: published/dvc.yaml is out of date (param recipes.tutorial is modified"
    )
    assert "`dvc repro published/dvc.yaml` brings it up" in done.stdout
    assert "add a recipe of your own" in done.stdout


@pytest.mark.parametrize(
    ("name", "old", "new", "culprit"),
    [
        (
            "workflow/metrics.py",
            "How good",
            "How good or bad",
            "dep workflow/metrics.py is modified",
        ),
        ("workflow/model/sums.py", "import", "\nimport", "evaluate: dep workflow/model is mod"),
        ("dvc.yaml", "python -m stages train", "python -B -m stages train", "changed command"),
    ],
)
def test_changed_code_and_commands_are_named(
    clone_of: CloneOf, name: str, old: str, new: str, culprit: str
) -> None:
    clone = clone_of("main")
    edit(clone.root / name, old, new)
    assert culprit in problems(clone)


def test_what_python_leaves_beside_the_code_is_no_change(clone_of: CloneOf) -> None:
    clone = clone_of("main")
    (clone.root / "workflow/model/__pycache__").mkdir(exist_ok=True)
    (clone.root / "workflow/model/__pycache__/x.pyc").touch()
    assert clone.command("check-lock").returncode == 0


def test_a_stage_that_has_never_run_is_one_line(clone_of: CloneOf) -> None:
    clone = clone_of("main")
    (clone.root / "published/dvc.lock").unlink()
    found = problems(clone)
    assert found.splitlines()[0] == (
        "check-lock: stage published/dvc.yaml:measure: is in no dvc.lock yet: run"
        " `dvc repro published/dvc.yaml`"
    )
    assert "modified" not in found


def test_what_is_declared_but_not_recorded_is_named(clone_of: CloneOf) -> None:
    clone = clone_of("main")
    lock = clone.root / "dvc.lock"
    content = load_yaml(lock)
    evaluate = content["stages"]["evaluate"]
    evaluate["outs"] = [out for out in evaluate["outs"] if out["path"] != "metrics/test.json"]
    dump_yaml(lock, content)
    assert "stage evaluate: out metrics/test.json is not in dvc.lock" in problems(clone)


def test_what_is_recorded_but_not_declared_is_named(clone_of: CloneOf) -> None:
    clone = clone_of("main")
    pipeline = clone.root / "dvc.yaml"
    content = load_yaml(pipeline)
    for stage in content["stages"].values():
        stage["deps"].remove("workflow/core")
    dump_yaml(pipeline, content)
    told = re.findall(
        r"stage (\w+): dep workflow/core is in dvc.lock, but not in dvc.yaml:"
        r" `dvc repro --force \1`",
        problems(clone),
    )
    # In the order of dvc.lock, whatever the order of a set.
    assert told == list(load_yaml(clone.root / "dvc.lock")["stages"])


def test_a_frozen_stage_is_named(clone_of: CloneOf) -> None:
    """DVC calls it up to date, whatever it reads has become."""
    clone = clone_of("main")
    content = load_yaml(clone.root / "dvc.yaml")
    content["stages"]["train"]["frozen"] = True
    dump_yaml(clone.root / "dvc.yaml", content)
    clone.edit_params(lambda params: params.update(seed=5))
    assert "stage train: is frozen" in problems(clone)


def test_a_result_that_no_stage_wrote_is_named(clone_of: CloneOf) -> None:
    clone = clone_of("main")
    model = recorded_outs(Revision(None, "here", clone.root).lock)["models/model.keras"][1].md5
    lock = clone.root / "dvc.lock"
    lock.write_text(lock.read_text(encoding="utf-8").replace(model, "a" * 32, 1), encoding="utf-8")
    assert "another models/model.keras is recorded than stage train wrote" in problems(clone)


def test_a_stage_that_is_recorded_but_gone_is_named(clone_of: CloneOf) -> None:
    clone = clone_of("main")
    with (clone.root / "dvc.lock").open("a", encoding="utf-8") as lock:
        lock.write("  renamed:\n    cmd: python -m stages renamed\n")
    assert "stage renamed: is in dvc.lock, but no longer in dvc.yaml" in problems(clone)


@pytest.mark.parametrize("text", ["- a list\n", "stages: 3\n", "stages: [\n"])
def test_a_pipeline_that_is_none_is_one_line(clone_of: CloneOf, text: str) -> None:
    clone = clone_of("seed")
    (clone.root / "dvc.yaml").write_text(text, encoding="utf-8")
    for command in ("check-lock", "check-metrics"):
        done = clone.command(command)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr


@pytest.mark.slow
def test_a_result_that_a_commit_lacks_is_named_and_can_be_taken_back(clone_of: CloneOf) -> None:
    clone = clone_of("main")
    clone.ok("git", "rm", "-q", "plots/sample.png")
    done = clone.command("write-review", "--base", "HEAD")
    assert "write-review: plots/sample.png is missing: run `dvc repro visualize`" in done.stderr
    clone.commit("Drop a picture")
    done = clone.command("write-review", "--base", "HEAD~1", "--head", "HEAD")
    assert done.returncode == 1
    assert "write-review: plots/sample.png is missing in " in done.stderr
    assert done.stderr.count("\n") == 1
    clone.ok("git", "rm", "-q", "metrics/test.json")
    clone.commit("Drop a metric")
    done = clone.command("check-metrics", "--base", "HEAD~2")
    assert done.stderr.startswith(
        "check-metrics: metrics/test.json is missing: run `dvc repro eval"
    )
    # What the lines advise brings all of it back.
    commands = re.findall(r"`(git restore .*?)`", problems(clone))
    assert len(commands) == 2
    for command in commands:
        clone.ok(*command.split())
    assert clone.command("check-lock").returncode == 0
    clone.commit("Take both back")
    short = clone.ok("git", "rev-parse", "--short=7", "HEAD~1").strip()
    for command in ("check-metrics", "write-review"):
        done = clone.command(command, "--base", "HEAD~1")
        assert f": metrics/test.json is missing in {short}, wh" in done.stderr
        assert done.stderr.count("\n") == 1


# The dear check: running the pipeline on a clean copy.


def test_a_result_forged_with_its_lock_is_caught_by_running(repository: Project) -> None:
    repository.branch("forged-with-lock")
    for name in ("metrics/test.json", "plots/confusion_matrix.png"):
        recorded = md5_of(repository.root / name)
        if name.endswith("json"):
            forge(repository)
        else:
            shutil.copy(repository.root / "plots/training_curves.png", repository.root / name)
        edit(repository.root / "dvc.lock", recorded, md5_of(repository.root / name))
    repository.commit("Claim more, and say so in dvc.lock")
    assert repository.command("check-lock").returncode == 0
    done = repository.command("reproduce")
    assert done.returncode == 1
    honest = json.loads(repository.ok("git", "show", "main:metrics/test.json"))["accuracy"]
    claim = f"metrics/test.json (stage evaluate): accuracy is 0.9999, the code gives {honest}"
    assert claim in done.stdout
    assert "plots/confusion_matrix.png (stage visualize)" in done.stdout
    assert repository.ok("git", "status", "--porcelain") == ""


@pytest.mark.slow
def test_reproducing_leaves_out_what_is_not_committed_and_a_hook_that_fails(
    clone_of: CloneOf, tmp_path: Path
) -> None:
    clone = clone_of("main")
    (clone.root / "NOTES").write_text("Words alone.\n", encoding="utf-8")
    hook = tmp_path / "hooks/post-checkout"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    settings = tmp_path / "gitconfig"
    settings.write_text(f"[core]\n    hooksPath = {hook.parent}\n")
    of_mine = {"GIT_CONFIG_GLOBAL": str(settings)}
    assert clone.run("git", "checkout", "-q", "-b", "other", env=of_mine).returncode == 1
    done = clone.run("python", "-m", "commands", "reproduce", env=of_mine)
    assert done.returncode == 0, done.stdout + done.stderr
    short = clone.ok("git", "rev-parse", "--short=7", "HEAD").strip()
    assert f"reproduce: {short} alone: what has not been committed is not in it" in done.stdout


@pytest.mark.slow
def test_what_dvc_add_keeps_and_a_cache_elsewhere_are_no_obstacle(
    clone_of: CloneOf, tmp_path: Path
) -> None:
    clone = clone_of("main")
    # Written down as a relative path, and committed for all who share it.
    clone.ok("dvc", "cache", "dir", "../common")
    objects = tmp_path / "common/files/md5"
    for name in ("source.bin", "unread.bin"):
        (clone.root / name).write_bytes(f"as {name} came".encode())
        clone.ok("dvc", "add", "-q", name)
    content = load_yaml(clone.root / "dvc.yaml")
    content["stages"]["download"]["deps"].append("source.bin")
    dump_yaml(clone.root / "dvc.yaml", content)
    clone.repro()
    clone.commit("Keep a source")
    assert (clone.command("check-lock").returncode, clone.command("verify").returncode) == (0, 0)
    # Nobody needs it, so that it may be away.
    unread = md5_of(clone.root / "unread.bin")
    (objects / unread[:2] / unread[2:]).unlink()
    before = {path.name for path in objects.iterdir()}
    done = clone.command("reproduce")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Running stage 'train'" in done.stdout
    assert {path.name for path in objects.iterdir()} == before


@pytest.mark.slow
def test_a_stage_that_fails_on_a_clean_copy_is_one_line(clone_of: CloneOf) -> None:
    clone = clone_of("main")
    (clone.root / "stages/visualize.py").write_text("raise SystemExit(3)\n", encoding="utf-8")
    clone.commit("Break a stage")
    done = clone.command("reproduce")
    assert done.returncode == 1
    assert "fails on a clean copy" in done.stderr
    assert "Traceback" not in done.stderr.rpartition("reproduce:")[2]


@pytest.mark.slow
def test_a_stage_that_was_never_run_finds_what_it_declares_on_a_clean_copy(
    clone_of: CloneOf,
) -> None:
    clone = clone_of("main")
    content = load_yaml(clone.root / "dvc.yaml")
    copying = {"cmd": "cp LICENSE data/copied", "deps": ["LICENSE"], "outs": ["data/copied"]}
    content["stages"]["copy"] = copying
    dump_yaml(clone.root / "dvc.yaml", content)
    clone.commit("Add a stage")
    done = clone.command("reproduce")
    assert done.returncode == 1
    assert "data/copied (stage copy): is not in dvc.lock" in done.stdout


@pytest.mark.slow
def test_reproducing_names_a_stage_that_is_frozen(clone_of: CloneOf) -> None:
    clone = clone_of("main")
    content = load_yaml(clone.root / "dvc.yaml")
    content["stages"]["normalize"]["frozen"] = True
    dump_yaml(clone.root / "dvc.yaml", content)
    clone.commit("Freeze a stage")
    done = clone.command("reproduce")
    assert done.returncode == 1
    assert "delete `frozen: true` of normalize in dvc.yaml, and commit" in done.stderr
