"""One script per node of the DAG, run by `dvc repro` as `python -m stages.NAME`."""

import workflow  # noqa: F401  sets the environment before a stage imports NumPy
from workflow.errors import leave_without_traceback_when_interrupted

leave_without_traceback_when_interrupted()

from workflow.stage import enter  # noqa: E402  after the above, since it takes a while

enter()
