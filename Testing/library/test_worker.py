"""The worker as a panel uses it: a real process."""

from __future__ import annotations

import errno
import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from CRONOSLib.bundles.bundle import Bundle
from CRONOSLib.errors import (
    CronosError,
    MethodError,
    MissingPackageError,
    OutOfMemoryError,
    OutputError,
    SeriesError,
    WorkerError,
)
from CRONOSLib.forecast import ForecastOptions, forecast
from CRONOSLib.imaging.grid import Grid
from CRONOSLib.series import LongitudinalSeries
from CRONOSLib.worker import sending
from CRONOSLib.worker.client import Listener, WorkerClient
from CRONOSLib.worker.job import ForecastJob, ForecastResult
from CRONOSLib.worker.protocol import InfoReply
from odd_worker import (
    AS_IN_FILES,
    BROKEN,
    LIBRARY,
    LISTENS,
    PRINTS,
    TOO_LARGE,
    UNWRITABLE,
    WELL,
    Ear,
    files_of,
    odd_job,
    private_folders,
    run_until_forecasting,
    submit,
    until,
)

MakeSeries = Callable[..., LongitudinalSeries]


@pytest.fixture(scope="module")
def client(unusual_temporary_folder: Path) -> Iterator[WorkerClient]:
    """The worker as it is shipped."""
    client = WorkerClient()
    client.start()
    yield client
    client.close()


def test_the_worker_forecasts_what_the_library_forecasts(
    client: WorkerClient, growing_series: MakeSeries, tiny_bundle: Bundle
) -> None:
    series = growing_series()
    options = replace(AS_IN_FILES, steps=2, keep_members=True, keep_trajectory=True, precision="fp32")
    told: list[tuple[str, float, float | None]] = []
    job = ForecastJob(series, 180.0, bundle=tiny_bundle.path, options=options, keep_aligned=True)
    sent = client.forecast(job, lambda *news: told.append(news))
    here = forecast(series, 180.0, bundle=tiny_bundle, options=options)
    for there, image in ((sent.image, here.image), (sent.change, here.change), (sent.spread, here.spread)):
        assert there is not None
        assert image is not None
        assert Grid.of(there) == Grid.of(image)
        assert np.array_equal(sitk.GetArrayFromImage(there), sitk.GetArrayFromImage(image))
    assert (sent.bundle, sent.method, sent.warnings) == (tiny_bundle, here.method, here.warnings)
    assert sent.report["nfe"] == 2
    assert [scan["name"] for scan in sent.report["scans"]] == ["visit-0", "visit-1", "visit-2"]
    assert sent.flow is not None
    assert here.flow is not None
    assert (sent.flow.taus, sent.flow.straightness) == (here.flow.taus, here.flow.straightness)
    pairs = [(sent.flow.bend, here.flow.bend), (sent.flow.disagreement, here.flow.disagreement)]
    pairs += zip(
        itertools.chain(*sent.flow.states, *sent.flow.speeds), itertools.chain(*here.flow.states, *here.flow.speeds)
    )
    for there, image in pairs:
        assert Grid.of(there) == Grid.of(image)
        assert np.array_equal(sitk.GetArrayFromImage(there), sitk.GetArrayFromImage(image))
    assert [(frame.time, Grid.of(frame.image)) for frame in sent.aligned] == [
        (time, Grid.of(series.last.image)) for time in series.times
    ]
    assert {what for what, *_ in told} > {"Aligning the scans", "Forecasting"}
    assert all(0 <= fraction <= 1 and (left is None or left >= 0) for _, fraction, left in told)


def test_the_second_forecast_aligns_and_loads_nothing(client: WorkerClient, growing_series: MakeSeries) -> None:
    job = ForecastJob(growing_series(), 150.0, method="linear", options=ForecastOptions(device="cpu"))
    first = client.forecast(job)
    told: list[str] = []
    second = client.forecast(replace(job, target_time=170.0), lambda what, *_: told.append(what))
    assert "Aligning the scans" not in told
    assert second.report["scans"] == first.report["scans"]
    assert np.abs(sitk.GetArrayFromImage(second.image) - sitk.GetArrayFromImage(first.image)).max() > 0


