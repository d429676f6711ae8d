"""Check the params, the recipes and every `dvc.lock` before DVC reads them.

Where a recipe is missing DVC speaks of a missing param and cannot say which recipes there are,
and where an interrupt has left it an empty `dvc.lock` it does not say how to restore it.
"""

import argparse

from commands.review.dvc import WORKSPACE
from commands.review.revisions import Revision
from workflow.core.params import load_params
from workflow.model.recipe import load_recipe


def main(arguments: list[str]) -> int:
    """Check all of it; one that cannot be used raises a UserError."""
    parser = argparse.ArgumentParser(prog="python -m commands check-params", description=__doc__)
    parser.parse_args(arguments)
    params = load_params()
    for name in params.recipes:
        load_recipe(params, name)
    # Reading them is the check.
    _ = Revision(None, WORKSPACE).lock
    return 0
