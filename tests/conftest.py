"""The fixtures that tests of several rooms share, and the environment that all tests run in."""

import pytest

from workflow.core import environment

# Before any test imports NumPy or TensorFlow.
environment.apply()

from projects import clone, real, tiny, tiny_clone, tiny_run, tiny_source  # noqa: E402

__all__ = ["clone", "real", "tiny", "tiny_clone", "tiny_run", "tiny_source"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow tests: none is left to one process while the other has nothing to do."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
