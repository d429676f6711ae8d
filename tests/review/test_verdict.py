"""The verdict on a change of accuracy, of two made-up revisions."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from projects import dump_yaml, load_yaml

from commands.review.lockfile import md5_of
from commands.review.revisions import Revision
from commands.review.rules import SeedsRecord
from commands.review.statistics import PairedTest, paired_test
from commands.review.verdict import AccuracyChange, accuracy_change
from workflow.core.errors import UserError

WIDE, TIGHT = [0.86, 0.88, 0.90], [0.8799, 0.88, 0.8801]
DATA = "data/normalized.npz"
RECORD = SeedsRecord(folder="seeds", measured_by="make seeds")


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
    """
    root.mkdir()
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    if isinstance(accuracies, list):
        accuracies = {recipe: accuracies}
    recipes = recipes or {recipe: {}}
    hashed = f"{seed:032}"
    model, predictions = ({"path": p, "md5": hashed} for p in ("model", "plots/predictions.csv"))
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
    }
    dump_yaml(root / "params.yaml", {"recipe": recipe, "seed": seed, "recipes": recipes})
    (root / "seeds").mkdir()
    for name, values in accuracies.items():
        content = {
            "data_md5": measured_on or data,
            "recipe": (measured or recipes)[name],
            "test_accuracy": {str(first + n): value for n, value in enumerate(values)},
        }
        (root / f"seeds/{name}.json").write_text(json.dumps(content), encoding="utf-8")
    record_seeds(root, stages)
    return Revision(None, root.name, root)


def record_seeds(root: Path, stages: dict[str, Any]) -> None:
    """Write a lock by which a stage has written what lies in the folder of the spreads."""
    outs = [
        {"path": f"seeds/{file.name}", "md5": md5_of(file)}
        for file in sorted((root / "seeds").iterdir())
    ]
    dump_yaml(root / "dvc.lock", {"stages": stages | {"measure": {"cmd": "measure", "outs": outs}}})


def judged(
    base: Revision, head: Revision, difference: float, paired: PairedTest | None
) -> AccuracyChange:
    return accuracy_change(base, head, difference, paired, RECORD)


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
    change = judged(base, head, 0.03, paired)
    assert change.kind == kind
    assert change.headline.endswith(said)


def test_what_was_measured_on_other_data_or_of_another_definition_is_not_used(
    tmp_path: Path, paired: PairedTest
) -> None:
    known = revision(tmp_path / "known", 1, TIGHT)
    foreign = revision(tmp_path / "foreign", 1, TIGHT, measured_on="1" * 32)
    old = revision(tmp_path / "old", 1, TIGHT, measured={"a": {"epochs": 9}})
    for side in (foreign, old):
        change = judged(side, side, 0.03, paired)
        assert change.kind == "unknown"
        assert "does not hold 3 other seeds of a, on these data: `make seeds`" in change.notes[0]
        assert judged(side, known, 0.03, paired).kind == "real"


def test_on_other_data_a_recipe_is_supposed_to_scatter_as_before_or_has_been_measured_anew(
    tmp_path: Path, paired: PairedTest
) -> None:
    base = revision(tmp_path / "base", 1, TIGHT)
    other = "1" * 32
    head = revision(tmp_path / "head", 1, TIGHT, data=other, measured_on="0" * 32)
    change = judged(base, head, 0.03, paired)
    assert change.headline.endswith("if the seeds of a scatter as they do in the base.")
    assert "does not hold 3 other seeds of a, on the data of the head" in change.notes[0]
    change = judged(head, base, 0.03, paired)
    assert change.headline.endswith("if the seeds of a scatter as they do in the head.")
    anew = revision(tmp_path / "anew", 1, WIDE, data=other)
    change = judged(base, anew, 0.03, paired)
    assert change.kind == "within"
    assert any("of a in the head has a standard deviation of 2.00" in n for n in change.notes)


def test_data_that_no_stage_writes_are_data_too(tmp_path: Path, paired: PairedTest) -> None:
    known = revision(tmp_path / "known", 1, TIGHT)
    foreign = revision(tmp_path / "foreign", 1, TIGHT, measured_on="1" * 32)
    for side, kind in ((known, "real"), (foreign, "unknown")):
        lock = load_yaml(side.root / "dvc.lock")
        del lock["stages"]["normalize"]  # as of `dvc add`, which no lock speaks of
        dump_yaml(side.root / "dvc.lock", lock)
        assert judged(side, side, 0.03, paired).kind == kind


def test_a_number_is_the_same_however_it_is_written(tmp_path: Path, paired: PairedTest) -> None:
    side = revision(tmp_path / "side", 1, TIGHT, recipes={"a": {"learning_rate": 1e-5}})
    params, record = side.root / "params.yaml", side.root / "seeds/a.json"
    # By a person, and by Python.
    text = params.read_text(encoding="utf-8")
    params.write_text(text.replace("1e-05", "0.00001"), encoding="utf-8")
    assert "0.00001" in params.read_text(encoding="utf-8")
    assert "1e-05" in record.read_text(encoding="utf-8")
    assert judged(side, side, 0.03, paired).kind == "real"


