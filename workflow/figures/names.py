"""Names in figures: in a font that has their letters, and no longer than their place."""

import logging
import warnings
from collections.abc import Iterable
from functools import cache, lru_cache

import matplotlib
from matplotlib import font_manager
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties

_POINTS_PER_INCH = 72
_LEFT_OUT = "…"


def use_fonts_for(names: Iterable[str]) -> str:
    """Let figures take other fonts of this machine for letters that matplotlib's own lacks.

    Names in Latin, Greek or Cyrillic letters need none, so that their figures are the same on
    every machine.

    Returns:
        Where no font has them, one line that says which package brings some; or nothing.
    """
    missing = {letter for letter in "".join(names) if letter.isprintable()} - _letters_of_own_font()
    if not missing:
        return ""
    families = list(matplotlib.rcParams["font.family"])
    # Of a family, the upright and thin one first.
    for path in sorted(font_manager.findSystemFonts(), key=lambda p: ("Regular" not in p, p)):
        try:
            font = font_manager.get_font(path)
            found = {letter for letter in missing if ord(letter) in font.get_charmap()}
        except (
            OSError,
            RuntimeError,
        ):  # no font that can be drawn, such as one of coloured bitmaps
            continue
        if found:
            font_manager.fontManager.addfont(path)
            families.append(font.family_name)
            missing -= found
        if not missing:
            break
    matplotlib.rcParams["font.family"] = families
    if not missing:
        return ""
    warnings.filterwarnings("ignore", message="Glyph")
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    shown = "".join(sorted(missing)[:10])
    return (
        f"no font on this machine has {shown}: boxes stand for them; Debian's fonts-noto-cjk has"
        " Chinese, Japanese and Korean, fonts-noto-core most others, fonts-symbola emoji"
    )


@cache
def _letters_of_own_font() -> set[str]:
    """What matplotlib's own font, which every machine has, can draw."""
    path = font_manager.findfont("DejaVu Sans")
    return {chr(code) for code in font_manager.get_font(path).get_charmap()}


def shortened(name: str, inches: float, points: float) -> str:
    """A name with its middle left out, if it is wider than its place.

    Args:
        name: one line.
        inches: how wide it may be.
        points: the size of its letters.
    """
    if _width(name, points) <= inches:
        return name
    kept = next(
        (n for n in range(len(name) - 1, 1, -1) if _width(_cut(name, n), points) <= inches), 1
    )
    return _cut(name, kept)


def _cut(name: str, kept: int) -> str:
    """So many letters of a name, half of them from its end."""
    end = kept // 2
    return name[: kept - end].rstrip() + _LEFT_OUT + name[len(name) - end :].lstrip()


@lru_cache(maxsize=10_000)
def _width(text: str, points: float) -> float:
    """In inches."""
    renderer = RendererAgg(1, 1, _POINTS_PER_INCH)  # type: ignore[no-untyped-call]
    size = renderer.get_text_width_height_descent(  # type: ignore[no-untyped-call]
        text, FontProperties(size=points), ismath=False
    )
    return float(size[0]) / _POINTS_PER_INCH
