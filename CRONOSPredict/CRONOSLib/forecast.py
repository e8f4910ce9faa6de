"""A series and a target time in, a forecast out: the one call that panel, console and command line share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import SimpleITK as sitk

from CRONOSLib.bundles.bundle import Bundle
from CRONOSLib.bundles.calibration import UNCALIBRATED, Calibration
from CRONOSLib.errors import MethodError
from CRONOSLib.forecasting import devices
from CRONOSLib.forecasting.choice import MethodChoice, override, require_deforming
from CRONOSLib.forecasting.kept import Kept
from CRONOSLib.forecasting.native_flow import Flow, native_flow
from CRONOSLib.forecasting.times import method_time, most_useful_scans
from CRONOSLib.imaging.deformation import displacement_transform
from CRONOSLib.imaging.preparation import PreparedSeries, Preprocessing, prepare
from CRONOSLib.imaging.registration import Alignment, AlignmentReport
from CRONOSLib.imaging.resampling import resample_labels
from CRONOSLib.packages import require
from CRONOSLib.series import LongitudinalSeries

OnProgress = Callable[[str, float], None]
"""Told what is being done and the fraction of all work done, in [0, 1]; it may raise to stop the forecast."""


@dataclass(frozen=True)
class ForecastOptions:
    """How to forecast; None leaves the choice to the bundle.

    alignment:       how the earlier scans are brought onto the last one
    solver, steps:   how the flow is integrated, or noise is removed
    samples:         how many a method that samples draws
    aggregate:       how the members make one forecast
    device:          "auto", "cpu", "cuda" or "cuda:1"
    precision:       "auto" (bf16 where the hardware has it), "fp32" or "bf16"
    keep_members:    keep the members: the forecast reached from each scan, or the samples
    keep_trajectory: keep the states between the scans and the forecast
    rescale_time:    let the scans' mean gap count as the bundle's typical gap, for series in another kind of time
    preset:          settings of a method that needs no bundle
    """

    alignment: Alignment | None = None
    solver: str | None = None
    steps: int | None = None
    samples: int | None = None
    aggregate: str | None = None
    device: str = "auto"
    precision: str = "auto"
    seed: int = 0
    keep_members: bool = False
    keep_trajectory: bool = False
    rescale_time: bool = False
    preset: str | None = None


@dataclass(frozen=True)
class Forecast:
    """A forecast on the last scan's own grid and in its own units, and how it came about.

    series:         the scans that were used, oldest first
    target_time:    in the unit of the series
    image:          float32, last scan plus change
    change:         float32, signed, forecast minus last scan
    spread:         float32, how sure the forecast is, see `spread_meaning`; None when there is only one member
    spread_meaning: the calibrated ± range of the bundle, or the standard deviation of the members where there is no
                    calibration, or an option changed the members it was measured on
    method:         its name
    preset:         of its settings; that of the training where there is a bundle
    nfe:            evaluations of the network
    phases:         seconds by phase of the work
    peak_memory_mb: most memory of the GPU, or of this process since it began; None where it cannot be measured
    alignments:     one report for each scan; None for the last
    prepared:       the scans as the method saw them, and the way back
    member_kind:    what the members are: "scan" (one forecast from each, in their order) or "sample"
    member_count:   T, how many there are
    members:        (T, D, H, W) normalised intensity on the bundle's grid, when asked for
    trajectory:     (S, T, D, H, W), the states at S flow steps from 0 to 1, when asked for
    flow:           the trajectory on the last scan's own grid, with speed and straightness, when asked for
    displacement:   (3, D, H, W), voxels of the bundle's grid along its axes: what the forecast shows at x lies at
                    x + u(x) in the last scan; None when the method does not deform
    carried:        the label maps that were given, as `carry` moves them
    """

    series: LongitudinalSeries
    target_time: float
    image: sitk.Image
    change: sitk.Image
    spread: sitk.Image | None
    method: str
    bundle: Bundle | None
    nfe: int
    phases: Mapping[str, float]
    peak_memory_mb: float | None
    alignments: tuple[AlignmentReport | None, ...]
    preprocessing: Preprocessing
    prepared: PreparedSeries
    device: str = "cpu"
    seed: int = 0
    spread_meaning: str = UNCALIBRATED
    warnings: tuple[str, ...] = ()
    member_kind: str = "scan"
    member_count: int = 1
    members: np.ndarray | None = field(default=None, repr=False)
    trajectory: np.ndarray | None = field(default=None, repr=False)
    flow: Flow | None = None
    displacement: np.ndarray | None = field(default=None, repr=False)
    preset: str = "default"
    carried: tuple[sitk.Image, ...] = ()

    @property
    def seconds(self) -> float:
        """Duration of the whole forecast, s."""
        return sum(self.phases.values())

    def quantile(self, level: float) -> sitk.Image:
        """The quantile of the members at a level in [0, 1], voxel by voxel, like the forecast; all members count alike.

        Raises MethodError when the members were not kept.
        """
        if self.members is None:
            raise MethodError("The members of this forecast were not kept. Forecast again with keep_members.")
        change = np.quantile(self.members, level, axis=0).astype(np.float32) - self.prepared.images[-1, 0]
        return self.prepared.forecast_from_change(self.prepared.change_to_native(change))

    def carry(self, labels: sitk.Image) -> sitk.Image:
        """A label map of the last scan, any grid, moved as the forecast moved the scan; on the last scan's grid.

        Every voxel takes the nearest label. Raises MethodError when the method does not deform.
        """
        require_deforming(self.method)
        assert self.displacement is not None
        transform = displacement_transform(self.displacement, self.prepared.grid)
        return resample_labels(labels, self.prepared.native, transform)


def forecast(
    series: LongitudinalSeries,
    target_time: float,
    *,
    bundle: Bundle | None = None,
    method: str | None = None,
    options: ForecastOptions = ForecastOptions(),
    mask: sitk.Image | None = None,
    labels: Sequence[sitk.Image] = (),
    on_progress: OnProgress | None = None,
    kept: Kept | None = None,
) -> Forecast:
    """Forecast the scan of a patient at a target time.

    target_time: in the unit of the series; after the last scan, or between scans
    bundle:      a trained model; its method is used
    method:      a method that needs no bundle, by name
    mask:        of the last scan, any grid: what the alignment compares; None: everything
    labels:      label maps of the last scan, any grid, to be carried along by a method that deforms
    kept:        what earlier forecasts left; a forecast of the same images, mask and bundle then starts at once

    Raises SeriesError for a target before the first scan; MethodError when the method needs a bundle or more scans or
    cannot carry labels, the times do not suit the bundle, or an option does not suit the method; AlignmentError when
    scans do not overlap; BundleError for a damaged bundle; OutOfMemoryError; MissingPackageError without torch.
    """
    kept = kept or Kept()
    tell = on_progress or (lambda what, fraction: None)
    clock = devices.Stopwatch()
    series.horizon(target_time)
    choice = MethodChoice.of(method, bundle, len(series), options.preset)
    if labels:
        require_deforming(choice.name)
    if bundle is not None:
        series = most_useful_scans(series, target_time, bundle.max_contexts)
    times = method_time(series, target_time, bundle, rescale=options.rescale_time)
    require("torch", "torchdiffeq", purpose="Forecasting")
    from CRONOSLib.forecasting.run import run

    device = devices.choose_device(options.device)
    devices.reset_peak_memory(device)
    with clock.phase("prepare"), devices.explained_memory():
        preprocessing = choice.preprocessing(series.unit, options.alignment)
        prepared = kept.get(
            "scans",
            (*(id(scan.image) for scan in series), series.times, id(mask), preprocessing),
            lambda: prepare(
                series, preprocessing, mask=mask, on_step=lambda done: tell("Aligning the scans", 0.6 * done)
            ),
            alive=(series, mask),
        )
    with clock.phase("load"), devices.seeded(options.seed), devices.explained_memory():
        tell("Loading the method", 0.6)
        way = (options.solver, options.steps, options.aggregate, options.samples)
        network = kept.get(
            "method",
            (choice, str(device), options.precision, way),
            lambda: override(choice.load(device), *way),
        )
    with clock.phase("forecast"), devices.seeded(options.seed), devices.explained_memory():
        outcome = run(
            network,
            prepared,
            times,
            bf16=choice.bundle is not None and devices.computes_in_bf16(options.precision, device),
            keep_trajectory=options.keep_trajectory,
            on_step=lambda done: tell("Forecasting", 0.65 + 0.25 * done),
        )
    with clock.phase("bring back"):
        tell("Bringing the change back to the scan", 0.9)
        change = prepared.change_to_native(outcome.change)
        calibration, spread = _calibration(choice.bundle, options), outcome.spread
        if calibration is not None and spread is not None:
            spread = calibration.half_width(spread)
        spread_image = None if spread is None else prepared.spread_to_native(spread)
        image = prepared.forecast_from_change(change)
        transport = outcome.transport
        flow = None if transport is None else native_flow(transport, prepared, series)
    tell("Done", 1.0)
    made = Forecast(
        series=series,
        target_time=target_time,
        image=image,
        change=change,
        spread=spread_image,
        method=choice.name,
        bundle=choice.bundle,
        nfe=outcome.nfe,
        phases=clock.seconds,
        peak_memory_mb=devices.peak_memory_mb(device),
        alignments=prepared.alignments,
        preprocessing=preprocessing,
        prepared=prepared,
        device=str(device),
        seed=options.seed,
        spread_meaning=UNCALIBRATED if calibration is None else calibration.meaning,
        warnings=_once(*series.warnings, *prepared.warnings, *times.warnings, *_doubts(choice.bundle)),
        member_kind=outcome.kind.value,
        member_count=len(outcome.members),
        members=outcome.members if options.keep_members else None,
        trajectory=None if transport is None else transport.states,
        flow=flow,
        displacement=outcome.displacement,
        preset=choice.preset,
    )
    return replace(made, carried=tuple(map(made.carry, labels)))


def _calibration(bundle: Bundle | None, options: ForecastOptions) -> Calibration | None:
    """The bundle's, while nothing changes the members that it was measured on."""
    changed = (options.solver, options.steps, options.aggregate, options.samples) != (None,) * 4
    return None if bundle is None or changed or options.rescale_time else bundle.calibration


def _doubts(bundle: Bundle | None) -> tuple[str, ...]:
    if bundle is None or (bundle.skill is not None and bundle.skill.mean > 0):
        return ()
    worth = "was not measured" if bundle.skill is None else f"is {bundle.skill.mean:.3f}, no better than copying"
    return (f"The skill of bundle '{bundle.name}' {worth}. Compare the forecast with the last scan.",)


def _once(*warnings: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(warnings))
