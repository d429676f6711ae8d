"""What all tests share."""

# Before any test imports NumPy, so that the environment of the stages is that of the tests.
import workflow  # noqa: F401
