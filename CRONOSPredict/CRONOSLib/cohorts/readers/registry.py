"""Every layout that can be read, and which one a folder has."""

from __future__ import annotations

from pathlib import Path

from CRONOSLib.cohorts.readers import acdc, adni, bids, dicom, isles, lumiere, oasis, patient_folders
from CRONOSLib.cohorts.readers.found import Layout
from CRONOSLib.cohorts.readers.patients import FoundCohort, patients_of
from CRONOSLib.errors import CohortError

AUTO = "auto"
_DATA_SETS = (acdc.LAYOUT, isles.LAYOUT, lumiere.LAYOUT, adni.LAYOUT, oasis.LAYOUT)
_GENERAL = (bids.LAYOUT, patient_folders.LAYOUT, dicom.LAYOUT)
LAYOUTS = (*_DATA_SETS, *_GENERAL)


def layout_of(folder: Path, name: str = AUTO) -> Layout:
    """The layout of a folder: the one named, else the one that the folder is recognised by.

    The layouts of data sets are asked first, then BIDS, dated names and DICOM, in this order.

    Raises CohortError when the folder is none, the name is unknown, the named layout does not fit, or none or several
    fit.
    """
    if not folder.is_dir():
        raise CohortError(f"'{folder}' is not a folder. Give the folder that holds the patients.")
    if name != AUTO:
        return _named(folder, name)
    fitting = [layout for layout in _DATA_SETS if layout.recognises(folder)]
    if len(fitting) > 1:
        names = " and ".join(layout.name for layout in fitting)
        raise CohortError(f"'{folder}' looks like {names}. Say which one with --layout, or give the folder of one.")
    general = (layout for layout in _GENERAL if layout.recognises(folder))
    layout = fitting[0] if fitting else next(general, None)
    if layout is None:
        known = "; ".join(f"{layout.name}: {layout.expects}" for layout in LAYOUTS)
        raise CohortError(f"'{folder}' is laid out in no way that is known ({known}). Sort it like one of these.")
    return layout


def find_cohort(
    folder: Path, layout: str = AUTO, channel: str | None = None, *, single_scans: bool = False
) -> FoundCohort:
    """The patients in a folder, by names and headers; no image is read, except gated DICOM.

    channel, single_scans: as `patients_of` takes them

    Raises CohortError as `layout_of` and `patients_of` do.
    """
    folder = Path(folder).absolute()
    return patients_of(folder, layout_of(folder, layout), channel, single_scans=single_scans)


def _named(folder: Path, name: str) -> Layout:
    layout = next((layout for layout in LAYOUTS if layout.name == name), None)
    if layout is None:
        names = ", ".join((AUTO, *(layout.name for layout in LAYOUTS)))
        raise CohortError(f"There is no layout '{name}'. Choose one of {names}.")
    if not layout.recognises(folder):
        raise CohortError(f"'{folder}' is not laid out like {layout.title}. It should hold {layout.expects}.")
    return layout
