"""The processors that a process may use: its affinity, and the quotas of its control groups."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cli import threads as threads_of_cli
from landseg.inference.options import InferenceOptions
from landseg.runtime import device
from landseg.runtime import processors as module
from landseg.runtime.processors import compute_threads, processors, quota, threads_of_environment
from landseg.training.fit_options import FitOptions
from landseg.training.loop.process import Place

MAX, QUOTA, PERIOD = "cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us"


@pytest.mark.parametrize(
    ("cgroup", "files", "expected"),
    [
        ("0::/\n", {MAX: "150000 100000\n"}, 1.5),  # inside a container
        ("0::/\n", {MAX: "max 100000\n"}, math.inf),
        ("0::/a/b\n", {"a/" + MAX: "50000 100000\n", "a/b/" + MAX: "max 100000\n"}, 0.5),  # of the group above
        ("0::/a/b\n", {"a/" + MAX: "400000 100000\n", "a/b/" + MAX: "300000 100000\n"}, 3.0),
        ("0::/of/the/host\n", {MAX: "200000 100000\n"}, 2.0),  # the path is not there: what is, counts
        ("0::/../outside\n", {MAX: "200000 100000\n"}, 2.0),
        ("1:cpu:/\n0::/\n", {"cpu/" + QUOTA: "250000\n", "cpu/" + PERIOD: "100000\n"}, 2.5),
        ("3:cpu,cpuacct:/x\n", {"cpu,cpuacct/x/" + QUOTA: "40000\n", "cpu,cpuacct/x/" + PERIOD: "20000\n"}, 2.0),
        ("1:cpu:/\n", {"cpu/" + QUOTA: "-1\n", "cpu/" + PERIOD: "100000\n"}, math.inf),
        ("1:cpuset:/\n", {"cpu/" + QUOTA: "100000\n", "cpu/" + PERIOD: "100000\n"}, math.inf),  # not its group
        ("1:cpu:/\n", {"cpu/" + QUOTA: "100000\n"}, math.inf),  # half of it
        ("0::/\n", {MAX: "nonsense\n"}, math.inf),
        ("0::/\n", {MAX: "100000 0\n"}, math.inf),
        ("", {MAX: "100000 100000\n"}, math.inf),
    ],
)
def test_the_quota_of_control_groups(tmp_path: Path, cgroup: str, files: dict[str, str], expected: float) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(cgroup)
    for name, text in files.items():
        file = tmp_path / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert quota(tmp_path) == expected


def test_without_control_groups_there_is_no_quota(tmp_path: Path) -> None:
    assert math.isinf(quota(tmp_path))


@pytest.mark.parametrize(("allowed", "affine", "expected"), [(1.5, 8, 2), (0.2, 8, 1), (16, 4, 4), (math.inf, 4, 4)])
def test_the_smaller_of_affinity_and_quota(
    monkeypatch: pytest.MonkeyPatch, allowed: float, affine: int, expected: int
) -> None:
    monkeypatch.setattr(module, "quota", lambda root: allowed)
    monkeypatch.setattr(module, "affine_processors", lambda: affine)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert processors() == compute_threads() == expected
    monkeypatch.setenv("OMP_NUM_THREADS", "7,2")
    assert processors() == expected and compute_threads() == 7, "the environment wins"
    for wrong in ("", "many", "0", "-2"):
        monkeypatch.setenv("OMP_NUM_THREADS", wrong)
        assert threads_of_environment() is None and compute_threads() == expected


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or shutil.which("taskset") is None, reason="the system sets no affinity"
)
def test_the_affinity_of_a_process_counts() -> None:
    one = str(min(os.sched_getaffinity(0)))
    ask = [sys.executable, "-c", "from landseg.runtime.processors import processors; print(processors())"]
    assert subprocess.check_output(["taskset", "-c", one, *ask], text=True).strip() == "1"
    twin = subprocess.check_output(ask, text=True).strip()
    assert int(twin) == processors()


@pytest.fixture
def quota_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "quota", lambda root: 0.5)
    monkeypatch.setattr(module, "affine_processors", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


@pytest.mark.usefixtures("quota_of_one")
def test_torch_takes_no_more_threads_than_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        device.set_threads(None)
        assert torch.get_num_threads() == 1
        device.set_threads(3)
        assert torch.get_num_threads() == 3, "what is asked for is taken"
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
        device.set_threads(None)
        assert torch.get_num_threads() == 3, "and what the environment says"
    finally:
        torch.set_num_threads(before)


@pytest.mark.usefixtures("quota_of_one")
def test_no_more_threads_read_than_processors() -> None:
    assert InferenceOptions.of().workers == 1 and InferenceOptions.of(threads=4).workers == 2
    assert InferenceOptions.of(workers=5).workers == 5


@pytest.mark.usefixtures("quota_of_one")
def test_commands_limit_libraries_by_the_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in threads_of_cli._VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GDAL_NUM_THREADS", "6")
    with threads_of_cli.limited(None):
        assert os.environ["OMP_NUM_THREADS"] == "1" and os.environ["GDAL_NUM_THREADS"] == "6"
    assert "OMP_NUM_THREADS" not in os.environ
    monkeypatch.setattr(module, "quota", lambda root: math.inf)
    with threads_of_cli.limited(None):
        assert "OMP_NUM_THREADS" not in os.environ, "without a quota the libraries count themselves"


@pytest.mark.usefixtures("quota_of_one")
def test_training_makes_batches_in_no_more_processes_than_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Place("cuda", "fp32").workers(FitOptions(steps=1)) == 1
    assert Place("cuda", "fp32").workers(FitOptions(steps=1, workers=3)) == 3
    monkeypatch.setattr(module, "quota", lambda root: math.inf)
    assert Place("cuda", "fp32").workers(FitOptions(steps=1)) == 4, "all of the affinity"
