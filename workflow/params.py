"""`params.yaml`, read and validated as a whole."""

import re
import unicodedata
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from workflow.errors import UserError

PARAMS_FILE = Path("params.yaml")

Validated = TypeVar("Validated", bound=BaseModel)

Activation = Literal["linear", "relu", "tanh", "sigmoid", "gelu"]


class Strict(BaseModel):
    """Unknown keys and values of another type are errors, not surprises."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Flatten(Strict):
    """Each image becomes one vector."""

    layer: Literal["flatten"]


class Dense(Strict):
    """A fully connected layer."""

    layer: Literal["dense"]
    units: int = Field(ge=1, le=2**16)
    activation: Activation = "linear"


class Conv2D(Strict):
    """A convolution that keeps the size of the images."""

    layer: Literal["conv2d"]
    filters: int = Field(ge=1, le=2**12)
    kernel_size: int = Field(ge=1, le=2**5)
    activation: Activation = "linear"


class MaxPooling2D(Strict):
    """Of each square of pixels, the largest."""

    layer: Literal["max_pooling2d"]
    pool_size: int = Field(ge=1, le=2**5)


class BatchNormalization(Strict):
    """Ioffe and Szegedy (2015), with Keras' momentum and epsilon."""

    layer: Literal["batch_normalization"]


Layer = Annotated[
    Flatten | Dense | Conv2D | MaxPooling2D | BatchNormalization, Field(discriminator="layer")
]


class Adam(Strict):
    """Kingma and Ba (2015), with Keras' defaults for what is not named."""

    name: Literal["adam"]
    learning_rate: float = Field(gt=0, allow_inf_nan=False)


class Sgd(Strict):
    """Stochastic gradient descent."""

    name: Literal["sgd"]
    learning_rate: float = Field(gt=0, allow_inf_nan=False)
    momentum: float = Field(default=0.0, ge=0, lt=1)


Optimizer = Annotated[Adam | Sgd, Field(discriminator="name")]


class Recipe(Strict):
    """A model and how it is trained."""

    layers: list[Layer]
    head: Literal["logits", "softmax"]
    optimizer: Optimizer
    batch_size: int = Field(ge=1)
    epochs: int = Field(ge=1)
    validation_fraction: float = Field(default=0.0, ge=0, lt=1)


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
        return self


class Data(Strict):
    """Where the data come from and what they mean."""

    sources: list[str]
    files: IdxFiles
    class_names: list[str] = Field(min_length=2, max_length=256)

    @model_validator(mode="after")
    def _names_differ(self) -> "Data":
        require_different("class_names", self.class_names)
        for name in self.class_names:
            # Git would write the line ends in results anew.
            if any(unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in name):
                raise ValueError(f"class_names: {name!r} holds a control character: delete it")
        return self


class Params(Strict):
    """The whole of `params.yaml`."""

    recipe: str
    seed: int = Field(ge=0, lt=2**32)
    data: Data
    recipes: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")], Recipe] = Field(min_length=1)

    @model_validator(mode="after")
    def _recipe_exists(self) -> "Params":
        if self.recipe not in self.recipes:
            valid = ", ".join(self.recipes)
            raise ValueError(f"recipe: {self.recipe!r} is not defined; choose one of: {valid}")
        return self

    def required_recipe(self, name: str) -> Recipe:
        """A recipe by its name.

        Raises:
            UserError: there is none of that name; lists the valid ones.
        """
        if name not in self.recipes:
            valid = ", ".join(self.recipes)
            raise UserError(f"{PARAMS_FILE}: no recipe {name!r}; choose one of: {valid}")
        return self.recipes[name]


def require_different(key: str, values: Sequence[str | int]) -> None:
    """Raise a ValueError if a value stands twice below a key."""
    twice = [value for value in values if values.count(value) > 1]
    if twice:
        raise ValueError(f"{key} holds {twice[0]!r} twice")


_MERGE_KEY = "tag:yaml.org,2002:merge"

# What is more than text in YAML 1.2, by which DVC reads and writes: 1e-05 is a number, 4:3 and yes
# are text. PyYAML knows YAML 1.1 alone. Each is a pattern, and with what it may begin.
_YAML_1_2 = {
    "tag:yaml.org,2002:bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "tag:yaml.org,2002:int": (
        r"[-+]?(0b[01_]+|0o?[0-7_]+|[0-9_]+|0x[0-9a-fA-F_]+)",
        "-+0123456789",
    ),
    "tag:yaml.org,2002:float": (
        r"[-+]?[0-9][0-9_]*(\.[0-9_]*([eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)"
        r"|[-+]?\.[0-9_]+([eE][-+][0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
}


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML 1.2, but for numbers that people read in two ways, and keys that stand twice.

    YAML lets a repeated key silently win; here it is an error.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            if key_node.tag == _MERGE_KEY:
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be a name or a number", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        if not re.fullmatch(r"[-+]?(0|[1-9][0-9]*)", str(node.value)):
            # 010 is eight in YAML 1.1 and ten in 1.2.
            raise yaml.constructor.ConstructorError(
                None, None, f"write {node.value} as a plain decimal number", node.start_mark
            )
        return int(node.value)


_UniqueKeyLoader.add_constructor("tag:yaml.org,2002:int", _UniqueKeyLoader.construct_yaml_int)
_UniqueKeyLoader.yaml_implicit_resolvers = {
    first: [resolver for resolver in resolvers if resolver[0] not in _YAML_1_2]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, (_pattern, _begins) in _YAML_1_2.items():
    _UniqueKeyLoader.add_implicit_resolver(_tag, re.compile(f"({_pattern})$"), list(_begins))


def parse_yaml(text: str | bytes) -> Any:
    """Read YAML as plain data, text and numbers as DVC reads them.

    Raises:
        yaml.YAMLError: it is none, holds a key twice, or a number that is not plainly decimal.
    """
    try:
        return yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506  it is a SafeLoader
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        # Such as a date of the thirteenth month, which PyYAML does not foresee.
        raise yaml.YAMLError(str(error)) from None


def load_content(path: Path) -> Any:
    """Read a YAML file as plain data, not validated.

    Raises:
        UserError: the file is missing, cannot be read, is no YAML, or holds a key twice.
    """
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing: run from the root of the repository, or restore the file"
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


def load_validated(path: Path, model: type[Validated]) -> Validated:
    """Read a YAML file and validate it as a whole.

    Raises:
        UserError: the file is missing, is no YAML, or holds an unknown key, a missing
            key, or a value of the wrong type or range. The message names file and key.
    """
    content = load_content(path)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{path}: {_first_problem(error)}") from None


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and validate `params.yaml`; raises as `load_validated`."""
    return load_validated(path, Params)


def _first_problem(error: ValidationError) -> str:
    """The first problem as `key: what is wrong`, and how many more there are."""
    problems = error.errors(include_url=False)
    # A misspelt key is unknown and leaves another one missing: the first of the two tells why.
    problems.sort(key=lambda problem: problem["type"] != "extra_forbidden")
    first = problems[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        message = "unknown key: check the spelling, or delete it"
    elif first["type"] == "missing":
        message = "this key is missing: restore it"
    elif first["type"] == "value_error":
        message = str(first["ctx"]["error"])
    else:
        message = f"{first['msg'][0].lower()}{first['msg'][1:]}, got {first['input']!r:.60}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{key}: {message}{more}" if key else f"{message}{more}"
