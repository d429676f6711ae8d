"""How far the seeds of a recipe scatter, where that has been measured.

The stage that measures a recipe writes `FOLDER/RECIPE.json`; `review.yaml` names the folder. With
the test accuracy of each seed it records of which recipe, as defined then, and of which data they
are. They are used for no others.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from commands.review.lockfile import md5_of_bytes, recorded_outs, stages_behind
from commands.review.revisions import Revision
from commands.review.rules import SeedsRecord
from commands.review.statistics import SeedSpread, seed_spread
from workflow.core import paths
from workflow.core.errors import UserError
from workflow.core.files import parse_json
from workflow.core.validation import Strict, validate

SeedName = Annotated[str, Field(pattern="^[0-9]+$")]


class Measured(Strict):
    """The content of `FOLDER/RECIPE.json`.

    Attributes:
        data_md5: of `data/normalized.npz`.
        recipe: its settings in `params.yaml`.
        test_accuracy: by seed.
    """

    data_md5: str
    recipe: dict[str, Any]
    test_accuracy: dict[SeedName, float]


@dataclass(frozen=True)
class Run:
    """What the predictions of a revision were made with.

    Attributes:
        recipe: its name.
        settings: of the recipe.
        seed: of the run.
        data_md5: of `data/normalized.npz`; None where `dvc.lock` records none.
    """

    recipe: str
    settings: Any
    seed: Any
    data_md5: str | None


def run_of(revision: Revision) -> Run:
    """What the predictions of a revision were made with, by its `params.yaml` and `dvc.lock`."""
    params, lock = revision.params, revision.lock
    recipe = str(params.get("recipe", ""))
    settings = (params.get("recipes") or {}).get(recipe)
    stages = stages_behind(str(paths.PREDICTIONS), lock)
    read = {dep.path: dep.md5 for name in stages for dep in lock[name].deps}
    return Run(recipe, settings, params.get("seed"), read.get(str(paths.NORMALIZED)))


def measured_spread(
    run: Run, seeds: Iterable[Any], revisions: Iterable[Revision], record: SeedsRecord
) -> SeedSpread | None:
    """The spread over the seeds of a run's recipe, on its data.

    Args:
        run: whose recipe and data are meant.
        seeds: those to leave out. The test takes the runs that are compared for independent of
            what the spread is measured by.
        revisions: where to look; the first that has measured enough seeds counts.
        record: where the spread is recorded.

    Raises:
        UserError: a record is damaged.
    """
    left_out = set(map(str, seeds))
    for revision in revisions:
        measured = _read_measured(revision, run.recipe, record)
        if measured is None or measured.recipe != run.settings:
            continue
        if measured.data_md5 != run.data_md5:
            continue
        accuracies = measured.test_accuracy.items()
        others = [accuracy for seed, accuracy in accuracies if seed not in left_out]
        if spread := seed_spread(run.recipe, others):
            return spread
    return None


def _read_measured(revision: Revision, recipe: str, record: SeedsRecord) -> Measured | None:
    path = Path(record.folder, f"{recipe}.json").as_posix()
    content = revision.read(path)
    recorded = recorded_outs(revision.lock).get(path)
    # What no stage has written, anybody has.
    if content is None or recorded is None or recorded[1].md5 != md5_of_bytes(content):
        return None
    try:
        return validate(parse_json(content), Measured, "")
    except (UserError, ValueError) as error:
        reason = str(error).removeprefix(": ")
        raise UserError(
            f"{path} of {revision.name}: damaged ({reason:.200}): delete it and measure it again"
            f" with `{record.measured_by}`"
        ) from None
