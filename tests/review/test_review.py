"""The report of real commits in a real repository."""

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from projects import Project, dump_yaml, load_yaml

from commands.review.change import Change
from commands.review.consistency import require_results
from commands.review.params import param_changes
from commands.review.predictions import compare_predictions, png_of, read_predictions
from commands.review.rendering import escaped, to_html
from commands.review.revisions import WORKSPACE, Revision, resolve
from commands.review.stages import stage_changes
from workflow.core.errors import UserError

CloneOf = Callable[[str], Project]


def review(project: Project, branch: str, *arguments: str) -> str:
    """The Markdown report of a branch."""
    project.ok("git", "checkout", "-q", "--force", branch)
    done = project.command("write-review", *arguments)
    assert done.returncode == 0, done.stderr
    return (project.root / "review/report.md").read_text(encoding="utf-8")


def test_another_seed_is_within_the_spread(repository: Project) -> None:
    report = review(repository, "seed")
    assert "where the change branched off from main" in report
    assert "**Within the spread of seeds:" in report
    assert "| seed | 1 | 2 |" in report
    assert "| train | param seed |" in report
    assert "n = 3 other seeds" in report
    assert "**NO**" not in report
    for number in counted_flips(repository, "seed"):
        assert re.search(rf"\b{number} (went|from right)", report), number


def counted_flips(repository: Project, branch: str) -> tuple[int, int]:
    """Images from wrong to right, and from right to wrong, counted apart from the review."""
    right = {}
    for side in ("main", branch):
        text = repository.ok("git", "show", f"{side}:plots/predictions.csv")
        right[side] = [
            row["actual"] == row["predicted"] for row in csv.DictReader(text.splitlines())
        ]
    pairs = list(zip(right["main"], right[branch], strict=True))
    return pairs.count((False, True)), pairs.count((True, False))


@pytest.mark.parametrize(("photograph", "first"), [(True, 0), (False, 255)])
def test_grey_photographs_are_no_negatives(photograph: bool, first: int) -> None:
    with Image.open(io.BytesIO(png_of(np.eye(3, dtype=np.float32), photograph))) as image:
        assert image.getpixel((1, 0)) == first
    coloured = np.zeros((3, 3, 3), np.float32)
    with Image.open(io.BytesIO(png_of(coloured, photograph))) as image:
        assert image.getpixel((1, 0)) == (0, 0, 0)


@pytest.mark.slow
def test_a_change_of_nothing_changes_nothing(clone_of: CloneOf) -> None:
    clone = clone_of("main")
    clone.ok("git", "checkout", "-q", "-b", "nothing")
    (clone.root / "NOTES").write_text("Words alone.\n", encoding="utf-8")
    clone.commit("Write a note")
    report = review(clone, "nothing")
    assert "**No change of accuracy.**" in report
    assert "No param has changed." in report
    assert "| train | did not run | none |" in report
    assert "**NO**" not in report


@pytest.mark.slow
def test_a_worse_recipe_is_real_and_breaks_the_tolerance(worse: Project) -> None:
    report = review(worse, "small")
    assert re.search(r"\*\*Real: −[\d.]+ points, worse", report)
    assert "| train | param recipes.tutorial |" in report
    hidden = "dense: units {}, activation relu"
    assert f"| tutorial: layers 2 | {hidden.format(128)} | {hidden.format(1)} |" in report
    assert "other seeds of tutorial as the head defines it" in report
    assert "| normalize | did not run |" in report
    assert "Yes. Of 300 images" in report
    assert "| accuracy | " in report
    assert re.search(r"\| accuracy .*\| \*\*worse by ", report)


