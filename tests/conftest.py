"""What every test needs."""

import workflow  # noqa: F401  sets the environment before a test imports NumPy
