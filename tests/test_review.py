"""The review of real commits in a real repository, and its page in a real browser."""

import csv
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from PIL import Image

from commands.prediction_changes import read_predictions
from commands.revisions import WORKSPACE, Revision, resolve, resolve_base
from tests.browser import Browser, NoBrowserError, find_browser
from tests.small_pipeline import SmallPipeline, make_small_pipeline
from workflow.lockfile import md5_of, read_lock, recorded_outs

SLOWEST_MILLISECONDS = 2000
_LAYERS = [{"layer": "flatten"}, {"layer": "dense", "units": 1, "activation": "relu"}]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> SmallPipeline:
    """A branch for each kind of change."""
    pipeline = make_small_pipeline(tmp_path_factory.mktemp("une révision"))
    metrics = pipeline.root / "metrics/test.json"

    accuracy = json.loads(metrics.read_text(encoding="utf-8"))["accuracy"]
    (pipeline.root / "published").mkdir()
    rows = [f"tutorial,{n},0,0,{accuracy + 0.02 * (n - 3)},0\n" for n in range(1, 6)]
    (pipeline.root / "published/measured.csv").write_text(
        "recipe,seed,train_accuracy,train_loss,test_accuracy,test_loss\n" + "".join(rows),
        encoding="utf-8",
    )
    measure = {
        "wdir": "..",
        "cmd": "cp published/measured.csv published/results.csv",
        "deps": ["data/normalized.npz", "published/measured.csv"],
        "params": ["recipes.tutorial"],
        "outs": [{"published/results.csv": {"cache": False}}],
    }
    (pipeline.root / "published/dvc.yaml").write_text(
        yaml.safe_dump({"stages": {"measure": measure}}), encoding="utf-8"
    )
    pipeline.run("dvc", "repro", "-q", "published/dvc.yaml")
    pipeline.commit("Record the spread over seeds")

    pipeline.branch("nothing")
    (pipeline.root / "NOTES").write_text("Words alone.\n", encoding="utf-8")
    pipeline.commit("Write a note")

    pipeline.branch("seed")
    pipeline.set_params(seed=2)
    pipeline.repro()
    pipeline.commit("Take another seed")

    pipeline.branch("small")
    pipeline.set_params(recipes__tutorial__layers=_LAYERS)
    pipeline.repro()
    pipeline.commit("Try one unit")

    pipeline.branch("forged")
    _forge(metrics)
    pipeline.commit("Claim more")

    pipeline.branch("forged-with-lock")
    recorded = md5_of(metrics)
    _forge(metrics)
    _replace(pipeline.root / "dvc.lock", recorded, md5_of(metrics))
    picture = pipeline.root / "plots/confusion_matrix.png"
    recorded = md5_of(picture)
    shutil.copy(pipeline.root / "plots/training_curves.png", picture)
    _replace(pipeline.root / "dvc.lock", recorded, md5_of(picture))
    pipeline.commit("Claim more, and say so in dvc.lock")

    pipeline.branch("stale")
    pipeline.set_params(recipes__tutorial__epochs=7)
    pipeline.commit("Change the recipe, and forget to run it")

    pipeline.branch("main")
    return pipeline


def _forge(metrics: Path) -> None:
    content = json.loads(metrics.read_text(encoding="utf-8")) | {"accuracy": 0.9999}
    metrics.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def checked_out(repository: SmallPipeline, branch: str) -> SmallPipeline:
    repository.run("git", "checkout", "-q", "--force", branch)
    return repository


def short(repository: SmallPipeline, revision: str) -> str:
    """The hash of a commit as it is shown."""
    return repository.run("git", "rev-parse", "--short=7", revision).strip()


def review(repository: SmallPipeline, branch: str, *arguments: str) -> str:
    """The Markdown report of a branch."""
    done = checked_out(repository, branch).command("review", *arguments)
    assert done.returncode == 0, done.stderr
    return (repository.root / "review/report.md").read_text(encoding="utf-8")


def test_a_change_of_nothing_changes_nothing(repository: SmallPipeline) -> None:
    report = review(repository, "nothing")
    assert "**No change of accuracy.**" in report
    assert "where the change branched off from main" in report
    assert "No param has changed." in report
    assert re.search(r"\| train \| did not run \| none \|", report)
    assert "**NO**" not in report


