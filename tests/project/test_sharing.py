"""Two clones share results through a storage: an S3 server on this machine, or a plain folder."""

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from projects import Project, stages_run

SECRET = secrets.token_hex(16)
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": SECRET}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of an S3 server that has the bucket `team`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(300):
                with socket.socket() as asked:
                    if asked.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            address = f"http://127.0.0.1:{port}"
            make = (
                "import boto3, sys; boto3.client('s3', endpoint_url=sys.argv[1],"
                " region_name='us-east-1').create_bucket(Bucket='team')"
            )
            env = os.environ | CREDENTIALS
            subprocess.run([sys.executable, "-c", make, address], env=env, check=True)
            yield address
        finally:
            server.kill()


@pytest.fixture(params=["s3", "folder"])
def first(request: pytest.FixtureRequest, tiny_run: Project, tmp_path: Path) -> Project:
    """A clone with results, whose committed settings name a storage."""
    project = tiny_run.cloned(tmp_path / "first", "main")
    # Of its own: clones of other tests add runs to the one they share.
    shutil.copytree(tiny_run.root / ".dvc" / "cache", project.root / ".dvc" / "cache")
    if request.param == "folder":
        project.ok("dvc", "remote", "add", "-q", "--default", "shared", str(tmp_path / "storage"))
    else:
        place = f"s3://team/{tmp_path.name}"
        project.ok("dvc", "remote", "add", "-q", "--default", "shared", place)
        endpoint = request.getfixturevalue("endpoint")
        project.ok("dvc", "remote", "modify", "-q", "shared", "endpointurl", endpoint)
    project.commit("Share results")
    project.ok("dvc", "checkout", "-q")
    return project


def test_what_one_has_run_another_does_not_run_again(first: Project, tmp_path: Path) -> None:
    said = first.run("dvc", "push", "--run-cache", "-v", env=CREDENTIALS)
    assert said.returncode == 0, said.stderr
    assert SECRET not in said.stdout + said.stderr
    second = first.cloned(tmp_path / "second", "main")
    second.ok("dvc", "pull", "--run-cache", env=CREDENTIALS)
    assert second.repro() == []
    assert second.ok("git", "status", "--porcelain") == ""

    for project in (first, second):
        for file in project.root.rglob("*"):
            assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file


def test_a_changed_param_that_one_has_run_another_does_not_run_again(
    first: Project, tmp_path: Path
) -> None:
    first.ok("dvc", "exp", "run", "-S", "seed=2")
    made = [
        "dvc.lock",
        "models/model.keras",
        *first.ok("git", "ls-files", "metrics", "plots").split(),
    ]
    expected = first.bytes_of(made)
    first.ok("git", "restore", ".")
    first.ok("dvc", "checkout")

    first.ok("dvc", "push", "--run-cache", env=CREDENTIALS)
    second = first.cloned(tmp_path / "second", "main")
    second.ok("dvc", "pull", "--run-cache", env=CREDENTIALS)
    again = ("dvc", "exp", "run", "--pull", "-S", "seed=2")
    # The records of DVC's run cache are there, outputs that they name are not.
    assert "Running stage 'train'" in second.ok(*again, "--dry", env=CREDENTIALS)

    said = first.ok("python", "-m", "commands", "push-runs", env=CREDENTIALS)
    runs = sum(kept.is_file() for kept in (first.root / ".dvc/cache/runs").rglob("*"))
    assert re.fullmatch(rf"push-runs: [1-9]\d* new files of {runs} runs\n", said)
    assert stages_run(second.ok(*again, env=CREDENTIALS)) == []
    assert second.bytes_of(made) == expected

    once_more = first.ok("python", "-m", "commands", "push-runs", env=CREDENTIALS)
    assert once_more == f"push-runs: 0 new files of {runs} runs\n"


def test_without_a_storage_that_is_said(tiny_clone: Project) -> None:
    failed = tiny_clone.command("push-runs")
    assert failed.returncode == 1
    (line,) = failed.stderr.splitlines()
    assert line.startswith("push-runs: DVC: ")
    assert "dvc remote" in line


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (CREDENTIALS, "Could not connect to the endpoint URL"),
        ({"AWS_EC2_METADATA_DISABLED": "true"}, "Unable to locate credentials"),
    ],
)
def test_a_storage_that_cannot_be_used_is_named(
    tiny_clone: Project, env: dict[str, str], said: str
) -> None:
    tiny_clone.ok("dvc", "remote", "add", "-q", "--default", "shared", "s3://team/x")
    nobody = "http://127.0.0.1:9"
    tiny_clone.ok("dvc", "remote", "modify", "-q", "shared", "endpointurl", nobody)
    env = {"AWS_MAX_ATTEMPTS": "1", "HOME": str(tiny_clone.root.parent), **env}
    failed = tiny_clone.run("python", "-m", "commands", "push-runs", env=env)
    (line,) = failed.stderr.splitlines()
    assert line.startswith(f"push-runs: the storage cannot be used ({said}")
    assert line.endswith("): check its address and the credentials in the environment")
