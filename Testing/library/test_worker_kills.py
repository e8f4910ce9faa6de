"""Workers and their parents, killed for real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from CRONOSLib.errors import WorkerError
from CRONOSLib.series import LongitudinalSeries
from CRONOSLib.worker.client import WorkerClient
from odd_worker import (
    DEAF,
    ENOUGH,
    LIBRARY,
    WELL,
    lives,
    odd_command,
    odd_job,
    private_folders,
    run_until_forecasting,
    submit,
    until,
)

MakeSeries = Callable[..., LongitudinalSeries]


def test_a_worker_that_does_not_hear_is_killed(odd_client: WorkerClient, growing_series: MakeSeries) -> None:
    ear = run_until_forecasting(odd_client, odd_job(growing_series(), DEAF))
    pid = odd_client.pid
    assert pid is not None
    odd_client.cancel()
    print(f"cancelled after {until(odd_client, lambda: ear.ends):.3f} s")
    assert (ear.cancels, ear.ends, odd_client.busy) == (1, 1, False)
    odd_client.forecast(odd_job(growing_series(), WELL))
    assert odd_client.pid != pid
    assert not lives(pid)


def test_a_worker_behind_a_launcher_is_killed_as_well(tmp_path: Path, growing_series: MakeSeries) -> None:
    """As PythonSlicer starts it: the process that was started is not the one that forecasts."""
    launch = [sys.executable, "-c", "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"]
    client = WorkerClient([*launch, *odd_command(tmp_path)])
    ear = run_until_forecasting(client, odd_job(growing_series(), DEAF))
    pid = client.pid
    assert pid is not None
    client.cancel()
    until(client, lambda: ear.ends)
    until(client, lambda: not lives(pid))
    client.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")
def test_a_worker_killed_by_others_is_one_sentence_and_starts_again(
    odd_client: WorkerClient, growing_series: MakeSeries
) -> None:
    ear = run_until_forecasting(odd_client, odd_job(growing_series(), DEAF))
    waiting = submit(odd_client, odd_job(growing_series(), WELL))
    assert odd_client.pid is not None
    os.kill(odd_client.pid, signal.SIGKILL)
    until(odd_client, lambda: ear.ends)
    assert [type(error) for error in ear.errors] == [WorkerError]
    assert "was killed, most likely because memory ran out" in str(ear.errors[0])
    until(odd_client, lambda: waiting.ends)
    assert len(waiting.results) == 1
    os.kill(odd_client.pid, signal.SIGKILL)  # idle: nobody is told
    odd_client.forecast(odd_job(growing_series(), WELL))


PARENT = """
import sys, time
sys.path[:0] = [{library!r}, {tests!r}]
from datetime import timedelta
from conftest import FIRST_VISIT, head_with_lesion
from CRONOSLib.series import LongitudinalSeries, Scan, TimeSource
from CRONOSLib.worker.client import Listener, WorkerClient
from CRONOSLib.worker.job import ForecastJob

scans = [Scan(head_with_lesion(5.0 + day / 30), 0.0, "scan", TimeSource.TYPED, FIRST_VISIT + timedelta(days=day))
         for day in (0, 60)]
client = WorkerClient({command!r})
forecasting = lambda what, fraction, left: what == "Forecasting" and print(client.pid, flush=True)
series = LongitudinalSeries.from_dates(scans)
client.submit(ForecastJob(series, 60.0 + 60.0 * {DEAF}, method="lci"), Listener(progress=forecasting))
while True:
    client.poll()
    time.sleep(0.01)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")
@pytest.mark.parametrize("both", [False, True], ids=["the parent", "parent and worker"])
def test_nothing_is_left_when_a_kill_hits(both: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = PARENT.format(
        library=str(LIBRARY), tests=str(Path(__file__).parent), command=odd_command(tmp_path), DEAF=DEAF
    )
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    parent = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    assert list(tmp_path.rglob("volume-*.npy"))
    if both:
        os.kill(worker, signal.SIGSTOP)  # so that it cannot tidy up
    parent.kill()
    parent.wait()
    start = time.monotonic()
    if both:
        os.kill(worker, signal.SIGKILL)
    while lives(worker):
        assert time.monotonic() - start < ENOUGH, "the worker outlives its parent"
        time.sleep(0.01)
    print(f"the worker was gone after {time.monotonic() - start:.3f} s")
    assert bool(list(tmp_path.rglob("volume-*.npy"))) == both
    assert len(private_folders()) == 1
    following = WorkerClient()
    until(following, lambda: len(private_folders()) == 1)
    following.close()
    assert private_folders() == []


def test_a_closed_client_leaves_no_process_and_no_file(tmp_path: Path, growing_series: MakeSeries) -> None:
    before = set(private_folders())
    client = WorkerClient(odd_command(tmp_path))
    ear = run_until_forecasting(client, odd_job(growing_series(), DEAF))
    pid = client.pid
    assert pid is not None
    client.close()
    assert (ear.cancels, ear.ends, client.busy) == (1, 1, False)
    assert not lives(pid)
    assert set(private_folders()) == before
