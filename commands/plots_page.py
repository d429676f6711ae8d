"""Make the page of `dvc plots diff` open without a network.

DVC's page loads Vega from the web. This writes a page that holds Vega itself, and names it in
`.dvc/config.local`. Neither is in Git: the page is large and made from a locked package, and
a setting that named a missing page would stop `dvc plots`.
"""

import argparse
from pathlib import Path

from commands.review import dvc
from commands.review.charts import scripts
from workflow.core.files import written_whole

# Relative to .dvc. Not in its tmp folder, which people empty.
TEMPLATE = "plots.html"
# DVC puts its plots in the place of {plot_divs}.
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{refresh_tag}
<link rel="icon" href="data:,">
<title>DVC plots</title>
<script>SCRIPTS</script>
<style>
body { font: 16px/1.5 system-ui, "DejaVu Sans", sans-serif; background: #fff; color: #1c1e21; }
body > div { overflow-x: auto; margin: 0 0 1.5rem; }
img { max-width: 100%; }
</style>
</head>
<body>
{plot_divs}
</body>
</html>
"""


def main(arguments: list[str]) -> int:
    """Write the page and the setting."""
    parser = argparse.ArgumentParser(prog="python -m commands plots-page", description=__doc__)
    parser.parse_args(arguments)
    with written_whole(Path(".dvc", TEMPLATE)) as partial:
        partial.write_text(_PAGE.replace("SCRIPTS", scripts()), encoding="utf-8")
    dvc.output("config", "--local", "plots.html_template", TEMPLATE)
    return 0
