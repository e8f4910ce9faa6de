"""One check through the library: files in, numbers and a map out."""

from __future__ import annotations

from functools import partial

from CRONOSLib.evaluation.check import check
from CRONOSLib.forecast import OnProgress
from CRONOSLib.worker.protocol import CheckReply, CheckRequest
from CRONOSLib.worker.volumes import read_file, write_file


def checked(request: CheckRequest, on_progress: OnProgress) -> CheckReply:
    """Measure, and write the map of the error into the folder of the request.

    Raises AlignmentError when the true scan does not overlap, OSError when the map cannot be written.
    """
    on_progress("Aligning the true scan", 0.1)
    forecast, last, truth = (read_file(file) for file in (request.forecast, request.last, request.truth))
    measuring = partial(on_progress, "Measuring", 0.5)
    result = check(forecast, last, truth, request.alignment, request.intensity, on_aligned=measuring)
    error = write_file(result.error, request.folder / "error.npy")
    return CheckReply(request.job, error, result.to_json(), result.warnings)
