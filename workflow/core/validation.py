"""Settings checked as a whole: an error names the file, the key and what to do."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from workflow.core.errors import UserError, one_line
from workflow.core.yaml import read_yaml


class Strict(BaseModel):
    """Unknown keys and values of another type are errors, not surprises."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _keys_are_known(cls, content: Any) -> Any:
        """A misspelt key is told before the one that is missing for it."""
        unknown = (
            [key for key in content if key not in cls.model_fields]
            if isinstance(content, dict)
            else []
        )
        if unknown:
            context = {"key": str(unknown[0]), "known": ", ".join(cls.model_fields)}
            raise PydanticCustomError("unknown_key", "unknown key", context)
        return content


Validated = TypeVar("Validated", bound=BaseModel)


def validate(content: Any, model: type[Validated], place: str) -> Validated:
    """Check plain data against a model.

    Args:
        content: what was read.
        model: what it must be.
        place: the file that it comes from, and the key, if it is a part of it.

    Raises:
        UserError: a key is unknown or missing, or a value of the wrong type or range.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{place}: {_first_problem(error, content)}") from None


def read_validated(path: Path, model: type[Validated]) -> Validated:
    """Read a YAML file and check it.

    Raises:
        UserError: as `read_yaml` and `validate`.
    """
    return validate(read_yaml(path), model, str(path))


def require_different(key: str, values: Sequence[str | int]) -> None:
    """Raise a ValueError if a value appears twice below a key."""
    twice = [value for value in values if values.count(value) > 1]
    if twice:
        raise ValueError(f"{key} holds {twice[0]!r:.60} twice")


def _first_problem(error: ValidationError, content: Any) -> str:
    """The first problem as `key: what is wrong`, and how many more there are."""
    problems = error.errors(include_url=False)
    first = problems[0]
    context = first.get("ctx", {})
    key = ".".join(_as_written(first["loc"], content, first["type"] == "missing"))
    if first["type"] == "unknown_key":
        key = f"{key}.{context['key']}".lstrip(".")
        message = f"unknown key: take one of {context['known']}, or delete it"
    elif first["type"] == "missing":
        message = "this key is missing: add it"
    elif first["type"] == "value_error":
        message = str(context["error"])
    elif first["type"] == "union_tag_invalid":
        message = f"unknown {context['tag']!r:.60}: choose one of {context['expected_tags']}"
    elif first["type"] == "union_tag_not_found":
        key = f"{key}.{context['discriminator'].strip(chr(39))}"
        message = "this key is missing: add it"
    else:
        message = f"{first['msg'][0].lower()}{first['msg'][1:]}, got {first['input']!r:.60}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return one_line(f"{key:.200}: {message}{more}" if key else f"{message}{more}")


def _as_written(place: Sequence[str | int], content: Any, missing: bool) -> list[str]:
    """The keys of a problem as a person wrote them, without the kinds that the checks chose.

    Args:
        place: as the library has it, where `data.idx.files` is `files` of data of the kind idx.
        content: that is checked.
        missing: whether the last key is not there.
    """
    keys = []
    for number, part in enumerate(place):
        if isinstance(content, dict) and part not in content:
            if missing and number == len(place) - 1:
                keys.append(str(part))
            continue
        keys.append(str(part))
        try:
            content = content[part]
        except (TypeError, LookupError):
            content = None
    return keys
