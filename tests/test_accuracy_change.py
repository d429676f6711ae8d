"""The verdict on a change of accuracy, of two made-up revisions."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml

from commands.accuracy_change import RESULTS, accuracy_change
from commands.revisions import Revision
from workflow.comparison import PairedTest, paired_test
from workflow.errors import UserError


def revision(
    root: Path, seed: int, accuracies: list[float], first: int = 10, drawing: str = "draw"
) -> Revision:
    """A workspace in which the pipeline has run.

    Args:
        root: a folder to be made.
        seed: of the run.
        accuracies: as measured of other seeds, counted from `first`.
        first: see there.
        drawing: the command that draws the figures.
    """
    root.mkdir()
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    hashed = f"{seed:032}"
    model, predictions = ({"path": p, "md5": hashed} for p in ("model", "plots/predictions.csv"))
    stages = {
        "train": {"cmd": "train", "params": {"params.yaml": {"seed": seed}}, "outs": [model]},
        "evaluate": {"cmd": "evaluate", "deps": [model], "outs": [predictions]},
        "visualize": {"cmd": drawing, "deps": [predictions], "outs": []},
    }
    files = {
        "dvc.lock": yaml.safe_dump({"stages": stages}),
        "params.yaml": yaml.safe_dump({"recipe": "a", "seed": seed, "recipes": {"a": {}}}),
        RESULTS: "recipe,seed,test_accuracy\n"
        + "".join(f"a,{first + n},{accuracy}\n" for n, accuracy in enumerate(accuracies)),
    }
    for name, text in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return Revision(None, root.name, root)


@pytest.fixture
def paired() -> PairedTest:
    return paired_test(np.array([True, False, False]), np.array([True, True, False]))


WIDE, TIGHT = [0.86, 0.88, 0.90], [0.8799, 0.88, 0.8801]


@pytest.mark.parametrize(
    ("in_base", "in_head", "redefined", "kind", "said"),
    [
        (WIDE, TIGHT, False, "within", "another seed alone can do that."),
        ([], TIGHT, False, "real", "by more than another seed explains."),
        (TIGHT, TIGHT, True, "real", "if the seeds of b scatter as those of a do."),
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
    sides = []
    for name, recipe, of_b in (("base", "a", in_base), ("head", "b", in_head)):
        side = revision(tmp_path / name, 1, TIGHT)
        changed = redefined and name == "head"
        params = {"recipe": recipe, "seed": 1, "recipes": {"a": {}, "b": {"epochs": 1 + changed}}}
        (side.root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        with (side.root / RESULTS).open("a", encoding="utf-8") as table:
            table.writelines(f"b,{20 + n},{accuracy}\n" for n, accuracy in enumerate(of_b))
        sides.append(Revision(None, side.name, side.root))
    change = accuracy_change(*sides, 0.03, paired)
    assert change.kind == kind
    assert change.headline.endswith(said)
    assert any("b is defined anew" in note for note in change.notes) == (in_base == in_head)


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
    base, head = (revision(tmp_path / f"{n}", n, []) for n in (1, 2))
    for side in (base, head):
        params = {"recipe": "2024", "seed": side.params["seed"], "recipes": {"2024": {}}}
        (side.root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        rows = "".join(f"2024,{n},0.8{n}\n" for n in range(3, 7))
        table = "recipe,seed,test_accuracy\n" + rows
        (side.root / RESULTS).write_text(table, encoding="utf-8")
    fresh = [Revision(None, side.name, side.root) for side in (base, head)]
    assert accuracy_change(*fresh, 0.2, paired).seeds is not None


def test_a_damaged_table_is_named(tmp_path: Path, paired: PairedTest) -> None:
    base, head = (revision(tmp_path / f"{n}", n, [0.8]) for n in (1, 2))
    (head.root / RESULTS).write_text("recipe,seed,test_accuracy\na,1,high\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"results\.csv of 2: cannot be read .*make published"):
        accuracy_change(base, head, 0.2, paired)
