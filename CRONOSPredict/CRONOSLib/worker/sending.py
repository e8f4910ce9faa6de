"""Jobs as requests: every volume is written once, however many forecasts it takes part in."""

from __future__ import annotations

import itertools
import weakref
from pathlib import Path

import SimpleITK as sitk

from CRONOSLib.series import Scan
from CRONOSLib.worker.job import CheckJob, Job
from CRONOSLib.worker.protocol import CheckRequest, ForecastRequest, ScanFile
from CRONOSLib.worker.volumes import VolumeFile, write_file


class Sender:
    """Writes the volumes of jobs into a folder. A file never changes; it goes when a job no longer needs it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[int, tuple[weakref.ref, VolumeFile]] = {}
        self._count = itertools.count()

    def request(self, number: int, job: Job, result_folder: Path) -> ForecastRequest | CheckRequest:
        """The request of a job, its volumes on disk.

        Raises OSError when they cannot be written, SeriesError when the target does not suit the series.
        """
        if isinstance(job, CheckJob):
            return self._check(number, job, result_folder)
        series = job.series
        series.horizon(job.target_time)
        self._forget_all_but([scan.image for scan in series] + ([job.mask] if job.mask is not None else []))
        return ForecastRequest(
            job=number,
            scans=tuple(self._scan(scan) for scan in series),
            unit=series.unit,
            target_time=job.target_time,
            folder=result_folder,
            epoch=series.epoch,
            warnings=series.warnings,
            bundle=None if job.bundle is None else str(job.bundle),
            method=job.method,
            options=job.options,
            mask=None if job.mask is None else self._file(job.mask),
            keep_aligned=job.keep_aligned,
            through_time=job.through_time,
            labels=tuple(
                write_file(labels, result_folder / f"labels-{index}.npy") for index, labels in enumerate(job.labels)
            ),
        )

    def _check(self, number: int, job: CheckJob, folder: Path) -> CheckRequest:
        """Its volumes are written beside the result, and go with it: the scans of the next forecast are still known."""
        volumes = {name: getattr(job, name) for name in ("forecast", "last", "truth")}
        files = {name: write_file(image, folder / f"{name}.npy") for name, image in volumes.items()}
        return CheckRequest(number, folder=folder, alignment=job.alignment, intensity=job.intensity, **files)

    def _scan(self, scan: Scan) -> ScanFile:
        others = {name: value for name, value in vars(scan).items() if name != "image"}
        return ScanFile(self._file(scan.image), **others)

    def _file(self, image: sitk.Image) -> VolumeFile:
        known = self._files.get(id(image))
        if known is not None and known[0]() is image:
            return known[1]
        file = write_file(image, self._folder / f"volume-{next(self._count)}.npy")
        self._files[id(image)] = (weakref.ref(image), file)
        return file

    def _forget_all_but(self, needed: list[sitk.Image]) -> None:
        for number, (image, file) in list(self._files.items()):
            if not any(image() is other for other in needed):
                file.path.unlink(missing_ok=True)
                del self._files[number]
