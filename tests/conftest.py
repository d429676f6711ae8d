"""The fixtures that tests of several rooms share, and the environment that all tests run in."""

import pytest

from workflow.core import environment

# Before any test imports NumPy or TensorFlow.
environment.apply()

from projects import clone, real, tiny, tiny_clone, tiny_run, tiny_source  # noqa: E402

__all__ = ["clone", "real", "tiny", "tiny_clone", "tiny_run", "tiny_source"]


# Fixtures that one process builds for all, while others that need the same wait.
_BUILT_ONCE = ("repository", "real", "photos", "tiny_run")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with a test of each of those, then with slow ones: no process waits for another."""
    builders = {}
    for item in items:
        for fixture in set(_BUILT_ONCE).intersection(item.fixturenames):
            builders.setdefault(fixture, item)
    first = list(builders.values())
    items.sort(key=lambda item: (item not in first, item.get_closest_marker("slow") is None))
