"""Side-by-side timings, run by `make bench`."""

import workflow  # noqa: F401  sets the environment before a benchmark imports NumPy
