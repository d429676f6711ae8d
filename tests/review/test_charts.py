"""The charts that DVC and the review draw from tables."""

import json
import re

import numpy as np
import vl_convert
from projects import ROOT

from commands.review.charts import confusion_difference


def confusion(classes: int) -> str:
    """The confusion of classes whose names are not in the order of the letters, as SVG."""
    rows = [
        {
            "rev": "workspace",
            "actual": name_of(actual),
            "predicted": name_of(predicted),
            # All that DVC reads from a table is text.
            "actual_label": str(actual),
            "predicted_label": str(predicted),
        }
        for actual in range(classes)
        for predicted in range(classes)
    ]
    text = (ROOT / ".dvc/plots/confusion_counts.json").read_text(encoding="utf-8")
    for anchor, filled in (("DATA", rows), ("X", "predicted"), ("Y", "actual")):
        text = text.replace(f'"<DVC_METRIC_{anchor}>"', json.dumps(filled))
    return str(vl_convert.vegalite_to_svg(json.loads(text)))


def name_of(label: int) -> str:
    return f"class {99 - label}"


def test_the_confusion_keeps_the_order_of_many_classes() -> None:
    names = [name_of(label) for label in range(12)]
    assert re.findall(r">(class \d+)<", confusion(12)) == names + names


def test_cells_without_room_for_a_number_have_none() -> None:
    assert confusion(20).count(">1</text>") == 400
    assert ">1</text>" not in confusion(21)
    for classes, shown in ((20, 1), (21, 0)):
        difference = np.zeros((classes, classes), int)
        difference[0, 1] = 7
        spec = confusion_difference(difference, [name_of(label) for label in range(classes)])
        assert vl_convert.vegalite_to_svg(spec).count(">+7</text>") == shown


def test_the_names_of_many_classes_do_not_overlap() -> None:
    """The chart has 400 pixels, of which a slanted name takes 1.4 times the size of its letters."""
    for classes, size in ((20, "10"), (40, "7")):
        difference = np.zeros((classes, classes), int)
        spec = confusion_difference(difference, [name_of(label) for label in range(classes)])
        for svg in (confusion(classes), vl_convert.vegalite_to_svg(spec)):
            sizes = re.findall(r'font-size="([\d.]+)px"[^>]*>class \d+<', svg)
            assert sizes == [size] * 2 * classes