def test_another_seed_is_within_the_spread(repository: SmallPipeline) -> None:
    report = review(repository, "seed")
    assert "**Within the spread of seeds:" in report
    assert "| seed | 1 | 2 |" in report
    assert "| train | param seed |" in report
    assert "n = 3 other seeds" in report
    for number in counted_flips(repository, "seed"):
        assert re.search(rf"\b{number} (went|from right)", report), number


def counted_flips(repository: SmallPipeline, branch: str) -> tuple[int, int]:
    """Images from wrong to right, and from right to wrong, counted apart from the review."""
    right = {}
    for side in ("main", branch):
        text = repository.run("git", "show", f"{side}:plots/predictions.csv")
        right[side] = [
            row["actual"] == row["predicted"] for row in csv.DictReader(text.splitlines())
        ]
    pairs = list(zip(right["main"], right[branch], strict=True))
    return pairs.count((False, True)), pairs.count((True, False))


def test_a_worse_recipe_is_real_and_breaks_the_tolerance(repository: SmallPipeline) -> None:
    report = review(repository, "small")
    assert re.search(r"\*\*Real: −[\d.]+ points, worse", report)
    assert "| train | param recipes.tutorial |" in report
    assert "other seeds of tutorial as the head defines it" in report
    assert "| normalize | did not run |" in report
    assert "Yes. Of 300 images" in report
    done = repository.command("check_metrics")
    assert done.returncode == 1
    assert "metrics/test.json: accuracy: worse by" in done.stdout


def test_a_change_is_not_judged_by_the_tolerances_that_it_brings(
    repository: SmallPipeline,
) -> None:
    checked_out(repository, "small").run("git", "checkout", "-q", "-B", "lenient")
    (repository.root / "review.yaml").write_text("metrics: {}\n", encoding="utf-8")
    repository.commit("Allow everything")
    done = repository.command("check_metrics")
    assert done.returncode == 1
    main = short(repository, "main")
    assert f"review.yaml has changed; judged by that of {main}" in done.stdout
    assert "metrics/test.json: accuracy: worse by" in done.stdout
    assert "| review.yaml as in the base | **NO**: it has changed;" in review(repository, "lenient")


def test_without_a_table_of_seeds_the_answer_is_unknown(repository: SmallPipeline) -> None:
    checked_out(repository, "small")
    repository.run("git", "checkout", "-q", "-B", "no-table", "small")
    base = repository.run("git", "rev-parse", "main~1").strip()
    shutil.rmtree(repository.root / "published")
    repository.commit("Lose the table")
    report = review(repository, "no-table", "--base", base)
    assert "**Unknown:" in report
    assert "the folder published, which measures it, is gone" in report


def test_a_commit_is_reviewed_as_its_workspace_is_and_in_the_same_bytes(
    repository: SmallPipeline,
) -> None:
    from_workspace = review(repository, "seed")
    page = (repository.root / "review/index.html").read_bytes()
    command = "run <code>make reproduce</code> once all is committed"
    assert command in from_workspace
    assert command in page.decode()
    assert review(repository, "seed") == from_workspace
    assert (repository.root / "review/index.html").read_bytes() == page
    elsewhere = review(repository, "main", "--base", "main", "--head", "seed")
    parts = [report.split("## Params")[1] for report in (from_workspace, elsewhere)]
    assert parts[0] == parts[1]


def test_a_good_commit_passes_every_check_without_data(
    repository: SmallPipeline, tmp_path: Path
) -> None:
    done = repository.clone(tmp_path / "clone", "seed").command("check_lock")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_forged_metric_is_caught_without_data(repository: SmallPipeline, tmp_path: Path) -> None:
    clone = repository.clone(tmp_path / "clone", "forged")
    done = clone.command("check_lock")
    assert done.returncode == 1
    assert "metrics/test.json: is not what stage evaluate wrote" in done.stdout
    assert not (clone.root / "data").exists()


def test_a_link_to_a_result_is_no_result(repository: SmallPipeline, tmp_path: Path) -> None:
    clone = repository.clone(tmp_path / "clone", "main")
    picture = clone.root / "plots/sample.png"
    picture.rename(tmp_path / "elsewhere.png")
    picture.symlink_to(tmp_path / "elsewhere.png")
    clone.commit("Keep it elsewhere")
    done = clone.command("check_lock")
    assert done.returncode == 1
    assert "plots/sample.png: is a link, of which Git keeps no content" in done.stdout


