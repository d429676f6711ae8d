"""`frontier/params.yaml`: which recipes are compared, and with what."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from workflow.core import paths
from workflow.core.errors import UserError
from workflow.core.params import Params
from workflow.core.validation import Strict, read_validated, require_different

PARAMS_FILE = Path("frontier/params.yaml")


class Reference(Strict):
    """What others report."""

    name: str
    accuracy: float = Field(ge=0, le=1)
    source: str


class Frontier(Strict):
    """The recipes and seeds that are trained, and what they are put beside."""

    recipes: list[str] = Field(min_length=1)
    seeds: list[Annotated[int, Field(ge=0, lt=2**32)]] = Field(min_length=2)
    references: list[Reference] = Field(default_factory=list)

    @model_validator(mode="after")
    def _consistent(self) -> "Frontier":
        require_different("recipes", self.recipes)
        require_different("seeds", self.seeds)
        return self


def load_frontier(params: Params, path: Path = PARAMS_FILE) -> Frontier:
    """Read which recipes are compared.

    Raises:
        UserError: as `read_validated`; or one of them is not in `params.yaml`.
    """
    frontier = read_validated(path, Frontier)
    for name in frontier.recipes:
        if name not in params.recipes:
            raise UserError(
                f"{path}: recipes: {paths.PARAMS} has no {name}: add it there, or delete it here"
            )
    return frontier
