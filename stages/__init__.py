"""One script per node of the DAG, run by `dvc repro` as `python -m stages.NAME`."""

import workflow  # noqa: F401  sets the environment before a stage imports NumPy
from workflow.stage import enter

enter()
