"""From a review to its files: Markdown, one HTML page, and a PNG of each chart."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from commands.accuracy_change import AccuracyChange
from commands.metric_changes import MetricChange
from commands.plots import Plots, chart_png, scripts
from commands.prediction_changes import PredictionChanges, data_uri
from commands.reproduction import listed
from commands.revisions import Revision
from workflow.files import written_whole

_TEMPLATES = Path(__file__).parent / "templates"
_MINUS = "−"
# What is written, each from a template.
REPORTS = ("report.md", "index.html")


@dataclass(frozen=True)
class Check:
    """One thing that CI asks of a change.

    Attributes:
        name: of the check.
        passed: None where it was not made.
        lines: what is wrong, or why it was not made.
        vouches: whether the results are those of code and params only if it passes.
    """

    name: str
    passed: bool | None
    lines: list[str]
    vouches: bool = False


@dataclass(frozen=True)
class StageChange:
    """A stage: why it ran again, and which of its outputs came out differently."""

    name: str
    reasons: list[str]
    outs: list[str]


@dataclass(frozen=True)
class ParamChange:
    """A param before and after, as text; None where a revision lacks it."""

    name: str
    base: str | None
    head: str | None


@dataclass(frozen=True)
class Review:
    """All that the reports show."""

    base: Revision
    head: Revision
    base_reason: str
    head_place: str
    checks: list[Check]
    accuracy: AccuracyChange
    params: list[ParamChange]
    metrics: list[MetricChange]
    predictions: PredictionChanges | None
    stages: list[StageChange]
    plots: Plots
    charts: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def in_doubt(self) -> bool:
        """Whether the results may not be those of code and params."""
        return any(check.vouches and check.passed is False for check in self.checks)


def write_reports(review: Review, folder: Path) -> None:
    """Write `report.md`, `index.html` and the charts as PNG into a folder."""
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    charts = {name: chart_png(spec) for name, spec in review.charts.items()}
    for name, png in charts.items():
        with written_whole(folder / f"{slug(name)}.png") as partial:
            partial.write_bytes(png)
    for name in REPORTS:
        text = (
            _environment()
            .get_template(f"{name}.j2")
            .render(
                review=review, scripts=scripts, chart_files=[f"{slug(name)}.png" for name in charts]
            )
        )
        with written_whole(folder / name) as partial:
            partial.write_text(text, encoding="utf-8", newline="\n")


def slug(name: str) -> str:
    """A name that is good for a file and for an id in HTML."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "cell": _cell,
        "data_uri": data_uri,
        "joints": _joints,
        "by_file": _by_file,
        "listed": lambda items: listed(items, ", "),
        "number": _number,
        "p": _p_value,
        "points": lambda value: f"{_signed(value * 100, 2)} points",
        "script_json": _script_json,
        "signed": lambda value, digits=4: "" if value is None else _signed(value, digits),
        "slug": slug,
    }
    return environment


def _cell(value: object) -> str:
    """Text that can break neither out of a cell of a Markdown table nor into HTML."""
    text = re.sub(r"([\\`*_\[\]|])", r"\\\1", " ".join(str(value).split()))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"\\`(.+?)\\`", r"<code>\1</code>", text)


def _joints(text: str) -> list[str]:
    """The parts of a name or path, between which it may break on a narrow screen."""
    return re.split(r"(?<=[_/.])", text)


def _by_file(metrics: list[MetricChange]) -> dict[str, list[MetricChange]]:
    """The metrics of each file, in the order in which they come."""
    files: dict[str, list[MetricChange]] = {}
    for metric in metrics:
        files.setdefault(metric.file, []).append(metric)
    return files


def _signed(value: float, digits: int) -> str:
    text = f"{value:+.{digits}f}"
    return ("0" if float(text) == 0 else text).replace("-", _MINUS)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}".replace("-", _MINUS)


def _p_value(value: float) -> str:
    return (
        "p < 0.0001"
        if value < 0.0001
        else f"p = {value:.4f}"
        if value < 0.1
        else f"p = {value:.2f}"
    )


def _script_json(value: Any) -> str:
    """JSON that cannot end the script element that it stands in."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
