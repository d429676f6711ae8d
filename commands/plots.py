"""DVC's own plots of two revisions, made to be drawn without a network."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import vl_convert
from numpy.typing import NDArray

from commands.revisions import Revision, dvc_json, dvc_range
from workflow.figures.style import SERIES

BASE, HEAD = "base", "head"
_COLOURS = {BASE: SERIES[1], HEAD: SERIES[0]}
# The templates under .dvc/plots are written for this version of Vega-Lite.
VEGA_LITE = "5.21"
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class PicturePair:
    """A picture in both revisions as PNG; None where a revision lacks it."""

    name: str
    base: bytes | None
    head: bytes | None

    @property
    def changed(self) -> bool:
        """Whether the bytes differ."""
        return self.base != self.head


@dataclass
class Plots:
    """All plots that `dvc.yaml` names.

    Attributes:
        charts: Vega-Lite specifications by name, each with the data of both revisions.
        pictures: pairs of pictures.
    """

    charts: dict[str, dict[str, Any]] = field(default_factory=dict)
    pictures: list[PicturePair] = field(default_factory=list)


def compare_plots(base: Revision, head: Revision) -> Plots:
    """Let DVC put the plots of two revisions together.

    Raises:
        UserError: DVC cannot read one of them.
    """
    plots = Plots()
    sides = {base.name: BASE, head.name: HEAD}
    with tempfile.TemporaryDirectory(prefix="plots-") as folder:
        content = dvc_json("plots", "diff", "-o", folder, *dvc_range(base, head))
        for name, entries in content.get("data", {}).items():
            pictures: dict[str, bytes] = {}
            for entry in entries:
                if entry["type"] == "vega":
                    plots.charts[name] = _renamed(entry["content"], sides)
                else:
                    side = sides[entry["revisions"][0]]
                    pictures[side] = Path(entry["url"]).read_bytes()
            if pictures:
                plots.pictures.append(PicturePair(name, pictures.get(BASE), pictures.get(HEAD)))
    return plots


def confusion_difference(difference: NDArray[Any], class_names: Sequence[str]) -> dict[str, Any]:
    """A chart of how the confusion matrix changed, blue for the better, orange for the worse.

    Args:
        difference: (classes, classes) counts of the head less those of the base.
        class_names: by label.
    """
    spec = json.loads((_TEMPLATES / "confusion_difference.json").read_text(encoding="utf-8"))
    spec["data"]["values"] = [
        {
            "actual": actual,
            "predicted": predicted,
            "actual_label": row,
            "predicted_label": column,
            "change": int(difference[row, column]),
            # More images on the diagonal are right, more off it are wrong.
            "gain": int(difference[row, column]) * (1 if row == column else -1),
        }
        for row, actual in enumerate(class_names)
        for column, predicted in enumerate(class_names)
    ]
    return dict(spec)


def chart_png(spec: dict[str, Any]) -> bytes:
    """Draw a chart, on white and at twice its size."""
    return bytes(
        vl_convert.vegalite_to_png(
            spec | {"background": "white", "padding": 8}, vl_version=VEGA_LITE, scale=2
        )
    )


def scripts() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that needs no other; it sets `vegaEmbed`."""
    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE))


def _renamed(tree: Any, sides: dict[str, str]) -> Any:
    """Call the revisions base and head throughout a chart, and give each its colour."""
    if isinstance(tree, list):
        return [_renamed(item, sides) for item in tree]
    if not isinstance(tree, dict):
        return tree
    renamed = {
        key: sides.get(value, value) if key == "rev" else _renamed(value, sides)
        for key, value in tree.items()
    }
    domain = tree.get("domain")
    if isinstance(domain, list) and domain and all(str(name) in sides for name in domain):
        renamed["domain"] = [sides[name] for name in domain]
        renamed["range"] = [_COLOURS[sides[name]] for name in domain]
    return renamed
