"""`review.yaml`: how metrics are judged, and where the spread over seeds is recorded."""

from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import Field

from commands.review.revisions import Revision
from workflow.core.errors import UserError
from workflow.core.validation import Strict, validate
from workflow.core.yaml import InvalidYamlError, parse_yaml

RULES_FILE = "review.yaml"


class Rule(Strict):
    """Which way a metric is better, and how far it may get worse; None for any distance."""

    better: Literal["higher", "lower"]
    tolerance: Annotated[float, Field(ge=0)] | None = None


class SeedsRecord(Strict):
    """Where the spread over seeds is recorded.

    Attributes:
        folder: of a `RECIPE.json` for each recipe that has been measured.
        measured_by: the command that measures it.
    """

    folder: str
    measured_by: str


class Rules(Strict):
    """The whole of `review.yaml`.

    Attributes:
        metrics: metrics file, then pattern, then rule.
        seeds: None where no spread is recorded.
    """

    metrics: dict[str, dict[str, Rule]]
    seeds: SeedsRecord | None = None

    def rule(self, file: str, metric: str) -> tuple[int, Rule | None]:
        """The first rule whose pattern fits, if any does, and its place among those of the file."""
        patterns = self.metrics.get(file, {})
        for place, (pattern, rule) in enumerate(patterns.items()):
            if fnmatchcase(metric, pattern):
                return place, rule
        return len(patterns), None


def load_rules(base: Revision, head: Revision) -> Rules:
    """Read and check the `review.yaml` of the base, or of the head where the base has none.

    So a change cannot raise the tolerances that it is judged by.

    Raises:
        UserError: it is missing, is no YAML, or holds an unknown key or a wrong value.
    """
    for revision in (base, head):
        content = revision.read(RULES_FILE)
        if content is not None:
            return parse_rules(content, f"{RULES_FILE} of {revision.name}")
    raise UserError(f"{RULES_FILE} is missing: restore it from an earlier commit")


def parse_rules(content: bytes, place: str) -> Rules:
    """Check the content of a `review.yaml`.

    Args:
        content: of the file.
        place: where it comes from, for the error message.

    Raises:
        UserError: it is no YAML, or holds an unknown key or a wrong value.
    """
    try:
        return validate(parse_yaml(content), Rules, place)
    except InvalidYamlError as error:
        raise UserError(f"{place}: {error}") from None


def rules_have_changed(base: Revision, head: Revision) -> bool:
    """Whether the head brings another `review.yaml` than that by which it is judged."""
    old = base.read(RULES_FILE)
    return old is not None and old != head.read(RULES_FILE)
