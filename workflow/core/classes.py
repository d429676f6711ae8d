"""The names of the classes, in the order of the labels: `normalize` notes them for all that follow.

They come from `params.yaml` or from the names of folders.
"""

from collections.abc import Sequence
from pathlib import Path

from workflow.core import paths
from workflow.core.errors import UserError
from workflow.core.files import read_json, write_json

_KEY = "class_names"


def write_class_names(path: Path, names: Sequence[str]) -> None:
    """Write `data/classes.json`."""
    write_json(path, {_KEY: list(names)})


def read_class_names() -> list[str]:
    """Read `data/classes.json`.

    Raises:
        UserError: it is missing or damaged.
    """
    content = read_json(paths.CLASSES)
    names = content.get(_KEY) if isinstance(content, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{paths.CLASSES}: holds no names of classes: run `dvc repro normalize`")
    return names
