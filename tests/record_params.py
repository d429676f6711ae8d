"""Run a stage and tell which params it looked at: `python tests/record_params.py NAME [ITEM]`.

The project is the one in the working directory. The last line is JSON: the keys of params.yaml
with dots, those of another file behind its name and a colon.
"""

import json
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path.cwd()))

from workflow.core import environment, params, stage
from workflow.core.validation import Strict

environment.apply()
_seen: set[str] = set()
_names: dict[int, str] = {}
_kept: list[object] = []  # so that no id is used twice
_plain = Strict.__getattribute__


def _below(name: str, field: str) -> str:
    """The name of a field; what belongs to a whole file ends in nothing or in a space."""
    return f"{name}.{field}" if name.strip() == name != "" else f"{name}{field}"


def _label(value: object, name: str) -> None:
    """Note what `value` and all that it holds are called."""
    _names[id(value)] = name
    if isinstance(value, Strict):
        for field in type(value).model_fields:
            _label(value.__dict__[field], _below(name, field))
    elif isinstance(value, dict):
        for key, item in value.items():
            _label(item, _below(name, key))


def _recording(self: Strict, attribute: str) -> Any:
    value = _plain(self, attribute)
    named = attribute in type(self).model_fields and id(self) in _names
    if named and not isinstance(value, Strict | dict):
        _seen.add(_below(_names[id(self)], attribute))
    return value


def _recorded(load: Callable[..., Strict], prefix: str) -> Callable[..., Strict]:
    """`load`, whose checks are no reading, but what it returns is recorded."""

    def loading(*arguments: Any) -> Strict:
        Strict.__getattribute__ = _plain  # type: ignore[method-assign]
        value = load(*arguments)
        _kept.append(value)
        _label(value, prefix)
        Strict.__getattribute__ = _recording  # type: ignore[method-assign]
        return value

    return loading


def _recipe_settings(self: params.Params, name: str) -> dict[str, Any]:
    _seen.add(f"recipes.{name}")
    return _settings(self, name)


_settings = params.Params.recipe_settings
params.Params.recipe_settings = _recipe_settings  # type: ignore[method-assign]
stage.load_params = _recorded(stage.load_params, "")  # type: ignore[assignment]
if Path("published/params.py").exists():
    published = import_module("published.params")
    published.load_published = _recorded(published.load_published, "published/params.yaml: ")
try:
    stage.run_stage(*sys.argv[1:])
finally:
    print(json.dumps(sorted(_seen)))