def test_a_stale_lock_is_caught_without_data(repository: SmallPipeline, tmp_path: Path) -> None:
    done = repository.clone(tmp_path / "clone", "stale").command("check_lock")
    assert done.returncode == 1
    stages = "train, published/dvc.yaml:measure"
    assert f"stage {stages}: param recipes.tutorial is modified" in done.stdout


@pytest.mark.parametrize(
    ("old", "new", "culprit"),
    [
        ("workflow/metrics.py", "# changed\n", "dep workflow/metrics.py is modified"),
        ("dvc.yaml", "", "changed command"),
    ],
)
def test_changed_code_and_commands_are_named(
    repository: SmallPipeline, tmp_path: Path, old: str, new: str, culprit: str
) -> None:
    clone = repository.clone(tmp_path / "clone", "main")
    file = clone.root / old
    text = file.read_text(encoding="utf-8") + new
    file.write_text(text.replace("python -m stages.train", "python -B -m stages.train"))
    done = clone.command("check_lock")
    assert done.returncode == 1
    assert culprit in done.stdout


def test_a_stage_that_has_never_run_is_one_line(repository: SmallPipeline, tmp_path: Path) -> None:
    clone = repository.clone(tmp_path / "clone", "main")
    (clone.root / "published/dvc.lock").unlink()
    done = clone.command("check_lock")
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == (
        "check-lock: stage published/dvc.yaml:measure: is in no dvc.lock yet: run"
        " `dvc repro published/dvc.yaml`"
    )
    assert "modified" not in done.stdout


def test_what_is_declared_but_not_recorded_is_named(
    repository: SmallPipeline, tmp_path: Path
) -> None:
    clone = repository.clone(tmp_path / "clone", "main")
    _forge(clone.root / "metrics/test.json")
    lock = clone.root / "dvc.lock"
    content = yaml.safe_load(lock.read_text(encoding="utf-8"))
    evaluate = content["stages"]["evaluate"]
    evaluate["outs"] = [out for out in evaluate["outs"] if out["path"] != "metrics/test.json"]
    lock.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    done = clone.command("check_lock")
    assert done.returncode == 1
    assert "stage evaluate: out metrics/test.json is not in dvc.lock" in done.stdout


def test_what_is_recorded_but_not_declared_is_named(
    repository: SmallPipeline, tmp_path: Path
) -> None:
    clone = repository.clone(tmp_path / "clone", "main")
    pipeline = clone.root / "dvc.yaml"
    content = yaml.safe_load(pipeline.read_text(encoding="utf-8"))
    for stage in content["stages"].values():
        stage["deps"].remove("workflow/params.py")
    pipeline.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    done = clone.command("check_lock")
    assert done.returncode == 1
    told = re.findall(
        r"stage (\w+): dep workflow/params.py is in dvc.lock, but not in dvc.yaml:"
        r" `dvc repro --force \1`",
        done.stdout,
    )
    # In the order of dvc.lock, whatever the order of a set.
    assert told == list(yaml.safe_load((clone.root / "dvc.lock").read_text())["stages"])


def test_a_frozen_stage_is_named(repository: SmallPipeline, tmp_path: Path) -> None:
    """DVC calls it up to date, whatever it reads has become."""
    clone = repository.clone(tmp_path / "clone", "main")
    _replace(clone.root / "dvc.yaml", "    cmd: exec python -m stages.train\n",
             "    cmd: exec python -m stages.train\n    frozen: true\n")  # fmt: skip
    clone.set_params(seed=5)
    done = clone.command("check_lock")
    assert done.returncode == 1
    assert "stage train: is frozen" in done.stdout


def test_other_images_with_the_same_labels_are_not_the_same_images(
    repository: SmallPipeline,
) -> None:
    checked_out(repository, "seed").run("git", "checkout", "-q", "-B", "other-images")
    repository.set_params(data__files__test_images__sha256="0" * 64)
    repository.commit("Take other images")
    report = review(repository, "other-images")
    assert "**Unknown: the two did not score the same images.**" in report