def test_twenty_forecasts_leave_no_file_behind(
    client: WorkerClient, growing_series: MakeSeries, tiny_bundle: Bundle, head: Callable[[float], sitk.Image]
) -> None:
    series, mask = growing_series(), head(5.0) > 0
    job = ForecastJob(series, 0.0, bundle=tiny_bundle.path, options=AS_IN_FILES, mask=mask)
    for number in range(20):
        client.forecast(replace(job, target_time=150.0 + number, mask=mask if number % 2 else None))
    (folder,) = [path for path in private_folders() if len(files_of(path)) > 1]
    assert len(files_of(folder)) == 1 + 3 + 1  # the owner's mark, three scans and the mask, written once
    client.forecast(ForecastJob(growing_series((0, 60)), 150.0, method="linear", options=AS_IN_FILES))
    assert len(files_of(folder)) == 1 + 2


def test_the_devices_are_known(client: WorkerClient) -> None:
    answers: list[InfoReply] = []
    client.ask_info(answers.append)
    until(client, lambda: answers)
    assert answers[0].torch
    assert answers[0].devices[-1].name == "cpu"


def test_a_users_mistake_comes_back_as_it_was_raised(client: WorkerClient, growing_series: MakeSeries) -> None:
    with pytest.raises(MethodError, match="needs 2 scans or more, but there is 1"):
        client.forecast(ForecastJob(growing_series((0,)), 180.0, method="linear"))
    series = growing_series()
    with pytest.raises(MethodError, match="cannot carry labels"):
        client.forecast(ForecastJob(series, 180.0, method="linear", labels=(series.last.image > 100,)))
    with pytest.raises(MethodError, match="no GPU 'cuda:77'"):
        client.forecast(ForecastJob(growing_series(), 180.0, method="lci", options=ForecastOptions(device="cuda:77")))


def test_what_a_method_prints_goes_to_the_log(odd_client: WorkerClient, growing_series: MakeSeries) -> None:
    result = odd_client.forecast(odd_job(growing_series(), PRINTS))
    assert result.spread is None
    until(odd_client, lambda: "from C" in odd_client.log)
    assert '{"message": "shutdown"}' in odd_client.log
    assert "stray" in odd_client.log


@pytest.mark.parametrize(
    ("do", "kind", "complaint"),
    [
        (TOO_LARGE, OutOfMemoryError, "does not fit into the memory of the computer. Close other programs"),
        (BROKEN, WorkerError, r"failed \(ZeroDivisionError: nobody thought of this\)"),
        (UNWRITABLE, OutputError, "Temporary files cannot be used .* Make room"),
    ],
)
def test_a_failure_is_one_sentence_and_the_worker_lives_on(
    odd_client: WorkerClient, growing_series: MakeSeries, do: int, kind: type[CronosError], complaint: str
) -> None:
    series = growing_series()
    odd_client.forecast(odd_job(series, WELL))
    pid = odd_client.pid
    with pytest.raises(kind, match=complaint):
        odd_client.forecast(odd_job(series, do))
    odd_client.forecast(odd_job(series, WELL))
    assert odd_client.pid == pid


def test_a_cancel_is_heard_and_the_worker_lives_on(odd_client: WorkerClient, growing_series: MakeSeries) -> None:
    ear = run_until_forecasting(odd_client, odd_job(growing_series(), LISTENS))
    pid = odd_client.pid
    odd_client.cancel()
    print(f"cancelled after {until(odd_client, lambda: ear.ends):.3f} s")
    assert (ear.cancels, ear.ends, odd_client.busy) == (1, 1, False)
    odd_client.forecast(odd_job(growing_series(), WELL))
    assert odd_client.pid == pid


def test_a_cancel_counts_while_torch_is_still_imported(
    unusual_temporary_folder: Path, growing_series: MakeSeries
) -> None:
    client = WorkerClient()
    ear = submit(client, odd_job(growing_series(), WELL))
    until(client, lambda: ear.progress)
    pid = client.pid
    client.cancel()
    seconds = until(client, lambda: ear.ends)
    print(f"cancelled after {seconds:.3f} s, the worker {'lives' if client.pid == pid else 'was killed'}")
    assert ear.cancels == 1
    client.close()


