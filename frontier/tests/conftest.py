"""The fixtures of tests/ for the tests of the study, and the environment that all tests run in."""

from workflow.core import environment

# Before any test imports NumPy or TensorFlow.
environment.apply()

from projects import real, tiny_source  # noqa: E402

__all__ = ["real", "tiny_source"]