def test_a_recipe_that_is_defined_anew_is_supposed_to_scatter_as_before(
    tmp_path: Path, paired: PairedTest
) -> None:
    before, after = ({"a": {"learning_rate": rate}} for rate in (1e-5, 2e-5))
    sides = [
        revision(tmp_path / str(n), 1, TIGHT, recipes=recipes, measured=before)
        for n, recipes in enumerate((before, after))
    ]
    change = judged(*sides, 0.03, paired)
    assert change.headline.endswith("if the seeds of a scatter as they do in the base.")
    assert "other seeds of a as the head defines it" in change.notes[0]
    change = judged(*reversed(sides), -0.03, paired)
    assert change.headline.endswith("if the seeds of a scatter as they do in the head.")
    assert "other seeds of a as the base defines it" in change.notes[0]


def test_where_no_spread_is_recorded_the_answer_is_unknown(
    tmp_path: Path, paired: PairedTest
) -> None:
    side = revision(tmp_path / "side", 1, TIGHT)
    change = accuracy_change(side, side, 0.03, paired, None)
    assert change.kind == "unknown"
    assert change.notes[0].startswith("review.yaml names no place")


@pytest.mark.parametrize(
    ("accuracies", "said", "is_real"),
    [
        ([0.86, 0.88, 0.90], "it is within the measured limit of ±12.17 points", False),
        ([0.8799, 0.88, 0.8801], "it is beyond the measured limit of ±0.06 points, as", True),
        ([0.86], "the spread over seeds has not been measured", None),
    ],
)
def test_a_change_of_the_seed_alone_is_held_against_what_was_measured(
    tmp_path: Path, paired: PairedTest, accuracies: list[float], said: str, is_real: bool | None
) -> None:
    base, head = (revision(tmp_path / f"seed-{n}", n, accuracies) for n in (1, 2))
    change = judged(base, head, -0.01, paired)
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
    change = judged(base, head, -0.01, None)
    assert change.headline == "Unknown: the two did not score the same images."
    assert (change.kind, change.seeds) == ("unknown", None)


def test_what_draws_the_figures_does_not_make_another_seed_a_real_change(
    tmp_path: Path, paired: PairedTest
) -> None:
    tight = [0.8799, 0.88, 0.8801]
    base = revision(tmp_path / "base", 1, tight)
    head = revision(tmp_path / "head", 2, tight, drawing="draw --larger")
    change = judged(base, head, 0.01, paired)
    assert change.kind == "within"
    assert "only the seed has changed" in change.headline


def test_a_change_is_not_judged_by_the_spread_that_it_brings(
    tmp_path: Path, paired: PairedTest
) -> None:
    base = revision(tmp_path / "base", 1, [0.86, 0.88, 0.90])
    head = revision(tmp_path / "head", 1, [0.8799, 0.88, 0.8801])
    change = judged(base, head, 0.01, paired)
    assert change.kind == "within"
    assert change.seeds is not None
    assert change.seeds.limit == pytest.approx(0.1217, abs=1e-4)


def test_the_runs_that_are_compared_are_no_part_of_the_spread(
    tmp_path: Path, paired: PairedTest
) -> None:
    # Seeds 1 to 5, of which 1 and 2 lie far off.
    accuracies = [0.5, 0.7, 0.86, 0.88, 0.90]
    base, head = (revision(tmp_path / f"{n}", n, accuracies, first=1) for n in (1, 2))
    change = judged(base, head, 0.2, paired)
    assert change.seeds is not None
    assert change.seeds.limit == pytest.approx(0.1217, abs=1e-4)
    assert any("n = 3 other seeds" in note for note in change.notes)


def test_recipes_whose_names_look_like_numbers_are_found(
    tmp_path: Path, paired: PairedTest
) -> None:
    base, head = (
        revision(tmp_path / f"{n}", n, [0.83, 0.84, 0.85, 0.86], recipe="2024") for n in (1, 2)
    )
    assert judged(base, head, 0.2, paired).seeds is not None


def test_a_record_that_no_stage_has_written_is_not_used(tmp_path: Path, paired: PairedTest) -> None:
    base, head = (revision(tmp_path / f"{n}", n, TIGHT) for n in (1, 2))
    for folder in (base.root, head.root):
        path = folder / "seeds/a.json"
        path.write_text(path.read_text(encoding="utf-8").replace("0.88", "0.5"), encoding="utf-8")
    assert judged(base, head, 0.2, paired).seeds is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"data_md5": "", "recipe": {}, "test_accuracy": {"1": "high"}}']
)
def test_a_damaged_record_is_named(tmp_path: Path, paired: PairedTest, text: str) -> None:
    base, head = (revision(tmp_path / f"{n}", n, [0.8]) for n in (1, 2))
    (head.root / "seeds/a.json").write_text(text, encoding="utf-8")
    record_seeds(head.root, load_yaml(head.root / "dvc.lock")["stages"])
    with pytest.raises(UserError, match=r"seeds/a\.json of 2: damaged .*make seeds") as raised:
        judged(base, head, 0.2, paired)
    assert "\n" not in str(raised.value)
