"""What the worker is made of: messages, sentences about its end, and the ways around too little memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
from CRONOSLib.errors import OutOfMemoryError
from CRONOSLib.forecast import Forecast, ForecastOptions, forecast
from CRONOSLib.forecasting import devices
from CRONOSLib.imaging.grid import Grid
from CRONOSLib.imaging.intensity import IntensitySpec
from CRONOSLib.imaging.registration import Alignment
from CRONOSLib.series import LongitudinalSeries, TimeSource, TimeUnit
from CRONOSLib.worker import forecasting
from CRONOSLib.worker.failures import why_ended
from CRONOSLib.worker.forecasting import Forecaster
from CRONOSLib.worker.job import ForecastJob
from CRONOSLib.worker.protocol import (
    CancelledReply,
    CancelRequest,
    CheckReply,
    CheckRequest,
    Device,
    ErrorReply,
    FlowFiles,
    ForecastRequest,
    FrameFile,
    InfoReply,
    InfoRequest,
    LogReply,
    ProgressReply,
    ProtocolError,
    ReadyReply,
    ResultReply,
    ScanFile,
    ShutdownRequest,
    decode,
    encode,
)
from CRONOSLib.worker.sending import Sender
from CRONOSLib.worker.volumes import VolumeFile, read_file, write_file
from hypothesis import given, settings
from hypothesis import strategies as st

LIBRARY = Path(__file__).resolve().parents[2] / "CRONOSPredict"
OBLIQUE = Grid((4, 3, 2), (0.1, 1 / 3, 2.5), (-1e-7, 12.3456789012345, 0.1), (0.6, -0.8, 0.0, 0.8, 0.6, 0.0, 0, 0, 1.0))
VOLUME = VolumeFile(Path("Zeit 雪") / "a\nb.npy", OBLIQUE)
SCAN = ScanFile(VOLUME, 1 / 3, 'a "scan"', TimeSource.TRIGGER, datetime(2020, 2, 29, 23, 59), "Müller", None, Path("x"))
OPTIONS = ForecastOptions(alignment=Alignment.AFFINE, steps=3, device="cuda:1", keep_members=True)
FRAME = FrameFile(1.5, VOLUME, None, True)
FLOW = FlowFiles((0.0, 1.0), (30.0,), ((VOLUME, VOLUME),), ((VOLUME, VOLUME),), None, VOLUME, 0.5, "euler", 1)
MESSAGES = [
    ForecastRequest(
        7, (SCAN, SCAN), TimeUnit.WEEK, 1e-9, Path("out"), datetime(2020, 1, 1), ("!",), "b", "m", OPTIONS, VOLUME, True
    ),
    ForecastRequest(8, (), TimeUnit.MILLISECOND, 5.0, Path("out")),
    CancelRequest(7),
    InfoRequest(),
    ShutdownRequest(),
    ReadyReply(4321),
    ProgressReply(7, "Aligning the scans", 0.25, None),
    ResultReply(7, VOLUME, VOLUME, None, {"any": [1, None, {"thing": "é"}]}, None, None, FLOW, (), (FRAME,)),
    CheckRequest(9, VOLUME, VOLUME, VOLUME, Path("out"), Alignment.AFFINE, IntensitySpec(scope="shared")),
    CheckReply(9, VOLUME, {"skill": None}, ("!",)),
    ErrorReply(None, "One sentence.", "WorkerError"),
    CancelledReply(7),
    LogReply("two\nlines"),
    InfoReply("2.10", (Device("cuda:0", "A GPU", 8e3), Device("cpu", "CPU"))),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_survives_its_line(message: object) -> None:
    line = encode(message)  # type: ignore[arg-type]
    assert line.isascii()
    assert line.index(b"\n") == len(line) - 1
    assert decode(line) == message


@given(st.text(max_size=50), st.floats(0, 1), st.integers())
@settings(deadline=None, max_examples=50)
def test_every_text_and_number_survives(what: str, fraction: float, job: int) -> None:
    message = ProgressReply(job, what, fraction, fraction)
    assert decode(encode(message)) == message


@pytest.mark.parametrize(
    "line",
    [
        b"garbage\n",
        b"\xff\xfe\n",
        b"\n",
        b"[]\n",
        b"{}\n",
        b'{"message": "dance"}\n',
        b'{"message": "cancel"}\n',
        b'{"message": "cancel", "job": "7"}\n',
        b'{"message": "cancel", "job": true}\n',
        b'{"message": "cancel", "job": 7, "why": "boredom"}\n',
        b'{"message": ["cancel"], "job": 7}\n',
        encode(MESSAGES[0]).replace(b'"week"', b'"fortnight"'),
        encode(MESSAGES[0])[:-40] + b"\n",
        b"[" * 100_000 + b"\n",
    ],
)
def test_a_line_that_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(line)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_a_volume_file_keeps_every_bit(kind: type, tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).uniform(0, 200, (2, 3, 4)).astype(kind)
    volume = write_file(OBLIQUE.to_image(voxels), tmp_path / "vólume.npy")
    image = read_file(decode(encode(ForecastRequest(1, (), TimeUnit.DAY, 0.0, tmp_path, mask=volume))).mask)
    assert Grid.of(image) == OBLIQUE
    assert np.array_equal(sitk.GetArrayFromImage(image), voxels)
    assert sitk.GetArrayFromImage(image).dtype == kind


@pytest.mark.parametrize(
    ("exit_code", "log", "ready", "sentence"),
    [
        (-9, [], True, "killed, most likely because memory ran out"),
        (-11, ["Fatal Python error: Segmentation fault"], True, "crashed (SIGSEGV). Choose the device cpu"),
        (0xC0000005, [], True, "crashed (exit code 0xc0000005)"),
        (-6, ["terminate called after throwing an instance of 'std::bad_alloc'", "  what()"], True, "out of memory"),
        (1, ["Traceback", "MemoryError"], True, "ran out of memory"),
        (1, ["  File", "ModuleNotFoundError: No module named 'SimpleITK'"], False, "No module named 'SimpleITK'"),
        (3, [], False, "cannot start (exit code 3)"),
        (0, ["bye"], True, "ended by itself (bye)"),
        (1, ["loading", "error: [/slicer/python-real] exit abnormally - Report the problem."], True, "crashed or was"),
    ],
)
def test_the_end_of_a_worker_is_explained(exit_code: int, log: list[str], ready: bool, sentence: str) -> None:
    failure = why_ended(exit_code, log, was_ready=ready)
    assert sentence in failure.sentence
    assert "\n" not in failure.sentence


@pytest.fixture
def spoken_to() -> Iterator[subprocess.Popen[bytes]]:
    """A worker started as a module, without a client."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-m", "CRONOSLib.worker"],
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        env={**os.environ, "PYTHONPATH": str(LIBRARY)},
    )
    with process:
        yield process
        process.kill()


