"""From a patient's series to the arrays a method sees, and the exact way back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import SimpleITK as sitk

from CRONOSLib.errors import AlignmentError, BundleError
from CRONOSLib.imaging.grid import Grid, GridSpec, grid_for
from CRONOSLib.imaging.intensity import IntensityScale, IntensitySpec, foreground_of, scales_of
from CRONOSLib.imaging.registration import Alignment, AlignmentReport, align
from CRONOSLib.imaging.resampling import resample, resample_change
from CRONOSLib.series import LongitudinalSeries, Scan


@dataclass(frozen=True)
class Preprocessing:
    """What happens to a series before a method sees it; part of a bundle."""

    grid: GridSpec = field(default_factory=GridSpec)
    intensity: IntensitySpec = field(default_factory=IntensitySpec)
    alignment: Alignment = Alignment.RIGID

    def to_json(self) -> dict[str, Any]:
        """Plain values for bundle.json."""
        return {
            "grid": _swapped(asdict(self.grid), tuple, list),
            "intensity": _swapped(asdict(self.intensity), tuple, list),
            "alignment": self.alignment.value,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Preprocessing:
        """Preprocessing from `to_json`'s values; what is missing takes its default.

        Raises BundleError when a name or a value is unknown.
        """
        try:
            unknown = set(values) - {"grid", "intensity", "alignment"}
            if unknown:
                raise ValueError(f"unknown {', '.join(sorted(unknown))}")
            return cls(
                GridSpec(**_swapped(values.get("grid", {}), list, tuple)),
                IntensitySpec(**_swapped(values.get("intensity", {}), list, tuple)),
                Alignment(values.get("alignment", Alignment.RIGID.value)),
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise BundleError(
                f"The preprocessing settings are not understood ({error}). Update CRONOS, or export the bundle again."
            ) from error


@dataclass(frozen=True)
class PreparedSeries:
    """A series as a method sees it, and the way back to the last scan.

    images:     (T, 1, D, H, W) float32, normalised intensity, 0…1 for most voxels; oldest first; axes z, y, x
    times:      (T,) float64, in the series' unit
    grid:       where the voxels of `images` lie
    scales:     T intensity scales; the last one leads back to the last scan's units
    alignments: T reports; None for the last scan, onto which the others were brought
    last_scan:  the last scan as it was given
    """

    images: np.ndarray
    times: np.ndarray
    grid: Grid
    scales: tuple[IntensityScale, ...]
    alignments: tuple[AlignmentReport | None, ...]
    last_scan: sitk.Image
    warnings: tuple[str, ...] = ()

    @property
    def native(self) -> Grid:
        """The last scan's own grid."""
        return Grid.of(self.last_scan)

    def scan_to_native(self, image: sitk.Image, index: int) -> sitk.Image:
        """A context scan on the last scan's grid, aligned, and in the last scan's units, float32.

        Intensities are brought over as the method compares them: by the two scans' scales. The last scan itself is
        left as it is.

        image: as it was given
        index: of the scan in `images`
        """
        if self.alignments[index] is None:
            return sitk.Cast(image, sitk.sitkFloat32)
        moved = resample(image, self.native, self.alignments[index].transform)  # type: ignore[union-attr]
        return self.native.to_image(self.scales[-1].invert(self.scales[index].apply(_array(moved))))

    def change_to_native(self, change: np.ndarray) -> sitk.Image:
        """Signed change in the last scan's units on its own grid, float32.

        It is interpolated linearly, exactly 0 outside the bundle's grid and wherever the neighbouring voxels of
        `change` are 0.

        change: (D, H, W), difference in normalised intensity
        """
        in_units = self.scales[-1].invert_change(change)
        return resample_change(self.grid.to_image(in_units), self.native)

    def spread_to_native(self, spread: np.ndarray) -> sitk.Image:
        """Spread in the last scan's units on its own grid, float32; 0 outside the bundle's grid.

        spread: (D, H, W), standard deviation in normalised intensity
        """
        return self.change_to_native(spread)

    def forecast_from_change(self, change_native: sitk.Image) -> sitk.Image:
        """Last scan plus change, float32, on the last scan's grid; untouched wherever the change is 0.

        change_native: from `change_to_native`
        """
        change = sitk.GetArrayViewFromImage(change_native)
        return self.native.to_image(sitk.GetArrayFromImage(self.last_scan).astype(np.float32) + change)


def prepare(
    series: LongitudinalSeries,
    preprocessing: Preprocessing,
    *,
    mask: sitk.Image | None = None,
    on_step: Callable[[float], None] | None = None,
) -> PreparedSeries:
    """Align every scan onto the last one, resample all to one grid and normalise their intensities.

    Alignment and grid are composed, so that each scan is interpolated once. Voxels outside the field of view of a scan
    take its background (its first percentile).

    mask:    of the last scan, any grid: what the alignment compares; None: everything
    on_step: told the fraction done, in (0, 1], after each scan; it may raise to stop

    Raises AlignmentError when a scan does not overlap with the last one, ImageError when the grid would be too large.
    """
    last = series.last.image
    grid = grid_for(last, preprocessing.grid, foreground_of(last))
    arrays: list[np.ndarray] = []
    alignments: list[AlignmentReport | None] = []
    for index, scan in enumerate(series):
        report = None if scan is series.last else _align(scan, series.last, preprocessing.alignment, mask)
        arrays.append(_array(resample(scan.image, grid, report.transform if report else None)))
        alignments.append(report)
        if on_step:
            on_step((index + 1) / len(series))
    scales = scales_of(arrays, preprocessing.intensity)
    return PreparedSeries(
        images=np.stack([scale.apply(array)[None] for scale, array in zip(scales, arrays)]),
        times=np.array(series.times),
        grid=grid,
        scales=tuple(scales),
        alignments=tuple(alignments),
        last_scan=last,
        warnings=tuple(
            f"Scan '{scan.name}': {report.warning}"
            for scan, report in zip(series, alignments)
            if report and report.warning
        ),
    )


def bring_to_last(series: LongitudinalSeries, scan: Scan, kind: Alignment) -> sitk.Image:
    """A scan, such as the true target, on the last scan's grid, float32 in its own units, to compare with a forecast.

    Voxels outside its field of view take its background. Raises AlignmentError when it does not overlap.
    """
    report = _align(scan, series.last, kind, None)
    return resample(scan.image, Grid.of(series.last.image), report.transform)


def _swapped(values: Mapping[str, Any], kind: type, other: type) -> dict[str, Any]:
    """The values, those of one kind as another: JSON knows no tuples."""
    return {name: other(value) if isinstance(value, kind) else value for name, value in values.items()}


def _align(scan: Scan, last: Scan, kind: Alignment, mask: sitk.Image | None) -> AlignmentReport:
    try:
        return align(scan.image, last.image, kind, mask)
    except AlignmentError as error:
        raise AlignmentError(f"'{scan.name}' cannot be aligned with '{last.name}': {error}") from error


def _array(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)
