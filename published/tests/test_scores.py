"""Published results beside reproduced ones, against values worked out by hand."""

import math

import numpy as np
import pytest
from matplotlib.text import Text
from projects import ROOT

from published.figures import published_against_reproduced
from published.params import PublishedResult
from published.scores import SCORES, Prediction, Run, read_runs, spread, table
from workflow.core.errors import UserError

NAMES = ["shirt", "shoe", "bag"]


def test_spread_by_hand():
    of = spread("test_loss", [11.0, 12.0, 13.0, 14.0, 15.0])
    assert (of.mean, of.smallest, of.largest) == (13, 11, 15)
    assert of.deviation == pytest.approx(math.sqrt(2.5))
    # 2.776445 is the 97.5 % quantile of Student's t with four degrees of freedom.
    reach = 2.776445 * math.sqrt(2.5) * math.sqrt(1 + 1 / 5)
    assert of.low == pytest.approx(13 - reach, rel=1e-6)
    assert of.high == pytest.approx(13 + reach, rel=1e-6)
    assert of.holds(13 + reach - 1e-4)
    assert not of.holds(13 + reach + 1e-4)


def test_no_interval_reaches_where_a_score_cannot_lie():
    accuracy, loss = spread("test_accuracy", [0.9, 0.99]), spread("test_loss", [0.01, 0.2])
    assert (accuracy.high, loss.low) == (1, 0)
    assert 0 <= accuracy.low < 0.9
    assert loss.high > 1


@pytest.mark.parametrize("count", [2, 5, 10])
def test_the_interval_holds_one_more_run_in_95_of_100_cases(count):
    draws = np.random.default_rng(1).normal(0.88, 0.002, (2000, count + 1))
    share = np.mean([spread("test_accuracy", row[:-1].tolist()).holds(row[-1]) for row in draws])
    assert 0.935 < share < 0.965


def run(seed, accuracy, prediction):
    scores = dict.fromkeys(SCORES, accuracy)
    return Run(seed, scores, {0: Prediction(*prediction)})


def test_table_says_what_lies_inside_and_which_seeds_agree():
    runs = {"small": [run(1, 0.88, (1, 0.7)), run(2, 0.90, (1, 0.9)), run(3, 0.89, (2, 0.5))]}
    published = PublishedResult(
        source="a tutorial",
        train_accuracy=0.89,
        test_accuracy=0.5,
        prediction={"image": 0, "label": 1, "probability": 0.8},
        note="A remark.",
    )
    text = table({"small": published}, runs, NAMES)
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    by_score = {row[1]: row for row in rows if row[1].endswith(("accuracy", "loss"))}
    assert by_score["train accuracy"][2:4] == ["0.8900", "0.8900 ± 0.0100"]
    assert by_score["train accuracy"][4] == "0.8800 to 0.9000"
    assert by_score["train accuracy"][6] == "yes"
    assert by_score["test accuracy"][6] == "**no**"
    assert by_score["test loss"][6] == "–"
    assert rows[-1] == ["`small`", "0", "shoe 0.800", "0.700 to 0.900", "2 of 3"]
    assert "a tutorial. A remark." in text
    # A line with another number of cells would break the table where it is shown.
    assert all(len(row) in (5, 7) for row in rows)


def test_a_class_name_ends_no_cell():
    of = PublishedResult(source="s", prediction={"image": 0, "label": 1, "probability": 0.8})
    runs = {"small": [run(1, 0.88, (1, 0.7)), run(2, 0.90, (1, 0.9))]}
    assert r"| a\|b 0.800 |" in table({"small": of}, runs, ["a", "a|b"])


def test_results_of_ones_own_alone_are_compared_with_nothing():
    runs = {"small": [run(1, 0.88, (1, 0.7)), run(2, 0.90, (1, 0.9))]}
    own = {"small": PublishedResult(source="ours")}
    text = table(own, runs, NAMES)
    assert "| recipe | score | mean ± SD | smallest to largest | 95 % interval |\n" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(SCORES)
    assert {row.count("|") for row in rows} == {6}
    figure = published_against_reproduced(own, runs)
    texts = [artist.get_text() for artist in figure.findobj(Text)]
    assert "one seed" in texts
    assert not any("published" in shown.lower() for shown in [text, *texts])


@pytest.mark.parametrize(
    "content", [None, "", "[]", "{}", '{"runs": []}', '{"runs": [{"test_accuracy": 1}]}']
)
def test_a_missing_or_broken_file_of_runs_is_named(tmp_path, content):
    path = tmp_path / "tutorial.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=r"tutorial\.json: .*make published"):
        read_runs(path, [1, 2], [0])


def test_runs_of_older_params_are_named():
    path = ROOT / "published/runs/tutorial.json"
    assert [run.seed for run in read_runs(path, range(1, 11), [0, 1, 3])] == list(range(1, 11))
    with pytest.raises(UserError, match="other seeds"):
        read_runs(path, range(10), [0, 1, 3])
    with pytest.raises(UserError, match="other images"):
        read_runs(path, range(1, 11), [0, 1, 2])
