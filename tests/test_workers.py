"""Work in several processes: done once, in files, and never left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

WAITING = """
import os, time
from workflow.workers import for_each

def work(item):
    os.write(1, f"{os.getpid()}\\n".encode())  # whole, whoever else writes
    time.sleep(60)
    os.write(1, b"done\\n")

try:
    list(for_each(work, [str(number) for number in range(20)]))
except KeyboardInterrupt:
    print("interrupted")
"""


def start(code: str, folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_every_item_is_worked_on_once_in_another_process(tmp_path: Path) -> None:
    code = """
import os
from workflow.workers import for_each

def work(item):
    with open(item, "a") as file:
        print(os.getppid(), file=file)

items = [f"item {n}" for n in range(20)]
print(os.getpid(), sorted(for_each(work, items)) == sorted(items))
"""
    done = start(code, tmp_path)
    said, errors = done.communicate(timeout=60)
    parent, complete = said.split()
    assert (complete, errors) == ("True", "")
    assert {path.read_text() for path in tmp_path.iterdir()} == {f"{parent}\n"}
    assert len(list(tmp_path.iterdir())) == 20


def test_an_exception_that_cannot_be_sent_is_shown(tmp_path: Path) -> None:
    code = """
from workflow.workers import for_each

class Odd(Exception):
    def __init__(self, first, second):  # unpickling gives it one
        super().__init__("the cause")

def work(item):
    raise Odd(1, 2)

list(for_each(work, ["a"]))
"""
    _, errors = start(code, tmp_path).communicate(timeout=60)
    assert "Odd.__init__() missing" in errors
    assert "want of memory" not in errors


def gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # before it was opened, or after
        return True


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for orphans in /proc")
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_their_parent(sent: int, tmp_path: Path) -> None:
    parent = start(WAITING, tmp_path)
    assert parent.stdout is not None
    workers = [int(parent.stdout.readline()) for _ in range(2)]
    assert not any(gone(worker) for worker in workers)
    parent.send_signal(sent)
    parent.wait(timeout=20)
    deadline = time.monotonic() + 20
    while not all(gone(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert all(gone(worker) for worker in workers)


def test_an_interrupt_from_the_keyboard_is_told_once_and_leaves_out_the_rest(
    tmp_path: Path,
) -> None:
    code = WAITING.replace("sleep(60)", "sleep(5)")
    parent = start(code, tmp_path)
    assert parent.stdout is not None
    for _ in range(2):
        parent.stdout.readline()
    os.killpg(parent.pid, signal.SIGINT)
    said, errors = parent.communicate(timeout=20)
    assert (said.splitlines()[-1], errors) == ("interrupted", "")
    assert said.count("done") == 2  # those that were being worked on


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds children in /proc")
@pytest.mark.parametrize("milliseconds", range(0, 20, 2))
def test_an_interrupt_while_workers_are_forked_is_told_once(
    milliseconds: int, tmp_path: Path
) -> None:
    parent = start(WAITING.replace("sleep(60)", "sleep(0.1)"), tmp_path)
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    while not children.read_text():
        assert parent.poll() is None
    time.sleep(milliseconds / 1000)
    os.killpg(parent.pid, signal.SIGINT)
    said, errors = parent.communicate(timeout=20)
    assert (said.splitlines()[-1], errors) == ("interrupted", "")
