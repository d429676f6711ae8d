"""Put the reproduced results beside the published ones: two tables and two pictures."""

from pathlib import Path

from published.figures import overfitting_curves, published_against_reproduced
from published.params import load_published
from published.scores import SCORES, read_runs, table
from workflow.core.classes import read_class_names
from workflow.core.files import read_columns, write_csv
from workflow.core.params import Params
from workflow.core.progress import say
from workflow.core.stage import Outputs
from workflow.figures.style import save_png

RUNS = Path("published/runs")
OVERFITTING = Path("published/overfitting.csv")


def run(params: Params, outputs: Outputs) -> None:
    """Write `published/results.csv`, `table.md`, `published.png` and `overfitting.png`."""
    class_names = read_class_names()
    published = load_published(params, len(class_names))
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
            for recipe, recipe_runs in runs.items()
            for run in recipe_runs
        ),
    )
    text = table(results, runs, class_names)
    outputs.path("published/table.md").write_text(text, encoding="utf-8", newline="\n")
    figure = published_against_reproduced(results, runs)
    save_png(figure, outputs.path("published/published.png"))
    figure = overfitting_curves(read_columns(OVERFITTING))
    save_png(figure, outputs.path("published/overfitting.png"))
    say(f"report: {sum(map(len, runs.values()))} runs of {len(runs)} recipes in published/")
