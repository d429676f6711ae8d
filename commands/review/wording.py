"""Numbers and lists as the reports write them."""

from collections.abc import Iterable

from workflow.core import paths

_SHOWN = 5
_MINUS = "−"


def listed(items: Iterable[str], separator: str = ", ") -> str:
    """The first items, and how many more there are."""
    every = list(items)
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return separator.join(every[:_SHOWN]) + more


def number(value: float | None) -> str:
    """A score, or a dash where there is none."""
    return "–" if value is None else f"{value:.{paths.DECIMALS}f}".replace("-", _MINUS)


def signed(value: float | None, digits: int = paths.DECIMALS) -> str:
    """A difference with its sign, or nothing where there is none."""
    if value is None:
        return ""
    text = f"{value:+.{digits}f}"
    return ("0" if float(text) == 0 else text).replace("-", _MINUS)


def points(difference: float) -> str:
    """A difference of two shares in percentage points."""
    return f"{signed(difference * 100, 2)} points"


def p_value(value: float) -> str:
    """A p value, to two digits that say something."""
    if value < 0.0001:
        return "p < 0.0001"
    return f"p = {value:.4f}" if value < 0.1 else f"p = {value:.2f}"