def test_a_change_is_not_judged_by_the_tolerances_that_it_brings(clone_of: CloneOf) -> None:
    clone = clone_of("main")
    metrics = clone.root / "metrics/test.json"
    content = json.loads(metrics.read_text(encoding="utf-8"))
    metrics.write_text(json.dumps(content | {"accuracy": 0.3}), encoding="utf-8")
    (clone.root / "review.yaml").write_text("metrics: {}\n", encoding="utf-8")
    done = clone.command("check-metrics")
    assert done.returncode == 1
    main = clone.ok("git", "rev-parse", "--short=7", "main").strip()
    assert f"review.yaml has changed; judged by that of {main}" in done.stdout
    assert "metrics/test.json: accuracy: worse by" in done.stdout


@pytest.mark.slow
def test_a_commit_is_reviewed_as_its_workspace_is_and_in_the_same_bytes(
    repository: Project,
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


def test_other_images_with_the_same_labels_are_not_the_same_images(
    clone_of: CloneOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = clone_of("seed")
    monkeypatch.chdir(clone.root)
    base = resolve("HEAD")
    predictions = read_predictions(base)
    assert predictions is not None
    assert compare_predictions(predictions, predictions, base, base) is not None
    clone.edit_params(lambda params: params["data"]["files"]["test_images"].update(sha256="0" * 64))
    assert compare_predictions(predictions, predictions, base, resolve(WORKSPACE)) is None


def test_other_images_are_a_fresh_start_and_no_failure_but_other_names_are_not(
    clone_of: CloneOf,
) -> None:
    clone = clone_of("main")
    clone.edit_params(lambda params: params["data"].update(class_names=["a", "b", "c"]))
    metrics = clone.root / "metrics/test.json"
    content = json.loads(metrics.read_text(encoding="utf-8")) | {"accuracy": 0.1}
    metrics.write_text(json.dumps(content), encoding="utf-8")
    done = clone.command("check-metrics", "--base", "HEAD")
    assert done.returncode == 1
    assert "accuracy" in done.stdout
    clone.edit_params(lambda params: params["data"]["files"]["test_images"].update(sha256="0" * 64))
    done = clone.command("check-metrics", "--base", "HEAD")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(
        r"check-metrics: a fresh start: \w+ was scored on other test images: nothing to judge by\n",
        done.stdout,
    )


def test_other_true_classes_of_the_same_data_are_named(
    clone_of: CloneOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = clone_of("main")
    table = clone.root / "plots/predictions.csv"
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    other = next(row for row in rows if row["actual"] != rows[0]["actual"])
    rows[0] |= {"actual": other["actual"], "actual_label": other["actual_label"]}
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    monkeypatch.chdir(clone.root)
    change = Change("HEAD", WORKSPACE)
    assert change.fresh_start is None
    assert "the true classes are others than in" in str(change.relabelled)


class Written(Revision):
    """A revision with this table of predictions."""

    def read(self, path: str | Path) -> bytes:
        return f"actual,predicted,actual_label,predicted_label\n{self.name}".encode()


def test_classes_are_named_as_they_are_written() -> None:
    predictions = read_predictions(Written(None, "01,true,0,1\ntrue,01,1,0\n"))
    assert predictions is not None
    assert predictions.class_names == {0: "01", 1: "true"}


@pytest.mark.parametrize(
    "rows",
    [
        "",
        "a\n",
        "a,b,0,99999999\n",
        f"a,b,0,{'9' * 23}\n",
        "a,b,0,1.7\n",
        "a,b,0,True\n",
        "a,b,0,01\n",
        "a,b,0, 1\n",
        "a,b,0,-1\n",
        "a,b,0,256\n",
        "a,b,0,1,1\n",
        "x,a,b,0,1\n",
        "a,b,0,1\nc,b,0,1\n",  # two names of one label
        "a,b,0,1\nb,b,2,1\n",  # two labels of one name
        f"a,b,0,{'1' * 131_073}\n",
    ],
)
def test_a_damaged_table_is_named(rows: str) -> None:
    with pytest.raises(UserError, match=r"(?s)^plots/predictions.csv of .*: cannot be read \("):
        read_predictions(Written(None, rows))


def test_a_damaged_metric_is_one_line(clone_of: CloneOf) -> None:
    clone = clone_of("seed")
    (clone.root / "metrics/test.json").write_text("{", encoding="utf-8")
    done = clone.command("check-metrics")
    assert done.returncode == 1
    assert done.stderr.startswith("check-metrics: metrics/test.json of workspace: not valid JSON")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "stage"), [("plots/sample.png", "visualize"), ("metrics/test.json", "evaluate")]
)
def test_a_missing_result_is_named_with_its_stage(
    clone_of: CloneOf, monkeypatch: pytest.MonkeyPatch, name: str, stage: str
) -> None:
    clone = clone_of("seed")
    monkeypatch.chdir(clone.root)
    (clone.root / name).unlink()
    with pytest.raises(UserError) as raised:
        require_results(resolve(WORKSPACE))
    assert str(raised.value) == (
        f"{name} is missing: run `dvc repro {stage}`, or take the committed one back with"
        f" `git restore --staged --worktree {name}`"
    )


def test_a_param_of_another_file_is_named_with_it(
    clone_of: CloneOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = clone_of("main")
    (clone.root / "other").mkdir()
    stage = {"cmd": "true", "params": [{"params.yaml": ["seed"]}]}
    dump_yaml(clone.root / "other/dvc.yaml", {"stages": {"measure": stage}})
    for seed in (3, 4):
        dump_yaml(clone.root / "other/params.yaml", {"seed": seed})
        clone.commit(f"Measure with {seed}")
    monkeypatch.chdir(clone.root)
    (change,) = param_changes(resolve("HEAD~1"), resolve("HEAD"))
    assert (change.name, change.base, change.head) == ("other/params.yaml: seed", "3", "4")


def test_a_changed_folder_of_code_names_its_files(
    clone_of: CloneOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = clone_of("main")
    for name in ("layers/pooling.py", "sums.py"):
        with (clone.root / "workflow/model" / name).open("a") as file:
            file.write("# A comment.\n")
    (clone.root / "workflow/model/fresh.py").touch()
    content = load_yaml(clone.root / "dvc.lock")
    for stage in content["stages"].values():
        for dep in stage["deps"]:
            if dep["path"] == "workflow/model":
                dep["md5"] = "0" * 32 + ".dir"  # as after another run
    dump_yaml(clone.root / "dvc.lock", content)
    monkeypatch.chdir(clone.root)
    changes = {change.name: change for change in stage_changes(resolve("main"), resolve(WORKSPACE))}
    assert changes["train"].reasons == ["dep workflow/model: fresh.py, layers/pooling.py, sums.py"]
    assert changes["visualize"].reasons == []


@pytest.mark.slow
def test_a_stage_that_is_removed_is_not_missed(clone_of: CloneOf) -> None:
    clone = clone_of("main")
    clone.ok("dvc", "stage", "add", "-q", "-n", "extra", "-o", "extra.bin", "echo 1 > extra.bin")
    clone.ok("dvc", "repro", "-q", "extra")
    clone.commit("Add a stage")
    clone.ok("dvc", "remove", "extra")  # and from .gitignore what it wrote
    (clone.root / "extra.bin").unlink()
    clone.commit("Remove it again")
    for command in ("check-metrics", "write-review"):
        done = clone.command(command, "--base", "HEAD~1")
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_result_may_move_from_the_cache_into_git(clone_of: CloneOf) -> None:
    clone = clone_of("main")
    stage = {"cmd": "echo 1 > extra.txt", "deps": ["params.yaml"], "outs": ["extra.txt"]}
    pipeline = load_yaml(clone.root / "dvc.yaml")

    def commit(message: str) -> None:
        stages = {**pipeline["stages"], "extra": stage}
        dump_yaml(clone.root / "dvc.yaml", {**pipeline, "stages": stages})
        clone.ok("dvc", "repro", "-q", "--single-item", "extra")
        clone.commit(message)

    ignored = clone.root / ".gitignore"
    original = ignored.read_text(encoding="utf-8")
    ignored.write_text(original + "/extra.txt\n", encoding="utf-8")
    commit("Keep it in the cache")
    ignored.write_text(original, encoding="utf-8")
    stage["outs"] = [{"extra.txt": {"cache": False}}]
    commit("Keep it in Git")
    assert "extra.txt" in clone.ok("git", "ls-files")
    done = clone.command("write-review", "--base", "HEAD~1", "--head", "HEAD")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_a_picture_may_come_and_go(clone_of: CloneOf) -> None:
    clone = clone_of("main")
    for name, key in (("dvc.yaml", "plots"), ("dvc.lock", "outs")):
        content = load_yaml(clone.root / name)
        written = content["stages"]["visualize"][key]
        content["stages"]["visualize"][key] = [w for w in written if "sample.png" not in str(w)]
        dump_yaml(clone.root / name, content)
    (clone.root / "plots/sample.png").unlink()
    clone.commit("Draw less")
    assert "\nGone: plots/sample.png.\n" in review(clone, "main", "--base", "HEAD~1")
    back = review(clone, "main", "--base", "HEAD", "--head", "HEAD~1")
    assert "\nNew: plots/sample.png.\n" in back
    assert "Changed:" not in back


@pytest.mark.slow
def test_a_review_shows_what_reproducing_found(clone_of: CloneOf) -> None:
    clone = clone_of("seed")
    done = clone.command("reproduce")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "byte for byte" in done.stdout
    assert "has not been committed" not in done.stdout
    assert "| Reproduced byte for byte on a clean copy | *yes* |" in review(clone, "seed")
    (clone.root / "stages/visualize.py").write_text("raise SystemExit(3)\n", encoding="utf-8")
    clone.commit("Break a stage")
    assert clone.command("reproduce").returncode == 1
    report = review(clone, "seed")
    failed = "| Reproduced byte for byte on a clean copy | **NO**: <code>dvc repro</code> fails on"
    assert failed in report
    doubt = "These results are not those of the code."
    assert f"**{doubt} stage visualize: dep stages/visualize.py" in report
    assert doubt in (clone.root / "review/index.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_all_of_ci_is_made_even_if_a_part_fails(clone_of: CloneOf) -> None:
    clone = clone_of("seed")
    clone.repro()
    assert clone.command("ci").returncode == 0
    assert "**NO**" not in (clone.root / "review/report.md").read_text(encoding="utf-8")
    (clone.root / "metrics/test.json").write_text("{", encoding="utf-8")
    done = clone.command("ci")
    assert done.returncode == 1
    assert "check-lock: metrics/test.json: is not what stage evaluate wrote" in done.stdout
    assert "reproduce: dvc.lock and all" in done.stdout
    lines = [line.partition(":")[0] for line in done.stderr.splitlines() if "JSON" in line]
    assert lines == ["check-metrics", "write-review"]
    # What an earlier review wrote is of another change.
    assert not list((clone.root / "review").glob("*.[hm]*"))


@pytest.mark.parametrize("text", ["a|b <i> &amp; 😀", "*x* _y_ __z__ ~~w~~", "[l](u) `", "\\| \\"])
def test_no_text_can_be_anything_but_text(text: str) -> None:
    page = to_html(f"| a | b |\n| --- | --- |\n| {escaped(text)} | end |\n")
    cells = re.findall(r"<td>(.*?)</td>", page)
    assert len(cells) == 2
    assert "<" not in cells[0].replace("<wbr>", "")
    shown = cells[0].replace("<wbr>", "").replace("&lt;", "<").replace("&gt;", ">")
    assert shown.replace("&amp;", "&") == text


def test_what_is_set_in_backticks_is_code() -> None:
    page = to_html(escaped("run `make <a|b>` now"))
    assert page == "<p>run <code>make &lt;a|b&gt;</code> now</p>\n"