def test_a_target_that_is_no_time_is_refused_at_once(client: WorkerClient, growing_series: MakeSeries) -> None:
    with pytest.raises(SeriesError, match="target time is nan"):
        client.forecast(ForecastJob(growing_series(), float("nan"), method="lci"))


def test_the_last_request_wins(odd_client: WorkerClient, growing_series: MakeSeries) -> None:
    series = growing_series()
    first = run_until_forecasting(odd_client, odd_job(series, LISTENS))
    ears = [submit(odd_client, replace(odd_job(series, WELL), target_time=180.0 + day)) for day in range(5)]
    odd_client.poll()
    assert [ear.cancels for ear in ears] == [1, 1, 1, 1, 0]
    odd_client.cancel()
    last = submit(odd_client, odd_job(series, WELL))
    until(odd_client, lambda: last.ends)
    assert [ear.cancels for ear in (first, *ears)] == [1] * 6
    assert [len(ear.results) for ear in (*ears, last)] == [0, 0, 0, 0, 0, 1]


def test_a_listener_may_submit_and_may_fail(odd_client: WorkerClient, growing_series: MakeSeries) -> None:
    series, ear = growing_series(), Ear()

    def go_on(result: ForecastResult) -> None:
        odd_client.submit(odd_job(series, WELL), ear.listener())
        raise KeyError("a bug of the panel")

    odd_client.submit(odd_job(series, WELL), Listener(result=go_on))
    with pytest.raises(KeyError):
        odd_client.wait()
    until(odd_client, lambda: ear.results)


def test_a_progress_callback_may_stop_a_blocking_forecast(odd_client: WorkerClient, growing_series: MakeSeries) -> None:
    def stop(what: str, done: float, left: float | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        odd_client.forecast(odd_job(growing_series(), LISTENS), stop)
    assert not odd_client.busy


def test_the_folder_of_a_living_client_is_left_alone(client: WorkerClient) -> None:
    before = set(private_folders())
    other = WorkerClient()
    assert before < set(private_folders())
    other.close()
    assert set(private_folders()) == before


def test_a_full_disk_is_one_sentence(
    client: WorkerClient, growing_series: MakeSeries, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(image: sitk.Image, path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    job = ForecastJob(growing_series(), 180.0, method="linear", options=AS_IN_FILES)
    with monkeypatch.context() as patch:
        patch.setattr(sending, "write_file", full)
        with pytest.raises(OutputError, match="No space left on device"):
            client.forecast(job)
    client.forecast(job)


@pytest.mark.parametrize(
    ("program", "kind", "complaint"),
    [
        ([str(LIBRARY / "no such program")], WorkerError, "cannot start .*No such file"),
        ([sys.executable, "-c", "raise SystemExit('no luck')"], WorkerError, r"cannot start \(no luck\)"),
        ([sys.executable, "-c", "import nowhere"], MissingPackageError, "cannot start .*No module named 'nowhere'"),
    ],
)
def test_a_worker_that_cannot_start_says_why(
    program: list[str], kind: type[CronosError], complaint: str, growing_series: MakeSeries
) -> None:
    client = WorkerClient(program)
    for _ in range(2):
        with pytest.raises(kind, match=complaint):
            client.forecast(ForecastJob(growing_series(), 180.0, method="lci"))
    client.close()


def test_without_torch_the_sentence_says_what_to_install(growing_series: MakeSeries) -> None:
    code = f"import sys; sys.path.insert(0, {str(LIBRARY)!r}); sys.modules['torch'] = None; "
    code += "from CRONOSLib.worker import server, __main__ as worker; server._IDLE = 0.01; worker.main()"
    client = WorkerClient([sys.executable, "-c", code])
    answers: list[InfoReply] = []
    client.ask_info(answers.append)
    with pytest.raises(MissingPackageError, match=r"needs the package 'torch'.*install the PyTorch extension"):
        client.forecast(ForecastJob(growing_series(), 180.0, method="lci"))
    assert answers[0].torch is None
    pid = client.pid
    with pytest.raises(MissingPackageError):
        client.forecast(ForecastJob(growing_series(), 180.0, method="lci"))
    assert client.pid == pid
    client.close()
