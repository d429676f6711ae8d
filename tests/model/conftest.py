"""The data that the tests of models share."""

from pathlib import Path

import pytest
from small import Data, write_data


@pytest.fixture
def data(tmp_path: Path) -> Data:
    """An archive of images and labels, and what is in it."""
    return write_data(tmp_path)