def test_a_label_that_no_class_can_have_is_named(repository: SmallPipeline, tmp_path: Path) -> None:
    clone = repository.clone(tmp_path / "clone", "seed")
    table = clone.root / "plots/predictions.csv"
    for label in ("99999999", "9" * 23):
        lines = table.read_text(encoding="utf-8").splitlines()
        lines[1] = f"kind 0,kind 1,0,{label}"
        table.write_text("\n".join(lines) + "\n", encoding="utf-8")
        done = clone.command("review", "--base", "origin/main")
        assert done.returncode == 1
        assert "plots/predictions.csv of workspace: cannot be read (" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_classes_are_named_as_they_are_written() -> None:
    class Written(Revision):
        def read(self, path: str | Path) -> bytes:
            header = b"actual,predicted,actual_label,predicted_label\n"
            return header + b"01,true,0,1\ntrue,01,1,0\n"

    predictions = read_predictions(Written(None, "here"))
    assert predictions is not None
    assert predictions.class_names == {0: "01", 1: "true"}


def test_a_folder_of_a_larger_repository_is_no_place_for_a_review(
    repository: SmallPipeline, tmp_path: Path
) -> None:
    clone = repository.clone(tmp_path / "above/pipeline", "main")
    shutil.rmtree(clone.root / ".git")
    clone.run("git", "init", "-q", str(tmp_path / "above"))
    done = clone.command("check_metrics", "--base", "main")
    assert done.returncode == 1
    assert "pipeline/ is a folder of a larger repository" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("text", ["- a list\n", "stages: 3\n", ""])
def test_a_pipeline_that_is_none_is_one_line(
    repository: SmallPipeline, tmp_path: Path, text: str
) -> None:
    clone = repository.clone(tmp_path / "clone", "seed")
    (clone.root / "dvc.yaml").write_text(text, encoding="utf-8")
    for command in ("check_lock", "review", "check_metrics", "verify"):
        done = clone.command(command)
        assert "Traceback" not in done.stderr, command


def test_an_experiment_is_reviewed_by_its_name(repository: SmallPipeline, tmp_path: Path) -> None:
    clone = repository.clone(tmp_path / "clone", "main")
    clone.run("dvc", "exp", "run", "-q", "--name", "one-more", "-S", "seed=4")
    clone.run("git", "checkout", "-q", "--force", "main")
    done = clone.command("review", "--base", "HEAD", "--head", "one-more")
    assert done.returncode == 0, done.stderr
    report = (clone.root / "review/report.md").read_text(encoding="utf-8")
    assert "| seed | 1 | 4 |" in report


def test_an_experiment_of_two_commits_is_asked_for_by_its_whole_name(
    repository: SmallPipeline, tmp_path: Path
) -> None:
    clone = repository.clone(tmp_path / "clone", "main")
    refs = [f"refs/exps/{n:02}/{n:038}/twice" for n in (1, 2)]
    for ref, branch in zip(refs, ("seed", "small"), strict=True):
        clone.run("git", "update-ref", ref, f"origin/{branch}")
    done = clone.command("check_metrics", "--base", "HEAD", "--head", "twice")
    assert done.returncode == 1
    assert done.stderr == (
        f"check-metrics: twice: 2 experiments are called so: name {refs[0]} or {refs[1]}\n"
    )
    assert clone.command("check_metrics", "--base", "HEAD", "--head", refs[0]).returncode == 0


@pytest.mark.parametrize("command", ["review", "check_metrics"])
def test_a_commit_is_not_compared_with_itself(repository: SmallPipeline, command: str) -> None:
    done = checked_out(repository, "main").command(command, "--base", "main", "--head", "HEAD")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"nothing to compare: base and head are both [0-9a-f]+\n", done.stdout)


