"""The machine that the timings belong to."""

import os
import platform
from pathlib import Path


def described() -> str:
    """Processor, cores, memory and Python in words."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = (line.partition(":") for line in cpuinfo.read_text().splitlines())
        told = {name.strip(): value.strip() for name, _, value in lines}
        processor = told.get("model name", processor)
        if "cpu family" in told:  # virtual machines often leave the generation out of the name
            processor += f" (family {told['cpu family']}, model {told['model']})"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{processor}, {cores} cores, {memory:.0f} GiB, Python {platform.python_version()}"
