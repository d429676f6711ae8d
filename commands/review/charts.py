"""DVC's own plots of two revisions, made to be drawn without a network."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import vl_convert
from numpy.typing import NDArray

from commands.review import dvc
from commands.review.consistency import missing_results_named
from commands.review.lockfile import md5_of_bytes
from commands.review.revisions import Revision
from workflow.core.files import written_whole
from workflow.figures.style import SERIES

BASE, HEAD = "base", "head"
_COLOURS = {BASE: SERIES[1], HEAD: SERIES[0]}
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
        UserError: one is missing or cannot be read.
    """
    plots = Plots()
    sides = {base.name: BASE, head.name: HEAD}
    with tempfile.TemporaryDirectory(prefix="plots-") as folder:
        with missing_results_named(base):
            found = dvc.plots_difference(base.name, head.name, Path(folder))
        for name, entries in found.items():
            pictures: dict[str, bytes] = {}
            for entry in entries:
                if entry["type"] == "vega":
                    plots.charts[name] = _base_first(_renamed(entry["content"], sides))
                else:
                    side = sides[entry["revisions"][0]]
                    pictures[side] = Path(entry["url"]).read_bytes()
            if pictures:
                plots.pictures.append(PicturePair(name, pictures.get(BASE), pictures.get(HEAD)))
    return plots


def confusion_difference(difference: NDArray[Any], class_names: Sequence[str]) -> dict[str, Any]:
    """A chart of how the confusion matrix changed, blue where better, orange where worse.

    Args:
        difference: (classes, classes) counts of the head minus those of the base.
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
    most = max(1, int(abs(difference).max()))
    colour = spec["layer"][0]["encoding"]["color"]
    colour["scale"]["domain"] = colour["legend"]["values"] = [-most, 0, most]
    return dict(spec)


def chart_png(spec: dict[str, Any]) -> bytes:
    """Draw a chart, on white and at twice its size."""
    return bytes(vl_convert.vegalite_to_png(spec | {"background": "white", "padding": 8}, scale=2))


def scripts() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that needs no other; it sets `vegaEmbed`.

    The templates of DVC name a version of Vega-Lite that may be older than this one. They are
    drawn all the same, without the warning. Bundling takes seconds, so that it is done once.
    """
    snippet = (
        "window.vegaEmbed = (where, spec, options) => vegaEmbed("
        "where, {...spec, $schema: undefined}, {mode: 'vega-lite', ...options});"
    )
    key = md5_of_bytes(f"{version('vl-convert-python')} {snippet}".encode())
    kept = Path(".dvc/tmp", f"vega-{key}.js")
    if kept.is_file():
        return kept.read_text(encoding="utf-8")
    # In HTML this would end the script, even inside of a string.
    bundle = str(vl_convert.javascript_bundle(snippet)).replace("</script", "<\\/script")
    with written_whole(kept) as partial:
        partial.write_text(bundle, encoding="utf-8", newline="\n")
    return bundle


def _renamed(tree: Any, sides: dict[str, str]) -> Any:
    """Call the revisions base and head throughout a chart, and give each its colour."""
    if isinstance(tree, list):
        return [_renamed(item, sides) for item in tree]
    if not isinstance(tree, dict):
        return tree
    renamed: dict[str, Any] = {
        key: sides.get(value, value) if key == "rev" else _renamed(value, sides)
        for key, value in tree.items()
    }
    domain = tree.get("domain")
    if isinstance(domain, list) and domain and all(str(name) in sides for name in domain):
        # Base first, as in the rest of the report.
        renamed["domain"] = sorted(sides[name] for name in domain)
        renamed["range"] = [_COLOURS[side] for side in renamed["domain"]]
    return renamed


def _base_first(spec: dict[str, Any]) -> dict[str, Any]:
    """The chart with the rows of the base before those of the head; DVC has it the other way."""
    values = spec.get("data", {}).get("values")
    if isinstance(values, list):
        values.sort(key=lambda row: row.get("rev", ""))
    return spec
