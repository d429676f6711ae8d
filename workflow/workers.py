"""Work in several processes that begin with all that this one has."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context

from workflow.errors import UserError
from workflow.stage import end_with

# No more than the cores of the smallest machines: further ones would only cost memory there.
WORKERS = 2


def for_each(work: Callable[[str], object], items: Iterable[str]) -> Iterator[str]:
    """Call `work` with each item in some worker process, and yield the items as they get done.

    Workers are forked, so that `work` may be any function and nothing is imported anew. What it
    returns or changes in memory is lost: its results are files.

    Raises:
        UserError: a worker was killed.
        Exception: what `work` or `items` raised; what no worker has begun is left out then, and
            of what gets done meanwhile nothing is said.
    """
    fork = get_context("fork")
    with ProcessPoolExecutor(WORKERS, fork, _begin, (os.getpid(), work)) as pool:
        try:
            # No more at a time than there are workers: the pool would not give back what it has.
            left = iter(items)
            with _interrupts_after():
                jobs = {pool.submit(_work, item): item for item in islice(left, WORKERS)}
            while jobs:
                for job in wait(jobs, return_when=FIRST_COMPLETED).done:
                    item = jobs.pop(job)
                    job.result()
                    jobs |= {pool.submit(_work, next_one): next_one for next_one in islice(left, 1)}
                    yield item
        except BrokenProcessPool as error:
            if error.__cause__:  # an exception that cannot be sent to this process
                raise
            raise UserError(
                "a worker process was killed, perhaps for want of memory: run `dvc repro` again"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _interrupts_after() -> Iterator[None]:
    """Let an interrupt from the keyboard take effect at the end of the block.

    In the middle of forking it would leave workers behind that are waited for and never end.
    """
    interrupts: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupts:
        raise KeyboardInterrupt


_the_work: Callable[[str], object]


def _begin(parent: int, work: Callable[[str], object]) -> None:
    """Set a worker up. `work` is handed over here, since only forking can hand a function over."""
    global _the_work
    _the_work = work
    end_with(parent)
    # Interrupted from the keyboard, which reaches all, the parent speaks for them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _work(item: str) -> None:
    _the_work(item)
