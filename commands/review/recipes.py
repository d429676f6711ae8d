"""Two recipes side by side: setting by setting, layer by layer, without what is the same."""

import json
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any

Row = tuple[str, str | None, str | None]


def compare_recipes(base: dict[str, Any], head: dict[str, Any]) -> list[Row]:
    """What differs: a name, and the value on either side, None where there is none.

    Pieces in a list are matched, so that one that is new is one row and not a change of all that
    follow it. Their number is that of the head, or of the base where the head lacks it.
    """
    rows: list[Row] = []
    for key in dict.fromkeys([*base, *head]):
        old, new = base.get(key), head.get(key)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            parts = compare_recipes(old, new)
            rows += [(f"{key}.{name}", before, after) for name, before, after in parts]
        elif all(side is None or isinstance(side, list) for side in (old, new)):
            rows += _compare_lists(key, old or [], new or [])
        else:
            rows.append((key, described(old), described(new)))
    return rows


def _compare_lists(key: str, base: list[Any], head: list[Any]) -> list[Row]:
    sides = [[described(piece) or "" for piece in pieces] for pieces in (base, head)]
    rows: list[Row] = []
    matcher = SequenceMatcher(None, sides[0], sides[1], autojunk=False)
    for kind, first, last, head_first, head_last in matcher.get_opcodes():
        if kind == "equal":
            continue
        pairs = zip_longest(sides[0][first:last], sides[1][head_first:head_last])
        for n, (old, new) in enumerate(pairs):
            number = 1 + n + (head_first if new is not None else first)
            rows.append((f"{key} {number}", old, new))
    return rows


def described(value: Any) -> str | None:
    """A piece of a recipe in a line: `conv2d: filters 32, kernel_size 3`."""
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    kind = next((name for name in ("layer", "change", "name") if name in value), "")
    settings = [
        f"{key} [{'; '.join(str(described(item)) for item in setting)}]"
        if isinstance(setting, list)
        else f"{key} {described(setting)}"
        for key, setting in value.items()
        if key != kind
    ]
    return ": ".join(part for part in (value.get(kind), ", ".join(settings)) if part)