def test_a_result_may_move_from_the_cache_into_git(
    repository: SmallPipeline, tmp_path: Path
) -> None:
    clone = repository.clone(tmp_path / "clone", "main")
    stage = {"cmd": "echo 1 > extra.txt", "deps": ["params.yaml"], "outs": ["extra.txt"]}
    pipeline = yaml.safe_load((clone.root / "dvc.yaml").read_text(encoding="utf-8"))

    def commit(message: str) -> None:
        (clone.root / "dvc.yaml").write_text(
            yaml.safe_dump({**pipeline, "stages": {**pipeline["stages"], "extra": stage}}),
            encoding="utf-8",
        )
        clone.run("dvc", "repro", "-q", "--single-item", "extra")
        clone.commit(message)

    (clone.root / ".gitignore").write_text("/data/\n/models/\n/extra.txt\n", encoding="utf-8")
    commit("Keep it in the cache")
    (clone.root / ".gitignore").write_text("/data/\n/models/\n", encoding="utf-8")
    stage["outs"] = [{"extra.txt": {"cache": False}}]
    commit("Keep it in Git")
    assert "extra.txt" in clone.run("git", "ls-files")
    done = clone.command("review", "--base", "HEAD~1", "--head", "HEAD")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_result_that_no_stage_wrote_is_named(repository: SmallPipeline, tmp_path: Path) -> None:
    clone = repository.clone(tmp_path / "clone", "main")
    lock = clone.root / "dvc.lock"
    model = recorded_outs(read_lock(lock))["models/model.keras"][1].md5
    text = lock.read_text(encoding="utf-8")
    lock.write_text(text.replace(model, "a" * 32, 1), encoding="utf-8")
    done = clone.command("check_lock")
    assert done.returncode == 1
    assert "another models/model.keras is recorded than stage train wrote" in done.stdout


def test_a_param_of_another_file_is_named_with_it(
    repository: SmallPipeline, tmp_path: Path
) -> None:
    clone = repository.clone(tmp_path / "clone", "main")
    (clone.root / "other").mkdir()
    (clone.root / "other/dvc.yaml").write_text(
        "stages: {measure: {cmd: 'true', params: [{params.yaml: [seed]}]}}", encoding="utf-8"
    )
    for seed, message in ((3, "Measure something else"), (4, "Measure it otherwise")):
        (clone.root / "other/params.yaml").write_text(f"seed: {seed}\n", encoding="utf-8")
        clone.commit(message)
    clone.command("review", "--base", "HEAD~1", "--head", "HEAD")
    report = (clone.root / "review/report.md").read_text(encoding="utf-8")
    assert "| other/params.yaml: seed | 3 | 4 |" in report


def test_a_stage_that_is_recorded_but_gone_is_named(
    repository: SmallPipeline, tmp_path: Path
) -> None:
    clone = repository.clone(tmp_path / "clone", "main")
    with (clone.root / "dvc.lock").open("a", encoding="utf-8") as lock:
        lock.write("  renamed:\n    cmd: python -m stages.renamed\n")
    done = clone.command("check_lock")
    assert done.returncode == 1
    assert "stage renamed: dvc.lock still speaks of it, dvc.yaml no more" in done.stdout


def test_a_good_commit_is_reproduced_and_the_review_says_so(repository: SmallPipeline) -> None:
    done = checked_out(repository, "seed").command("reproduce")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "byte for byte" in done.stdout
    assert "has not been committed" not in done.stdout
    report = review(repository, "seed")
    assert "| Reproduced byte for byte on a clean copy | yes |" in report


def test_reproducing_says_that_it_leaves_out_what_is_not_committed(
    repository: SmallPipeline, tmp_path: Path
) -> None:
    clone = repository.clone(tmp_path / "clone", "main")
    (clone.root / "NOTES").write_text("Words alone.\n", encoding="utf-8")
    done = clone.command("reproduce")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        f"reproduce: {short(clone, 'HEAD')} alone: what has not been committed is not in it"
        in done.stdout
    )


def test_what_dvc_add_keeps_and_a_cache_elsewhere_are_no_obstacle(
    repository: SmallPipeline, tmp_path: Path
) -> None:
    clone = repository.clone(tmp_path / "clone", "main")
    # Written down as a relative path, and committed for all who share it.
    clone.run("dvc", "cache", "dir", "../common")
    objects = tmp_path / "common/files/md5"
    for name in ("source.bin", "unread.bin"):
        (clone.root / name).write_bytes(f"as {name} came".encode())
        clone.run("dvc", "add", "-q", name)
    pipeline = clone.root / "dvc.yaml"
    content = yaml.safe_load(pipeline.read_text(encoding="utf-8"))
    content["stages"]["download"]["deps"].append("source.bin")
    pipeline.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    clone.repro()
    clone.commit("Keep a source")
    assert (clone.command("check_lock").returncode, clone.command("verify").returncode) == (0, 0)
    # Nobody needs it, so that it may be away.
    unread = md5_of(clone.root / "unread.bin")
    (objects / unread[:2] / unread[2:]).unlink()
    before = {path.name for path in objects.iterdir()}
    done = clone.command("reproduce")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Stage 'train' is cached - skipping run" in done.stdout
    assert {path.name for path in objects.iterdir()} == before


