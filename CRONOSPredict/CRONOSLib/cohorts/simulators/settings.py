"""Everything that may be chosen about simulated gliomas."""

from __future__ import annotations

from dataclasses import dataclass, field

from CRONOSLib.cohorts.simulators.acquisition import AcquisitionSettings
from CRONOSLib.cohorts.simulators.anatomy import AnatomySettings
from CRONOSLib.cohorts.simulators.appearance import AppearanceSettings
from CRONOSLib.cohorts.simulators.growth import GrowthSettings
from CRONOSLib.cohorts.simulators.mass_effect import MassEffectSettings
from CRONOSLib.cohorts.simulators.treatment import TreatmentSettings
from CRONOSLib.cohorts.simulators.visits import VisitSettings


@dataclass(frozen=True)
class ScanSettings:
    """Geometry of the stored scans.

    size:         voxels along x, y, z
    spacing_mm:   along x, y, z
    tilt_degrees: rotation of the scan's axes about x, y, z against the patient
    jitter_mm:    largest shift of the field of view along z, once per patient
    slab_samples: points averaged across the thickness of a slice
    """

    size: tuple[int, int, int] = (96, 96, 64)
    spacing_mm: tuple[float, float, float] = (2.0, 2.0, 2.0)
    tilt_degrees: tuple[float, float, float] = (0.0, 0.0, 0.0)
    jitter_mm: float = 6.0
    slab_samples: int = 1


@dataclass(frozen=True)
class GliomaSettings:
    """Settings of a cohort, one group per part of the simulator.

    treatment:    None leaves the tumours to themselves
    window:       cells along x, y, z in which the tumour grows, of `growth.spacing_mm`
    last_volume_ml: visible volume that an untreated tumour has at least at the last visit
    keep_clean:   also keep each scan without shading, gain and noise
    """

    anatomy: AnatomySettings = field(default_factory=AnatomySettings)
    growth: GrowthSettings = field(default_factory=GrowthSettings)
    mass_effect: MassEffectSettings = field(default_factory=MassEffectSettings)
    appearance: AppearanceSettings = field(default_factory=AppearanceSettings)
    acquisition: AcquisitionSettings = field(default_factory=AcquisitionSettings)
    visits: VisitSettings = field(default_factory=VisitSettings)
    scan: ScanSettings = field(default_factory=ScanSettings)
    treatment: TreatmentSettings | None = None
    window: tuple[int, int, int] = (96, 96, 64)
    last_volume_ml: float = 1.5
    keep_clean: bool = False


NATIVE_GLIOMA = GliomaSettings(
    scan=ScanSettings((216, 240, 46), (0.94, 0.94, 3.0), (4.0, -3.0, 6.0), jitter_mm=0.0, slab_samples=3),
    window=(108, 116, 80),
)
"""Scans of a clinical geometry: thick, slightly oblique slices, finer in plane than the networks' grid."""
