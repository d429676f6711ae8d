"""`params.yaml`, read and checked as a whole, but for the recipes.

What a recipe holds is checked by workflow/model/recipe.py, which knows the layers: so a new layer
concerns the stages that train and predict alone.
"""

import unicodedata
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from workflow.core import paths
from workflow.core.errors import UserError
from workflow.core.validation import Strict, read_validated, require_different


class IdxFile(Strict):
    """One file of the data set; `sha256` is of its decompressed bytes."""

    name: str = Field(pattern=r"^[\w-][\w.-]*$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class IdxFiles(Strict):
    """The four files of the data set."""

    train_images: IdxFile
    train_labels: IdxFile
    test_images: IdxFile
    test_labels: IdxFile

    @model_validator(mode="after")
    def _names_differ(self) -> "IdxFiles":
        files = (self.train_images, self.train_labels, self.test_images, self.test_labels)
        require_different("name", [file.name for file in files])
        for what in ("images", "labels"):
            train, test = (getattr(self, f"{split}_{what}") for split in ("train", "test"))
            if train.sha256 == test.sha256:
                raise ValueError(
                    f"train_{what} and test_{what} have the same sha256: a model must be tested on"
                    " other images than it is trained on"
                )
        return self


def _checked_name(name: str) -> str:
    """The name of a class, in the one form that Unicode has for it (NFC)."""
    name = unicodedata.normalize("NFC", name)
    # Spaces, and what has no width.
    if all(unicodedata.category(letter) in ("Cc", "Cf", "Zs") for letter in name):
        raise ValueError(f"{name!r} is blank: name the class")
    if name != name.strip():
        raise ValueError(f"{name!r} has a space at an end: delete it")
    # Git would write the line ends in results anew.
    if any(unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in name):
        raise ValueError(f"{name!r} holds a control character: delete it")
    return name


def _quoted(value: Any) -> Any:
    """Raise a ValueError for what YAML takes for no text, which it would be in quotes."""
    if isinstance(value, list):
        for name in value:
            if isinstance(name, bool | int | float) or name is None:
                raise ValueError(f"{name!r} is no text in YAML: quote the names: ['0', '1']")
    return value


def _different(names: list[str]) -> list[str]:
    require_different("the list", names)
    return names


def check_class_names(names: list[str]) -> list[str]:
    """The names of classes in NFC.

    Raises:
        ValueError: one is blank, holds a control character, or is there twice.
    """
    return _different([_checked_name(name) for name in names])


ClassNames = Annotated[
    list[Annotated[str, AfterValidator(_checked_name)]],
    Field(min_length=2, max_length=256),
    BeforeValidator(_quoted),
    AfterValidator(_different),
]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Side = Annotated[int, Field(ge=1, le=4096)]
Fit = Literal["pad", "crop", "stretch"]
Fraction = Annotated[float, Field(gt=0, lt=1)]


class _Data(Strict):
    """What both formats have.

    Attributes:
        folder: of this repository, watched by DVC, in which the data are looked for first.
        sources: where the data are had from if they are not there; each format says what counts.
    """

    folder: str = Field(min_length=1)
    sources: list[str] = Field(default_factory=list)

    @field_validator("folder")
    @classmethod
    def _known_to_dvc(cls, folder: str) -> str:
        if folder.startswith("~"):
            raise ValueError(f"{folder!r}: DVC takes ~ for a name: write the whole path")
        return folder


class Idx(_Data):
    """Four files of the MNIST family.

    Attributes:
        first_label: what the first class is called in the files.
        transpose: whether each image is stored column by column.
        predict: how `predict` brings a picture to the form of these images.
    """

    format: Literal["idx"]
    files: IdxFiles
    class_names: ClassNames
    first_label: int = Field(default=0, ge=0, le=255)
    transpose: bool = False
    predict: Literal["garment", "as_is"] = "as_is"


class Pictures(_Data):
    """A folder of pictures for each class.

    Attributes:
        sha256: of the archive that `sources` name.
        size: height and width to which each picture is brought.
        channels: 1 grey, 3 colour.
        fit: what becomes of a picture of other proportions.
        test_fraction: the share of the pictures for testing, where no folders train/ and test/ say
            which those are.
        skip_damaged: pass over damaged pictures, and list them.
        class_names: order and spelling of the classes; by default those of the folders.
    """

    format: Literal["pictures"]
    sha256: Sha256 | None = None
    size: tuple[Side, Side]
    channels: Literal[1, 3] = 3
    fit: Fit = "pad"
    test_fraction: Fraction = 0.2
    skip_damaged: bool = False
    class_names: ClassNames | None = None

    @field_validator("size", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        """Strict validation takes no list for a tuple, and YAML knows lists alone."""
        if not isinstance(value, list) or len(value) != 2:
            raise ValueError("give height and width, such as [64, 64]")
        return tuple(value)


Data = Annotated[Idx | Pictures, Field(discriminator="format")]

RecipeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]


class Params(Strict):
    """The whole of `params.yaml`."""

    recipe: str
    seed: int = Field(ge=0, lt=2**32)
    data: Data
    recipes: dict[RecipeName, dict[str, Any]] = Field(min_length=1)

    @model_validator(mode="after")
    def _recipe_exists(self) -> "Params":
        if self.recipe not in self.recipes:
            valid = ", ".join(self.recipes)
            raise ValueError(f"recipe: {self.recipe!r} is not defined; choose one of: {valid}")
        return self

    def recipe_settings(self, name: str) -> dict[str, Any]:
        """What `recipes` holds below a name, not checked.

        Raises:
            UserError: there is none of that name; lists the valid ones.
        """
        if name not in self.recipes:
            valid = ", ".join(self.recipes)
            raise UserError(f"{paths.PARAMS}: no recipe {name!r}; choose one of: {valid}")
        return self.recipes[name]


def load_params(path: Path = paths.PARAMS) -> Params:
    """Read and check `params.yaml`.

    Raises:
        UserError: the file is missing, is no YAML, or holds an unknown key, a missing key, or a
            value of the wrong type or range.
    """
    return read_validated(path, Params)