def test_a_metric_forged_with_its_lock_is_caught_by_running(repository: SmallPipeline) -> None:
    checked_out(repository, "forged-with-lock")
    before = repository.run("git", "status", "--porcelain")
    assert repository.command("check_lock").returncode == 0
    done = repository.command("reproduce")
    assert done.returncode == 1
    honest = json.loads(repository.run("git", "show", "main:metrics/test.json"))["accuracy"]
    claim = f"metrics/test.json (stage evaluate): accuracy is 0.9999, the code gives {honest}"
    assert claim in done.stdout
    assert "plots/confusion_matrix.png (stage visualize)" in done.stdout
    assert repository.run("git", "status", "--porcelain") == before
    report = review(repository, "forged-with-lock")
    assert re.search(r"clean copy \| \*\*NO\*\*: .*metrics/test.json", report)


def test_a_stage_that_fails_on_a_clean_copy_is_one_line(repository: SmallPipeline) -> None:
    checked_out(repository, "main").run("git", "checkout", "-q", "-B", "broken")
    (repository.root / "stages/visualize.py").write_text("raise SystemExit(3)\n", encoding="utf-8")
    repository.commit("Break a stage")
    done = repository.command("reproduce")
    assert done.returncode == 1
    assert "fails on a clean copy" in done.stderr
    assert "Traceback" not in done.stderr.rpartition("reproduce:")[2]


def test_the_base_is_chosen_and_named(
    repository: SmallPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository.root)
    workspace = Revision(None, WORKSPACE)
    checked_out(repository, "main")
    main, before = resolve("main"), resolve("main~1")
    base, reason = resolve_base(None, workspace)
    assert (base, reason.partition(":")[0]) == (before, "the commit before")
    rules = repository.root / "review.yaml"
    original = rules.read_text(encoding="utf-8")
    rules.write_text(original + "\n", encoding="utf-8")
    base, reason = resolve_base(None, workspace)
    rules.write_text(original, encoding="utf-8")
    assert (base, reason.partition(":")[0]) == (main, "the last commit")
    checked_out(repository, "seed")
    assert resolve_base(None, workspace)[0] == main
    assert resolve_base("small...", workspace)[0] == main
    assert resolve_base("small", workspace)[0] == resolve("small")


@pytest.mark.parametrize("command", ["review", "check_metrics"])
def test_a_first_commit_has_nothing_to_be_compared_with(tmp_path: Path, command: str) -> None:
    first = SmallPipeline(tmp_path / "first", tmp_path)
    first.root.mkdir()
    first.run("git", "init", "-q", "-b", "main")
    first.run("git", "config", "user.name", "Tester")
    first.run("git", "config", "user.email", "tester@example.org")
    shutil.copytree(ROOT / "commands", first.root / "commands")
    shutil.copytree(ROOT / "workflow", first.root / "workflow")
    first.commit("Begin")
    done = first.command(command)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "nothing to compare with: this is the first commit\n"
    first.commit("Go on")
    shallow = SmallPipeline(tmp_path / "shallow", tmp_path)
    first.run("git", "clone", "-q", "--depth=1", first.root.as_uri(), str(shallow.root))
    done = shallow.command(command)
    assert done.returncode == 1
    assert "git fetch --unshallow" in done.stderr


@pytest.mark.parametrize("command", ["review", "check_metrics"])
def test_an_unknown_base_is_one_line(repository: SmallPipeline, command: str) -> None:
    done = checked_out(repository, "main").command(command, "--base", "no-such")
    assert done.returncode == 1
    assert re.fullmatch(r"[a-z-]+: no-such: no such commit here: .*\n", done.stderr)


@pytest.mark.parametrize("content", ["{", "a,b\n1,2\n"])
def test_damaged_results_are_one_line(repository: SmallPipeline, content: str) -> None:
    name = "metrics/test.json" if content == "{" else "plots/predictions.csv"
    file = checked_out(repository, "seed").root / name
    file.write_text(content, encoding="utf-8")
    try:
        done = repository.command("review")
    finally:
        repository.run("git", "checkout", "-q", "--", name)
    assert done.returncode == 1
    assert name in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["plots/sample.png", "metrics/test.json"])
