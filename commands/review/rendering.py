"""From a review to its files: Markdown, one HTML page that holds the same, a PNG of each chart."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from commands.review import wording
from commands.review.charts import chart_png, scripts
from commands.review.metrics import MetricChange
from commands.review.predictions import data_uri
from commands.review.report import Review
from workflow.core import paths
from workflow.core.files import written_whole

_TEMPLATES = Path(__file__).parent / "templates"
MARKDOWN, PAGE = "report.md", "index.html"
# Where the report holds such a comment, the page has more to show: the macro of this name.
_PLACEHOLDER = re.compile(r"<!-- (charts|flipped_images|pictures) -->")


def remove_reports(folder: Path) -> None:
    """Delete what an earlier review has left: it is of another change."""
    for old in (folder / MARKDOWN, folder / PAGE, *folder.glob("*.png")):
        old.unlink(missing_ok=True)


def write_reports(review: Review, folder: Path) -> None:
    """Write the Markdown, the page and the charts as PNG into a folder."""
    charts = {f"{slug(name)}.png": chart_png(spec) for name, spec in review.charts.items()}
    environment = _environment()
    report = environment.get_template("report.md.j2")
    text = report.render(review=review, page=False, chart_files=list(charts))
    parts = environment.get_template("page_parts.html.j2").module
    body = _PLACEHOLDER.sub(
        lambda match: str(getattr(parts, match[1])(review)),
        to_html(report.render(review=review, page=True)),
    )
    page = environment.get_template("page.html.j2").render(
        review=review, body=body, scripts=scripts
    )
    files = charts | {MARKDOWN: text.encode(), PAGE: page.encode()}
    for name, content in files.items():
        with written_whole(folder / name) as partial:
            partial.write_bytes(content)


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
        "by_file": _by_file,
        "data_uri": data_uri,
        "listed": wording.listed,
        "number": wording.number,
        "p_value": wording.p_value,
        "points": wording.points,
        "script_json": _script_json,
        "signed": wording.signed,
        "slug": slug,
        "text": escaped,
    }
    environment.tests["beyond_spread"] = _beyond_spread
    return environment


def _beyond_spread(metric: MetricChange, review: Review) -> bool:
    """Whether a change is known to be larger than another seed makes it: that of accuracy alone."""
    is_accuracy = (metric.file, metric.name) == (str(paths.TEST_METRICS), "accuracy")
    return is_accuracy and review.accuracy.kind == "real"


def escaped(value: object) -> str:
    """Any text, for Markdown, and so that it cannot end a cell of a table or become HTML.

    What it sets in backticks is shown as code.
    """
    # An underscore between letters or digits is nothing but that.
    special = r"[\\`*~$\[\]|]|(?<![^\W_])_|_(?![^\W_])"
    text = re.sub(special, r"\\\g<0>", " ".join(str(value).split()))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"\\`(.+?)\\`", r"<code>\1</code>", text)


def _by_file(metrics: list[MetricChange]) -> dict[str, list[MetricChange]]:
    """The metrics of each file, in the order in which they come."""
    files: dict[str, list[MetricChange]] = {}
    for metric in metrics:
        files.setdefault(metric.file, []).append(metric)
    return files


def _script_json(value: Any) -> str:
    """JSON that cannot end the script element that it stands in."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def to_html(markdown: str) -> str:
    """The Markdown of a report as HTML. Wide tables scroll, and long names may break."""
    # The report holds HTML of its own; that of others has been escaped.
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    parser.add_render_rule("table_open", _rule('<div class="scroll"><table>\n'))
    parser.add_render_rule("table_close", _rule("</table></div>\n"))
    parser.add_render_rule("text", _breakable)
    return str(parser.render(markdown))


def _rule(html: str) -> Any:
    return lambda *_: html


def _breakable(
    _: RendererHTML, tokens: Sequence[Token], n: int, __: OptionsDict, ___: dict[str, Any]
) -> str:
    """Text that may break between the parts of a name or path, on a narrow screen."""
    return re.sub(r"(?<=[_/.])(?=[^\W\d])", "<wbr>", escapeHtml(tokens[n].content))
