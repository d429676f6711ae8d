"""The params that differ between two revisions."""

import json
from dataclasses import dataclass
from typing import Any

from commands.review import dvc
from commands.review.recipes import compare_recipes
from commands.review.revisions import Revision
from commands.review.stages import param_name
from workflow.core import paths


@dataclass(frozen=True)
class ParamChange:
    """A param before and after, as text; None where a revision lacks it."""

    name: str
    base: str | None
    head: str | None


def param_changes(base: Revision, head: Revision) -> list[ParamChange]:
    """The params that differ, sorted by file and name; those of `params.yaml` come first.

    Of the recipes, those that are trained are compared piece by piece, even where they have two
    names. Of the others it is told that they have changed.
    """
    files = dvc.difference("params", base.name, head.name)
    # DVC gives the files in another order each time.
    first = sorted(files, key=lambda file: (file != str(paths.PARAMS), file))
    changes = [
        ParamChange(param_name(file, key), _text(values.get("old")), _text(values.get("new")))
        for file in first
        for key, values in sorted(files[file].items())
        if not (file == str(paths.PARAMS) and key.startswith("recipes."))
    ]
    return changes + _recipe_changes(base.params, head.params)


def _recipe_changes(base: dict[str, Any], head: dict[str, Any]) -> list[ParamChange]:
    trained = [str(params.get("recipe")) for params in (base, head)]
    recipes = [params.get("recipes") or {} for params in (base, head)]
    old, new = (side.get(name) for side, name in zip(recipes, trained, strict=True))
    rows = []
    if isinstance(old, dict) and isinstance(new, dict):
        rows = compare_recipes(old, new)
    changes = [ParamChange(f"{trained[1]}: {name}", old, new) for name, old, new in rows]
    for name in dict.fromkeys([*recipes[0], *recipes[1]]):
        sides = [side.get(name) for side in recipes]
        if sides[0] != sides[1] and not trained[0] == trained[1] == name:
            words = ["defined" if side else None for side in sides]
            if all(words):
                words[1] = "changed"
            changes.append(ParamChange(f"recipes.{name}", *words))
    return changes


def _text(value: Any) -> str | None:
    """A value as it stands in YAML's flow style."""
    return (
        value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    )