def test_a_missing_result_is_named_with_its_stage(repository: SmallPipeline, name: str) -> None:
    file = checked_out(repository, "seed").root / name
    file.unlink()
    try:
        done = repository.command("review")
    finally:
        repository.run("git", "checkout", "-q", "--", name)
    assert done.returncode == 1
    stage = "visualize" if name.startswith("plots") else "evaluate"
    assert done.stderr == (
        f"review: {name} is missing: run `dvc repro {stage}`, or take the committed one back with"
        f" `git restore --staged --worktree {name}`\n"
    )


def test_a_result_that_a_commit_lacks_is_named(repository: SmallPipeline, tmp_path: Path) -> None:
    clone = repository.clone(tmp_path / "clone", "main")
    clone.run("git", "rm", "-q", "plots/sample.png")
    done = clone.command("review", "--base", "HEAD")
    assert "review: plots/sample.png is missing: run `dvc repro visualize`" in done.stderr
    clone.commit("Drop a picture")
    done = clone.command("review", "--base", "HEAD~1", "--head", "HEAD")
    assert done.returncode == 1
    assert "review: plots/sample.png is missing in " in done.stderr
    assert done.stderr.count("\n") == 1
    clone.run("git", "rm", "-q", "metrics/test.json")
    clone.commit("Drop a metric")
    done = clone.command("check_metrics", "--base", "HEAD~2")
    assert done.stderr.startswith(
        "check-metrics: metrics/test.json is missing: run `dvc repro eval"
    )
    # What the lines advise brings all of it back.
    lines = clone.command("check_lock").stdout
    commands = re.findall(r"`(git restore .*?)`", lines)
    assert len(commands) == 2
    for command in commands:
        clone.run(*command.split())
    assert clone.command("check_lock").returncode == 0
    clone.commit("Take both back")
    for command in ("check_metrics", "review"):
        done = clone.command(command, "--base", "HEAD~1")
        assert f": metrics/test.json is missing in {short(clone, 'HEAD~1')}, wh" in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_stage_that_is_removed_is_not_missed(repository: SmallPipeline, tmp_path: Path) -> None:
    clone = repository.clone(tmp_path / "clone", "main")
    clone.run("dvc", "stage", "add", "-q", "-n", "extra", "-o", "extra.bin", "echo 1 > extra.bin")
    clone.run("dvc", "repro", "-q", "extra")
    clone.commit("Add a stage")
    clone.run("dvc", "remove", "extra")  # and from .gitignore what it wrote
    (clone.root / "extra.bin").unlink()
    clone.commit("Remove it again")
    for command in ("check_metrics", "review"):
        done = clone.command(command, "--base", "HEAD~1")
        assert done.returncode == 0, done.stderr


def test_a_picture_may_come_and_go(repository: SmallPipeline, tmp_path: Path) -> None:
    clone = repository.clone(tmp_path / "clone", "main")
    for name, key in (("dvc.yaml", "plots"), ("dvc.lock", "outs")):
        content = yaml.safe_load((clone.root / name).read_text(encoding="utf-8"))
        written = content["stages"]["visualize"][key]
        content["stages"]["visualize"][key] = [w for w in written if "sample.png" not in str(w)]
        (clone.root / name).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    (clone.root / "plots/sample.png").unlink()
    clone.commit("Draw less")
    assert "\nGone: plots/sample.png.\n" in review(clone, "main", "--base", "HEAD~1")
    back = review(clone, "main", "--base", "HEAD", "--head", "HEAD~1")
    assert "\nNew: plots/sample.png.\n" in back
    assert "Changed:" not in back


def test_a_pipeline_that_fails_on_a_clean_copy_is_no_reproduction(
    repository: SmallPipeline, tmp_path: Path
) -> None:
    clone = repository.clone(tmp_path / "clone", "seed")
    assert clone.command("reproduce").returncode == 0
    assert "| Reproduced byte for byte on a clean copy | yes |" in review(clone, "seed")
    away = SmallPipeline(clone.root, tmp_path / "nowhere")
    done = away.command("reproduce", "--no-run-cache")
    assert done.returncode == 1
    report = review(clone, "seed")
    failed = "| Reproduced byte for byte on a clean copy | **NO**: <code>dvc repro</code> fails on"
    assert failed in report
    assert "**But these results may not be those of code and params: see the checks.**" in report
    page = (clone.root / "review/index.html").read_text(encoding="utf-8")
    assert "But these results may not be those of code and params: see the checks." in page


