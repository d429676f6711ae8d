"""A change under review: a head against a base, and what several commands ask of it."""

import argparse
from dataclasses import replace
from functools import cached_property

from commands.review.consistency import Inconsistency, inconsistencies, mismatched_results
from commands.review.dvc import WORKSPACE
from commands.review.metrics import (
    MetricChange,
    metric_changes,
    metrics_difference,
    with_contradictions,
)
from commands.review.predictions import (
    Predictions,
    computed_metrics,
    read_predictions,
    same_images,
    same_test_data,
)
from commands.review.reproduction import stages_of_others
from commands.review.revisions import FirstCommitError, Revision, resolve, resolve_base
from commands.review.rules import Rules, load_rules
from workflow.core import paths
from workflow.core.errors import UserError


class Change:
    """A head against a base. Each question is answered when it is first asked, and once.

    Attributes:
        head: the revision after.
    """

    def __init__(self, base: str | None, head: str) -> None:
        """Args: `base` and `head`, names of revisions; None for the base that fits the head."""
        self.head = resolve(head)
        self._base_name = base or None

    @cached_property
    def base_with_reason(self) -> tuple[Revision, str]:
        """The revision before, and in words how it was chosen.

        Raises:
            FirstCommitError: there is none.
            UserError: there is no such commit.
        """
        return resolve_base(self._base_name, self.head)

    @property
    def base(self) -> Revision:
        """The revision before; raises as `base_with_reason`."""
        return self.base_with_reason[0]

    @property
    def nothing_to_compare(self) -> str | None:
        """Why there is nothing to compare, in words; None where there is something."""
        try:
            same = self.base.commit == self.head.commit
        except FirstCommitError as error:
            return str(error)
        return f"nothing to compare: base and head are both {self.head.name}" if same else None

    @cached_property
    def changed_stages_of_others(self) -> set[str]:
        """The stages of other pipelines than the root's that the base records otherwise.

        Where no base is named and none is found, nothing has changed.
        """
        try:
            base = self.base
        except UserError:
            if self._base_name:
                raise
            return set()
        return stages_of_others(self.head, base)

    @cached_property
    def inconsistencies(self) -> list[Inconsistency]:
        """In what `dvc.lock` differs from code and params, if the head is the workspace."""
        return inconsistencies(self.head)

    @cached_property
    def mismatched_results(self) -> list[str]:
        """Results in Git that are not those of `dvc.lock`, one line each."""
        return mismatched_results(self.head)

    @cached_property
    def rules(self) -> Rules:
        """What the change is judged by."""
        return load_rules(self.base, self.head)

    @cached_property
    def predictions(self) -> tuple[Predictions | None, Predictions | None]:
        """The tables of predictions of base and head; None for a side that has none."""
        return read_predictions(self.base), read_predictions(self.head)

    @cached_property
    def fresh_start(self) -> str | None:
        """Why the two cannot be compared at all, in words: they have other test images.

        So it is where a copy of this project gets data of its own. None where they can: another
        name of a class is no other data.
        """
        before, after = self.predictions
        if before is None or after is None or self.relabelled:
            return None
        if same_images(before, after, self.base, self.head):
            return None
        if before.class_names != after.class_names:
            return f"a fresh start: {self.base.name} knows other classes, and has other test images"
        return f"a fresh start: {self.base.name} was scored on other test images"

    @cached_property
    def relabelled(self) -> str | None:
        """What is wrong, in words, if the true classes of the same test data differ."""
        before, after = self.predictions
        if before is None or after is None or not same_test_data(self.base, self.head):
            return None
        if same_images(before, after, self.base, self.head):
            return None
        return (
            f"{paths.PREDICTIONS}: the true classes are others than in {self.base.name}, though the"
            " test data are the same"
        )

    @cached_property
    def metrics(self) -> list[MetricChange]:
        """All metrics, with the intervals that are recorded, and what contradicts them."""
        computed = {}
        sides = zip(("base", "head"), (self.base, self.head), self.predictions, strict=True)
        for side, revision, predictions in sides:
            if predictions is not None:
                names = (revision.params.get("data") or {}).get("class_names") or []
                for (file, name), value in computed_metrics(predictions, names).items():
                    computed[side, file, name] = value
        changes = metric_changes(metrics_difference(self.base, self.head), self.rules)
        if self.fresh_start:  # the same number means something else on either side
            changes = [replace(change, rule=None) for change in changes]
        return with_contradictions(changes, computed)


def change_parser(
    command: str, description: str | None, head: str = WORKSPACE
) -> argparse.ArgumentParser:
    """A parser of the options that name a change, `--base` and `--head`.

    Args:
        command: its name.
        description: of the command.
        head: what `--head` is if it is not given.
    """
    parser = argparse.ArgumentParser(prog=f"python -m commands {command}", description=description)
    parser.add_argument(
        "--base",
        metavar="REV",
        help="what to compare with; REV... for where the head branched off from REV"
        " (default: where it branched off from the main branch)",
    )
    parser.add_argument("--head", default=head, metavar="REV", help=f"the change (default: {head})")
    return parser
