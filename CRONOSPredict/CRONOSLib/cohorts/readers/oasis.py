"""OASIS-2 and OASIS-3: ageing brains over years.

Layout of OASIS-2: `OAS2_NNNN_MRn/RAW/mpr-K.nifti.hdr` with `.img`; the days since the first visit stand in the column
`MR Delay` of `oasis_longitudinal_demographics` (Marcus et al. 2010, doi 10.1162/jocn.2009.21407).
Layout of OASIS-3: `OAS3NNNN_MR_dDDDD/**/*_T1w.nii.gz`; dDDDD are the days since entry (LaMontagne et al. 2019,
doi 10.1101/2019.12.13.19014902). Both at https://sites.wustl.edu/oasisbrains.
"""

from __future__ import annotations

import re
from pathlib import Path

from CRONOSLib.cohorts.readers.found import AT_3_MM, Findings, FoundScan, Layout, Skipped
from CRONOSLib.cohorts.readers.trees import folders_named, holds, rows_of, tables_at
from CRONOSLib.errors import CohortError
from CRONOSLib.imaging.bids import bids_name
from CRONOSLib.imaging.names import is_volume_name, names_a_mask, stem
from CRONOSLib.series import TimeUnit

_SESSION = re.compile(r"(OAS2_\d{4})_MR\d+|(OAS3\d{4})_MR_d(\d+)")
_TABLE = "oasis_longitudinal*"


def find(folder: Path) -> Findings:
    """Every image of every session, in days since the first visit (OASIS-2) or since entry (OASIS-3).

    Raises CohortError when there are OASIS-2 sessions without their table.
    """
    scans: list[FoundScan] = []
    skipped: list[Skipped] = []
    sessions = [(path, found) for path in folders_named(folder, _SESSION) if (found := _SESSION.fullmatch(path.name))]
    delays = _delays(folder) if any(found[1] for _, found in sessions) else {}
    for session, found in sessions:
        subject = found[1] or found[2]
        day = delays.get(session.name) if found[1] else float(found[3])
        if day is None:
            skipped.append(Skipped(subject, session, "the table of OASIS-2 gives no MR Delay for this session"))
            continue
        images = sorted(path for path in session.rglob("*") if _is_image(path))
        scans += [FoundScan(subject, day, path, _channel(path)) for path in images]
        if not images:
            skipped.append(Skipped(subject, session, "the session holds no image"))
    return Findings(tuple(scans), tuple(skipped), TimeUnit.DAY)


def _is_image(path: Path) -> bool:
    pair = path.suffix == ".hdr" and path.with_suffix(".img").is_file()
    return pair or (is_volume_name(path) and not names_a_mask(path))


def _channel(path: Path) -> str:
    """`mpr-1` of `mpr-1.nifti.hdr`, `T1w` of a BIDS name."""
    name = bids_name(path)
    return name.suffix if name else stem(path).split(".")[0]


def _delays(folder: Path) -> dict[str, float]:
    """Days since the first visit of every session, by its `MRI ID`."""
    tables = tables_at(folder, _TABLE)
    table = next((table for table in tables if table.suffix.lower() == ".csv"), None)
    if table is None:
        what = f"Save '{tables[0]}' as CSV" if tables else "Put oasis_longitudinal_demographics, saved as CSV,"
        raise CohortError(f"The visits of OASIS-2 have no dates in their names. {what} in the same folder.")
    try:
        return {row["MRI ID"].strip(): float(row["MR Delay"]) for row in rows_of(table)}
    except (KeyError, ValueError, TypeError, AttributeError):
        raise CohortError(f"'{table.name}' lacks the columns MRI ID and MR Delay. Save the original as CSV.") from None


LAYOUT = Layout(
    name="oasis",
    title="OASIS-2 and OASIS-3, ageing brains",
    expects="OAS2_NNNN_MRn/RAW/mpr-1.nifti.hdr, or OAS3NNNN_MR_dDDDD/…/*_T1w.nii.gz",
    recognises=lambda folder: holds(folder, "OAS[23]*_MR*"),
    find=find,
    preprocessing=AT_3_MM,
)