def test_a_review_that_fails_leaves_no_older_one(repository: SmallPipeline, tmp_path: Path) -> None:
    clone = repository.clone(tmp_path / "clone", "seed")
    review(clone, "seed")
    (clone.root / "metrics/test.json").write_text("{", encoding="utf-8")
    assert clone.command("review").returncode == 1
    assert not list((clone.root / "review").glob("*.[hm]*"))


# The page.


@pytest.fixture(scope="module")
def browser() -> Browser:
    try:
        return find_browser()
    except NoBrowserError as error:
        # Nobody would notice that CI tests less.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))


@pytest.fixture(scope="module")
def page(repository: SmallPipeline, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The review of the worse recipe, which has something in every section."""
    review(repository, "small")
    copy = tmp_path_factory.mktemp("page") / "index.html"
    shutil.copy(repository.root / "review/index.html", copy)
    return copy


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("on_phone", [True, False], ids=["phone", "wide"])
def test_every_chart_is_drawn_without_network_or_complaint(
    browser: Browser, page: Path, on_phone: bool, dark: bool
) -> None:
    width = browser.phone_width if on_phone else 1400
    seen = browser.open(page, width=width, dark=dark)
    charts = json.loads(re.search(r'id="charts">(.*?)</script>', seen.dom, re.S).group(1))
    assert len(charts) >= 4
    for name in charts:
        place = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")
        assert re.search(rf'<div id="chart-{place}"[^>]*>.{{0,400}}?<svg', seen.dom, re.S), name
    assert seen.console == []


def test_the_page_is_there_in_under_two_seconds(browser: Browser, page: Path) -> None:
    drawn = [re.search(r'data-drawn="(\d+)"', browser.open(page).dom) for _ in range(3)]
    # The best of three: the machine may be busy with something else.
    assert min(int(match.group(1)) for match in drawn if match) < SLOWEST_MILLISECONDS


def test_the_page_asks_the_network_for_nothing(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    without_scripts = re.sub(r"<script.*?</script>", "", text, flags=re.S)
    assert not re.findall(r'(?:src|href)="(?!data:)', without_scripts)
    assert not re.findall(r"<script[^>]+src=|@import|url\(", text.split("<script>")[0])


def test_the_page_shows_the_flipped_images_and_both_sides_of_each_picture(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count('alt="test image ') >= 12
    for name in ("plots/confusion_matrix.png", "plots/training_curves.png"):
        for side in ("base", "head"):
            assert f'alt="{name}, {side}"' in text


def test_nothing_is_wider_than_a_phone(browser: Browser, page: Path, tmp_path: Path) -> None:
    copy = tmp_path / "index.html"
    measure = "const e = document.documentElement; document.title = e.scrollWidth - e.clientWidth;"
    script = f"<script>setTimeout(() => {{ {measure} }}, 3000);</script>"
    body, end, rest = page.read_text(encoding="utf-8").rpartition("</body>")
    copy.write_text(body + script + end + rest, encoding="utf-8")
    assert "<title>0</title>" in browser.open(copy, width=browser.phone_width).dom


def test_dark_and_light_are_two_pages(browser: Browser, page: Path, tmp_path: Path) -> None:
    corner = {}
    for dark in (False, True):
        picture = tmp_path / f"{dark}.png"
        browser.screenshot(page, picture, width=browser.phone_width, height=600, dark=dark)
        with Image.open(picture) as image:
            assert image.width == browser.phone_width
            corner[dark] = sum(image.convert("RGB").getpixel((2, 2)))
    assert corner[True] < 150 < 600 < corner[False]


def test_dvc_plots_diff_opens_without_network(
    repository: SmallPipeline, browser: Browser, tmp_path: Path
) -> None:
    checked_out(repository, "small")
    assert repository.command("offline_plots").returncode == 0
    repository.run("dvc", "plots", "diff", "main", "-o", str(tmp_path / "plots"))
    seen = browser.open(tmp_path / "plots/index.html")
    # A script vanishes once its chart is drawn.
    text = (tmp_path / "plots/index.html").read_text(encoding="utf-8")
    charts = len(re.findall(r"vegaEmbed\('#", text))
    assert charts >= 3
    assert len(re.findall(r'<svg[^>]*class="marks"|<canvas', seen.dom)) == charts
    assert seen.console == []
