"""`published/params.yaml`: what the tutorials print of their runs, read and validated."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from workflow.core import paths
from workflow.core.errors import UserError
from workflow.core.params import Params
from workflow.core.validation import Strict, read_validated, require_different

PARAMS_FILE = Path("published/params.yaml")

Probability = Annotated[float, Field(ge=0, le=1)]


class PublishedPrediction(Strict):
    """What a tutorial prints for one test image: the class with the largest probability."""

    image: int = Field(ge=0)
    label: int = Field(ge=0)
    probability: Probability


class PublishedResult(Strict):
    """What a tutorial prints of its run; what it does not print is left out."""

    source: str
    train_accuracy: Probability | None = None
    train_loss: float | None = Field(default=None, ge=0)
    test_accuracy: Probability | None = None
    test_loss: float | None = Field(default=None, ge=0)
    prediction: PublishedPrediction | None = None
    note: str | None = None


class Published(Strict):
    """The tutorials' results, by recipe, and with which seeds they are reproduced."""

    seeds: list[Annotated[int, Field(ge=0, lt=2**32)]] = Field(min_length=2)
    images: list[Annotated[int, Field(ge=0)]]
    results: dict[str, PublishedResult] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> "Published":
        for name, values in (("seeds", self.seeds), ("images", self.images)):
            require_different(name, values)
        for recipe, result in self.results.items():
            if result.prediction and result.prediction.image not in self.images:
                raise ValueError(
                    f"results.{recipe}: images does not hold {result.prediction.image}: add it"
                )
        return self


def load_published(
    params: Params, classes: int | None = None, path: Path = PARAMS_FILE
) -> Published:
    """Read the published results and see that they belong to these params.

    Args:
        params: which has the recipes.
        classes: how many there are; None to leave that unchecked.
        path: of the file.

    Raises:
        UserError: as `read_validated`; or a result is of a recipe or a class that is not there.
    """
    published = read_validated(path, Published)
    for name, result in published.results.items():
        where = f"{path}: results.{name}"
        if name not in params.recipes:
            raise UserError(f"{where}: no such recipe: add it to params.yaml, or delete it here")
        if result.prediction and result.prediction.label >= (classes or 256):
            raise UserError(
                f"{paths.PARAMS}: data has {classes} classes, but {where} is of label"
                f" {result.prediction.label}: restore the names; or, if the data set is another"
                f" one, put results of your own into {path}, or delete the folder published"
            )
    return published
