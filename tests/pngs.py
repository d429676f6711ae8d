"""What is asked of every picture that the project draws."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from workflow.figures.style import save_png


def check_png(figure: Figure, path: Path) -> None:
    """Save a figure; it is a PNG of moderate size, no blank sheet, and tells no time or version."""
    save_png(figure, path)
    assert path.stat().st_size < 120_000
    with Image.open(path) as image:
        image.load()
        assert image.format == "PNG"
        assert 350 < image.width < 1200
        assert 250 < image.height < 2000
        assert not {"Software", "Creation Time"} & set(image.info)
        assert np.asarray(image.convert("L")).std() > 5
