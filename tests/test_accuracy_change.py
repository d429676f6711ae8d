"""The verdict on a change of accuracy, of two made-up revisions."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from commands.accuracy_change import RESULTS, accuracy_change
from commands.revisions import Revision
from workflow.comparison import PairedTest, paired_test
from workflow.errors import UserError
from workflow.lockfile import md5_of_folder

WIDE, TIGHT = [0.86, 0.88, 0.90], [0.8799, 0.88, 0.8801]
DATA = "data/normalized.npz"


def revision(
    root: Path,
    seed: int,
    accuracies: dict[str, list[float]] | list[float],
    first: int = 10,
    drawing: str = "draw",
    recipe: str = "a",
    recipes: dict[str, Any] | None = None,
    measured: dict[str, Any] | None = None,
    measured_on: str | None = None,
    data: str = "0" * 32,
    reported: str = "",
) -> Revision:
    """A workspace in which the pipeline has run.

    Args:
        root: a folder to be made.
        seed: of the run.
        accuracies: as measured of other seeds, by recipe, or of the run's.
        first: from which these are counted.
        drawing: the command that draws the figures.
        recipe: of the run.
        recipes: all definitions.
        measured: those that were measured, if they are others.
        measured_on: the hash of the data; by default it is that of the run's.
        data: that.
        reported: the hash of the folder of runs, if the table is not of those that are there.
    """
    root.mkdir()
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    if isinstance(accuracies, list):
        accuracies = {recipe: accuracies}
    recipes = recipes or {recipe: {}}
    hashed = f"{seed:032}"
    model, predictions = ({"path": p, "md5": hashed} for p in ("model", "plots/predictions.csv"))
    runs = {f"{name}.json": "0" * 32 for name in accuracies}
    stages: dict[str, Any] = {
        "normalize": {"cmd": "normalize", "outs": [{"path": DATA, "md5": data}]},
        "train": {
            "cmd": "train",
            "deps": [{"path": DATA, "md5": data}],
            "params": {"params.yaml": {"seed": seed}},
            "outs": [model],
        },
        "evaluate": {"cmd": "evaluate", "deps": [model], "outs": [predictions]},
        "visualize": {"cmd": drawing, "deps": [predictions], "outs": []},
        "report": {
            "cmd": "report",
            "deps": [{"path": "published/runs", "md5": reported or md5_of_folder(runs)}],
            "outs": [{"path": RESULTS, "md5": "0" * 32}],
        },
    }
    for name in accuracies:
        stages[f"reproduce@{name}"] = {
            "cmd": "reproduce",
            "deps": [{"path": DATA, "md5": measured_on or data}],
            "params": {"params.yaml": {f"recipes.{name}": (measured or recipes)[name]}},
            "outs": [{"path": f"published/runs/{name}.json", "md5": "0" * 32}],
        }
    files = {
        "dvc.lock": yaml.safe_dump({"stages": stages}),
        "params.yaml": yaml.safe_dump({"recipe": recipe, "seed": seed, "recipes": recipes}),
        "published/dvc.yaml": "",
        RESULTS: "recipe,seed,test_accuracy\n"
        + "".join(
            f"{name},{first + n},{accuracy}\n"
            for name, values in accuracies.items()
            for n, accuracy in enumerate(values)
        ),
    }
    for name, text in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return Revision(None, root.name, root)


@pytest.fixture
def paired() -> PairedTest:
    return paired_test(np.array([True, False, False]), np.array([True, True, False]))


@pytest.mark.parametrize(
    ("in_base", "in_head", "redefined", "kind", "said"),
    [
        (WIDE, TIGHT, False, "within", "another seed alone can do that."),
        ([], TIGHT, False, "real", "by more than another seed explains."),
        (TIGHT, [], True, "real", "if the seeds of b scatter as those of a do."),
        (WIDE, TIGHT, True, "real", "by more than another seed explains."),
    ],
    ids=["measured before", "measured here", "measured before it was changed", "measured anew"],
)
def test_a_switch_of_recipes_is_judged_by_what_the_base_knows_of_both(
    tmp_path: Path,
    paired: PairedTest,
    in_base: list[float],
    in_head: list[float],
    redefined: bool,
    kind: str,
    said: str,
) -> None:
    old = {"a": {}, "b": {"epochs": 1}}
    new = {"a": {}, "b": {"epochs": 2}} if redefined else old
    base = revision(tmp_path / "base", 1, {"a": TIGHT, "b": in_base}, recipes=old)
    head = revision(tmp_path / "head", 1, {"a": TIGHT, "b": in_head}, recipe="b", recipes=new)
    change = accuracy_change(base, head, 0.03, paired)
    assert change.kind == kind
    assert change.headline.endswith(said)


def test_what_was_measured_on_other_data_or_of_another_definition_is_not_believed(
    tmp_path: Path, paired: PairedTest
) -> None:
    known = revision(tmp_path / "known", 1, TIGHT)
    foreign = revision(tmp_path / "foreign", 1, TIGHT, measured_on="1" * 32)
    old = revision(tmp_path / "old", 1, TIGHT, measured={"a": {"epochs": 9}})
    # `make published` was interrupted before it wrote the table anew.
    stale = revision(tmp_path / "stale", 1, TIGHT, reported=f"{'2' * 32}.dir")
    unknown = revision(tmp_path / "unknown", 1, TIGHT)
    lock = yaml.safe_load((unknown.root / "dvc.lock").read_text(encoding="utf-8"))
    del lock["stages"]["report"]
    (unknown.root / "dvc.lock").write_text(yaml.safe_dump(lock), encoding="utf-8")
    for revised in (foreign, old, stale, unknown):
        change = accuracy_change(revised, revised, 0.03, paired)
        assert change.kind == "unknown"
        assert "does not hold 3 other seeds of a, on these data: `make pub" in change.notes[0]
        assert accuracy_change(revised, known, 0.03, paired).kind == "real"


def test_on_other_data_a_recipe_is_supposed_to_scatter_as_before_or_has_been_measured_anew(
    tmp_path: Path, paired: PairedTest
) -> None:
    base = revision(tmp_path / "base", 1, TIGHT)
    other = "1" * 32
    head = revision(tmp_path / "head", 1, TIGHT, data=other, measured_on="0" * 32)
    change = accuracy_change(base, head, 0.03, paired)
    assert change.headline.endswith("if the seeds of a scatter as they do in the base.")
    assert "does not hold 3 other seeds of a, on the data of the head" in change.notes[0]
    change = accuracy_change(head, base, 0.03, paired)
    assert change.headline.endswith("if the seeds of a scatter as they do in the head.")
    anew = revision(tmp_path / "anew", 1, WIDE, data=other)
    change = accuracy_change(base, anew, 0.03, paired)
    assert change.kind == "within"
    assert any("of a in the head has a standard deviation of 2.00" in n for n in change.notes)


def test_data_that_no_stage_writes_are_data_too(tmp_path: Path, paired: PairedTest) -> None:
    known = revision(tmp_path / "known", 1, TIGHT)
    foreign = revision(tmp_path / "foreign", 1, TIGHT, measured_on="1" * 32)
    for side, kind in ((known, "real"), (foreign, "unknown")):
        lock = yaml.safe_load((side.root / "dvc.lock").read_text(encoding="utf-8"))
        del lock["stages"]["normalize"]  # as of `dvc add`, which no lock speaks of
        (side.root / "dvc.lock").write_text(yaml.safe_dump(lock), encoding="utf-8")
        assert accuracy_change(side, side, 0.03, paired).kind == kind


def test_a_file_of_other_seeds_that_nothing_wrote_makes_the_table_stale(
    tmp_path: Path, paired: PairedTest
) -> None:
    side = revision(tmp_path / "side", 1, TIGHT)
    assert accuracy_change(side, side, 0.03, paired).kind == "real"
    (side.root / "published/runs").mkdir()
    (side.root / "published/runs/b.json").touch()
    stale = Revision(None, side.name, side.root)
    assert accuracy_change(stale, stale, 0.03, paired).kind == "unknown"


def test_a_number_is_the_same_however_it_is_written(tmp_path: Path, paired: PairedTest) -> None:
    side = revision(tmp_path / "side", 1, TIGHT, recipes={"a": {"learning_rate": 1e-5}})
    # By a person, and as DVC does.
    for name, written in (("params.yaml", "0.00001"), ("dvc.lock", "1e-05")):
        text = (side.root / name).read_text(encoding="utf-8")
        assert "1.0e-05" in text
        (side.root / name).write_text(text.replace("1.0e-05", written), encoding="utf-8")
    assert accuracy_change(side, side, 0.03, paired).kind == "real"


def test_a_recipe_that_is_defined_anew_is_supposed_to_scatter_as_before(
    tmp_path: Path, paired: PairedTest
) -> None:
    before, after = ({"a": {"learning_rate": rate}} for rate in (1e-5, 2e-5))
    sides = [
        revision(tmp_path / str(n), 1, TIGHT, recipes=recipes, measured=before)
        for n, recipes in enumerate((before, after))
    ]
    change = accuracy_change(*sides, 0.03, paired)
    assert change.headline.endswith("if the seeds of a scatter as they do in the base.")
    assert "other seeds of a as the head defines it" in change.notes[0]
    change = accuracy_change(*reversed(sides), -0.03, paired)
    assert change.headline.endswith("if the seeds of a scatter as they do in the head.")
    assert "other seeds of a as the base defines it" in change.notes[0]


def test_without_the_folder_that_measures_the_report_says_so(
    tmp_path: Path, paired: PairedTest
) -> None:
    side = revision(tmp_path / "side", 1, [])
    shutil.rmtree(side.root / "published")
    (note,) = accuracy_change(side, side, 0.03, paired).notes
    assert note.endswith("the folder published, which measures it, is gone: take it back with git.")


@pytest.mark.parametrize(
    ("accuracies", "said", "is_real"),
    [
        ([0.86, 0.88, 0.90], "it is within the measured limit of ±12.17 points", False),
        ([0.8799, 0.88, 0.8801], "it is beyond the measured limit of ±0.06 points, as", True),
        ([0.86], "how far seeds scatter has not been measured", None),
    ],
)
def test_a_change_of_the_seed_alone_is_held_against_what_was_measured(
    tmp_path: Path, paired: PairedTest, accuracies: list[float], said: str, is_real: bool | None
) -> None:
    base, head = (revision(tmp_path / f"seed-{n}", n, accuracies) for n in (1, 2))
    change = accuracy_change(base, head, -0.01, paired)
    assert change.kind == "within"
    if is_real is None:
        start = "Only the seed has changed: −1.00 points; "
    else:
        start = "Within the spread of seeds: −1.00 points, and only the seed has changed; "
    assert change.headline.startswith(start + said)
    assert (change.seeds and change.seeds.is_real) is is_real


def test_models_that_scored_other_images_are_not_compared(tmp_path: Path) -> None:
    spread = [0.86, 0.88, 0.90]
    base, head = (revision(tmp_path / f"seed-{n}", n, spread) for n in (1, 2))
    change = accuracy_change(base, head, -0.01, None)
    assert change.headline == "Unknown: the two did not score the same images."
    assert (change.kind, change.seeds) == ("unknown", None)


def test_what_draws_the_figures_does_not_make_another_seed_a_real_change(
    tmp_path: Path, paired: PairedTest
) -> None:
    tight = [0.8799, 0.88, 0.8801]
    base = revision(tmp_path / "base", 1, tight)
    head = revision(tmp_path / "head", 2, tight, drawing="draw --larger")
    change = accuracy_change(base, head, 0.01, paired)
    assert change.kind == "within"
    assert "only the seed has changed" in change.headline


def test_a_change_is_not_judged_by_the_spread_that_it_brings(
    tmp_path: Path, paired: PairedTest
) -> None:
    base = revision(tmp_path / "base", 1, [0.86, 0.88, 0.90])
    head = revision(tmp_path / "head", 1, [0.8799, 0.88, 0.8801])
    change = accuracy_change(base, head, 0.01, paired)
    assert change.kind == "within"
    assert change.seeds is not None
    assert change.seeds.limit == pytest.approx(0.1217, abs=1e-4)


def test_the_runs_that_are_compared_are_no_part_of_the_spread(
    tmp_path: Path, paired: PairedTest
) -> None:
    # Seeds 1 to 5, of which 1 and 2 lie far off.
    accuracies = [0.5, 0.7, 0.86, 0.88, 0.90]
    base, head = (revision(tmp_path / f"{n}", n, accuracies, first=1) for n in (1, 2))
    change = accuracy_change(base, head, 0.2, paired)
    assert change.seeds is not None
    assert change.seeds.limit == pytest.approx(0.1217, abs=1e-4)
    assert any("n = 3 other seeds" in note for note in change.notes)


def test_recipes_whose_names_look_like_numbers_are_found(
    tmp_path: Path, paired: PairedTest
) -> None:
    base, head = (
        revision(tmp_path / f"{n}", n, [0.83, 0.84, 0.85, 0.86], recipe="2024") for n in (1, 2)
    )
    assert accuracy_change(base, head, 0.2, paired).seeds is not None


def test_a_damaged_table_is_named(tmp_path: Path, paired: PairedTest) -> None:
    base, head = (revision(tmp_path / f"{n}", n, [0.8]) for n in (1, 2))
    (head.root / RESULTS).write_text("recipe,seed,test_accuracy\na,1,high\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"results\.csv of 2: cannot be read .*make published"):
        accuracy_change(base, head, 0.2, paired)
