"""The numbers that pages quote of the study are those that it gives."""

import csv
import statistics

from projects import ROOT

PAGE = (ROOT / "published/README.md").read_text(encoding="utf-8")
TABLE = (ROOT / "published/table.md").read_text(encoding="utf-8")


def test_accuracies_of_the_tutorials():
    rows = [row for row in PAGE.splitlines() if row.startswith("| `tutorial")]
    assert len(rows) == 5
    table = iter(TABLE.splitlines())
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    quoted = 0
    for row in rows:
        recipe, _, published, mean, interval = (cell.strip() for cell in row.strip("| ").split("|"))
        while not next(table).startswith(f"| {recipe} "):
            pass
        scores = next(line for line in table if "| test accuracy |" in line)
        assert all(f"| {cell} |" in scores for cell in (published, mean, interval)), row
        quoted += mean in readme
    assert quoted >= 2


def test_the_sweep_of_the_page_on_sharing_gave_what_the_study_gives():
    with (ROOT / "published/results.csv").open() as stream:
        runs = [row for row in csv.DictReader(stream) if int(row["seed"]) <= 5]
    page = (ROOT / "SHARING.md").read_text(encoding="utf-8")
    for recipe in ("tutorial", "tutorial-two-layers"):
        scores = [float(row["test_accuracy"]) for row in runs if row["recipe"] == recipe]
        cells = (statistics.mean(scores), statistics.stdev(scores), min(scores), max(scores))
        row = " | ".join(f"{cell:.4f}" for cell in cells)
        assert f"| {recipe} | {len(scores)} | {row} |" in page


def test_what_lies_outside():
    outside = TABLE.count("| **no** |")
    published = outside + TABLE.count("| yes |")
    assert f"{outside} of all {published} " in PAGE


def test_the_spread_that_the_tolerances_leave_room_for():
    with (ROOT / "published/results.csv").open() as stream:
        runs = [row for row in csv.DictReader(stream) if row["recipe"] == "tutorial"]
    accuracies = sorted(row["test_accuracy"] for row in runs)
    assert f"{accuracies[0]} and {accuracies[-1]}" in (ROOT / "review.yaml").read_text()


def test_overfitting():
    with (ROOT / "published/overfitting.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    best = min(rows, key=lambda row: float(row["validation_loss"]))
    assert f"after epoch {best['epoch']}" in PAGE.replace("\n", " ")
    for value in (best["validation_loss"], rows[-1]["validation_loss"], rows[-1]["loss"]):
        assert f"{float(value):.3f}" in PAGE
