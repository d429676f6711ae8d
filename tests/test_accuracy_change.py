"""The verdict on a change of accuracy, of two made-up revisions."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml

from commands.accuracy_change import RESULTS, accuracy_change
from commands.revisions import Revision
from workflow.comparison import PairedTest, paired_test


def revision(root: Path, seed: int, accuracies: list[float]) -> Revision:
    """A workspace in which the pipeline has run with this seed."""
    root.mkdir()
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    stage = {
        "cmd": "train",
        "params": {"params.yaml": {"seed": seed}},
        "outs": [{"path": "model", "md5": f"{seed:032}"}],
    }
    files = {
        "dvc.lock": yaml.safe_dump({"stages": {"train": stage}}),
        "params.yaml": yaml.safe_dump({"recipe": "a", "seed": seed, "recipes": {"a": {}}}),
        RESULTS: "recipe,seed,test_accuracy\n"
        + "".join(f"a,{n},{accuracy}\n" for n, accuracy in enumerate(accuracies)),
    }
    for name, text in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return Revision(None, root.name, root)


@pytest.fixture
def paired() -> PairedTest:
    return paired_test(np.array([True, False, False]), np.array([True, True, False]))


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