def test_a_worker_answers_garbage_and_goes_on(spoken_to: subprocess.Popen[bytes]) -> None:
    requests, replies = spoken_to.stdin, spoken_to.stdout
    assert requests is not None
    assert replies is not None
    assert isinstance(decode(replies.readline()), ReadyReply)
    for line in (b"garbage\n", b'{"message": "dance"}\n'):
        requests.write(line)
        requests.flush()
        reply = decode(replies.readline())
        assert isinstance(reply, ErrorReply)
        assert (reply.job, reply.kind) == (None, "bug")
    requests.write(encode(CancelRequest(99)) + encode(InfoRequest()))
    requests.flush()
    assert decode(replies.readline()) == CancelledReply(99)
    assert isinstance(decode(replies.readline()), InfoReply)
    requests.close()  # as when the parent dies
    assert spoken_to.wait(60) == 0
    assert replies.read() == b""


class SmallMemory:
    """Stands in for `forecast` on a machine with a GPU, where only some ways to forecast fit into memory."""

    def __init__(self, result: Forecast, fitting: set[tuple[str, str]]) -> None:
        self._result, self._fitting = result, fitting
        self.tried: list[tuple[str, str]] = []

    def __call__(self, *given: object, options: ForecastOptions, **others: object) -> Forecast:
        way = (options.device, options.precision)
        self.tried.append(way)
        if way not in self._fitting:
            raise OutOfMemoryError("It does not fit.")
        return self._result


@pytest.fixture
def on_small_gpu(
    growing_series: Callable[..., LongitudinalSeries], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[SmallMemory, list[str]]]:
    """Forecasts at full precision on a GPU where only `fitting` (device, precision) fit; returns the warnings, too."""
    series = growing_series()
    result = forecast(series, 180.0, method="lci", options=ForecastOptions(alignment=Alignment.OFF, device="cpu"))

    def make(*fitting: tuple[str, str], native_bf16: bool = True) -> tuple[SmallMemory, list[str]]:
        small = SmallMemory(result, set(fitting))
        monkeypatch.setattr(forecasting, "forecast", small)
        monkeypatch.setattr(devices, "choose_device", lambda name: SimpleNamespace(type=name))
        monkeypatch.setattr(
            devices, "computes_in_bf16", lambda precision, device: {"auto": native_bf16}.get(precision, False)
        )
        options = ForecastOptions(device="cuda", precision="fp32")
        request = Sender(tmp_path).request(1, ForecastJob(series, 180.0, method="lci", options=options), tmp_path)
        reply = Forecaster().forecast(request, lambda what, done: None, lambda: None)
        return small, reply.report["warnings"]

    return make


FULL, HALF, CPU = ("cuda", "fp32"), ("cuda", "bf16"), ("cpu", "fp32")


def test_what_fits_is_forecast_as_asked(on_small_gpu: Callable) -> None:
    small, warnings = on_small_gpu(FULL)
    assert (small.tried, warnings) == ([FULL], [])


def test_half_precision_comes_before_the_cpu(on_small_gpu: Callable) -> None:
    small, warnings = on_small_gpu(HALF, CPU)
    assert small.tried == [FULL, HALF]
    assert ["bf16" in warning for warning in warnings] == [True]


def test_the_cpu_computes_as_exactly_as_was_asked(on_small_gpu: Callable) -> None:
    small, warnings = on_small_gpu(CPU)
    assert small.tried == [FULL, HALF, CPU]
    assert ["CPU" in warning for warning in warnings] == [True]


def test_a_gpu_without_half_precision_goes_to_the_cpu(on_small_gpu: Callable) -> None:
    small, _ = on_small_gpu(HALF, CPU, native_bf16=False)
    assert small.tried == [FULL, CPU]


def test_what_fits_nowhere_is_an_error(on_small_gpu: Callable) -> None:
    with pytest.raises(OutOfMemoryError, match="does not fit"):
        on_small_gpu()


@pytest.mark.parametrize(
    ("raised", "place"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 9 GiB"), "GPU"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "GPU"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory"), "computer"),
        (MemoryError(), "computer"),
    ],
)
def test_running_out_of_memory_has_one_class(raised: Exception, place: str) -> None:
    with pytest.raises(OutOfMemoryError, match=f"memory of the {place}"), devices.explained_memory():
        raise raised


def test_another_error_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="sizes differ"), devices.explained_memory():
        raise RuntimeError("sizes differ")
