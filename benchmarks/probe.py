"""Run one stage of the pipeline and say, in the last line, where its time went.

`python -m benchmarks.probe STAGE`: the stage is the pipeline's own; the clock is read when
it hands over its work, around each call of the compiled programs, and at its end.
"""

import json
import runpy
import statistics
import sys
import time
from typing import Any

STARTED = time.perf_counter()

import workflow.stage  # noqa: E402


def main() -> None:
    """Run the stage named on the command line."""
    stage = sys.argv[1]
    clock: dict[str, float] = {}
    calls: list[float] = []
    epochs: list[float] = []
    original = workflow.stage.run_stage

    def run_stage(name: str, work: Any, **more: Any) -> None:
        clock["imports"] = time.perf_counter() - STARTED
        if "workflow.training" in sys.modules:
            _watch(
                sys.modules["workflow.training"], sys.modules.get("workflow.runs"), calls, epochs
            )
        original(name, work, **more)

    workflow.stage.run_stage = run_stage  # type: ignore[assignment]
    sys.argv = [f"stages.{stage}"]
    runpy.run_module(f"stages.{stage}", run_name="__main__")
    total = time.perf_counter() - STARTED
    # The first call of a program compiles it; the median one does not.
    compiling = max(0.0, calls[0] - sorted(calls)[len(calls) // 2]) if calls else 0.0
    clock |= {"compile": compiling, "work": total - clock["imports"] - compiling}
    if epochs:
        clock |= {"epoch": statistics.median(epochs[1:] or epochs), "training": sum(epochs)}
    print(json.dumps(clock | {"memory": workflow.stage.peak_memory()}))


def _watch(training: Any, runs: Any, calls: list[float], epochs: list[float]) -> None:
    """Time each call of the compiled training program, and each epoch."""
    original_steps, original_train = training._training_steps, training.train

    def timed_steps(*arguments: Any) -> Any:
        steps = original_steps(*arguments)

        def call(*chunk: Any) -> Any:
            begun = time.perf_counter()
            result = steps(*chunk)
            calls.append(time.perf_counter() - begun)
            return result

        return call

    def train(*arguments: Any) -> Any:
        begun = [time.perf_counter()]
        *others, on_epoch = arguments

        def show(result: Any) -> None:
            epochs.append(time.perf_counter() - begun[0])
            begun[0] = time.perf_counter()
            on_epoch(result)

        return original_train(*others, show)

    training._training_steps = timed_steps
    if runs:
        runs.train = train


if __name__ == "__main__":
    main()
