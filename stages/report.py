"""Put the reproduced results beside the published ones: two tables and two pictures.

A stage of published/dvc.yaml.
"""

from pathlib import Path

from workflow.figures.published import overfitting_curves, published_against_reproduced
from workflow.figures.style import save_png
from workflow.files import read_columns, write_csv
from workflow.params import Params
from workflow.progress import say
from workflow.published import SCORES, read_runs, table
from workflow.published_params import load_published
from workflow.stage import Outputs, run_stage

RUNS = Path("published/runs")
OVERFITTING = Path("published/overfitting.csv")


def report(params: Params, outputs: Outputs) -> None:
    """Write `published/results.csv`, `table.md`, `published.png` and `overfitting.png`."""
    published = load_published(params)
    results = published.results
    runs = {
        recipe: read_runs(RUNS / f"{recipe}.json", published.seeds, published.images)
        for recipe in results
    }
    write_csv(
        outputs.path("published/results.csv"),
        ["recipe", "seed", *SCORES],
        (
            [recipe, run.seed, *(f"{run.scores[score]:.4f}" for score in SCORES)]
            for recipe, of_recipe in runs.items()
            for run in of_recipe
        ),
    )
    text = table(results, runs, params.data.class_names)
    outputs.path("published/table.md").write_text(text, encoding="utf-8", newline="\n")
    figure = published_against_reproduced(results, runs)
    save_png(figure, outputs.path("published/published.png"))
    figure = overfitting_curves(read_columns(OVERFITTING))
    save_png(figure, outputs.path("published/overfitting.png"))
    say(f"report: {sum(map(len, runs.values()))} runs of {len(runs)} recipes in published/")


if __name__ == "__main__":
    run_stage("report", report, pipeline=Path("published/dvc.yaml"))
