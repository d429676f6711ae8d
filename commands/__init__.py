"""What a person or CI runs beside the DAG."""

import workflow  # noqa: F401  sets the environment before a command imports NumPy
from workflow.errors import leave_without_traceback_when_interrupted

leave_without_traceback_when_interrupted()
