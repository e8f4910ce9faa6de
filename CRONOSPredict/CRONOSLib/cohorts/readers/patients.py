"""From scans that were found to patients with dated visits of one channel."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from CRONOSLib.cohorts.manifest import Visit, as_written
from CRONOSLib.cohorts.readers.found import Findings, FoundPatient, FoundScan, Layout, Skipped, by_reason
from CRONOSLib.errors import CohortError
from CRONOSLib.imaging.names import listed
from CRONOSLib.series import TimeUnit

LEAST_PATIENTS = 3
"""One each to learn from, to choose on and to measure on."""

LEAST_VISITS = 2
"""One to forecast from, one to forecast."""

_MOST_REASONS = 3
_SAFE = re.compile(r"[\w-][\w.\- ]*")


@dataclass(frozen=True)
class FoundCohort:
    """Patients of one channel in a folder, before their images are read.

    patients:     each with two visits or more, or with one where `single_scans` are kept
    channels:     name -> number of patients that have such scans, whichever was taken
    """

    folder: Path
    layout: Layout
    patients: tuple[FoundPatient, ...]
    skipped: tuple[Skipped, ...]
    unit: TimeUnit
    channel: str
    channels: dict[str, int]
    single_scans: bool = False


def patients_of(folder: Path, layout: Layout, channel: str | None = None, *, single_scans: bool = False) -> FoundCohort:
    """The patients in a folder of this layout with two visits or more of one channel.

    Dates become days since a patient's first visit. Where one patient's scans have dates and another's numbers, the
    kind of time that most patients have is kept. Of several scans at one time the first by name is taken.

    channel: as the layout calls it, in any case of letters; None: that of the layout, else the one that most patients
             have twice or more
    single_scans: keep patients with one visit, to train on changes that are made up; not those that a data set wants
             to be measured on

    Raises CohortError when no scan has this channel or there are fewer than three usable patients.
    """
    findings = layout.find(folder)
    channels = dict(Counter(name for _, name in {(scan.subject, scan.channel) for scan in findings.scans}))
    chosen = _chosen(findings, channels, channel or layout.channel)
    own = [scan for scan in findings.scans if scan.channel == chosen]
    timed, skipped = _of_one_kind_of_time(own)
    by_subject: dict[str, list[FoundScan]] = defaultdict(list)
    for scan in timed:
        by_subject[scan.subject].append(scan)
    patients = []
    for subject, scans in sorted(by_subject.items()):
        patient, left_out = _patient(subject, scans, single_scans)
        skipped += left_out
        patients += [patient] if patient else []
    skipped += _without(chosen, findings.scans)
    dated = any(isinstance(scan.when, datetime) for scan in timed)
    found = FoundCohort(
        folder=folder,
        layout=layout,
        patients=tuple(patients),
        skipped=(*findings.skipped, *skipped),
        unit=TimeUnit.DAY if dated else findings.unit,
        channel=chosen,
        channels=channels,
        single_scans=single_scans,
    )
    require_enough(found.patients, found.skipped)
    return found


def with_several_visits(patients: Iterable[FoundPatient]) -> list[FoundPatient]:
    """Those who can be measured on."""
    return [patient for patient in patients if len(patient.visits) >= LEAST_VISITS]


def require_enough(found: Sequence[FoundPatient], skipped: Sequence[Skipped]) -> None:
    """Raises CohortError when a cohort of these patients cannot be split into three parts."""
    patients = len(with_several_visits(found))
    if patients >= LEAST_PATIENTS:
        return
    reasons = by_reason(skipped)[:_MOST_REASONS]
    why = "; ".join(f"{reason} ({count}×)" if count > 1 else reason for reason, count, _ in reasons)
    raise CohortError(
        f"{patients} of the patients can be used, but at least {LEAST_PATIENTS} with {LEAST_VISITS} scans each are "
        f"needed. {f'Left out: {why}.' if why else 'Give a folder with more patients.'}"
    )


def _chosen(findings: Findings, channels: dict[str, int], wanted: str | None) -> str:
    if not channels:
        require_enough((), findings.skipped)
    if wanted is None:
        usable: Counter[str] = Counter()
        for (_, name), count in Counter((scan.subject, scan.channel) for scan in findings.scans).items():
            usable[name] += count >= LEAST_VISITS
        return max(sorted(usable), key=lambda name: (usable[name], name != ""))
    matching = [name for name in channels if name.lower() == wanted.lower()]
    if not matching:
        raise CohortError(f"No scan has the channel '{wanted}'. There are: {listed(channels, most=12)}.")
    return matching[0]


def _without(channel: str, scans: Sequence[FoundScan]) -> list[Skipped]:
    """Patients, and examinations of the others, that have scans of other channels only."""
    own = {scan.subject for scan in scans if scan.channel == channel}
    taken = {(scan.subject, scan.when) for scan in scans if scan.channel == channel}
    patients = sorted({scan.subject for scan in scans} - own)
    others = {
        (scan.subject, scan.when): scan.path
        for scan in scans
        if scan.subject in own and (scan.subject, scan.when) not in taken
    }
    return [
        *(Skipped(subject, None, f"the patient has no scan of channel '{channel}'") for subject in patients),
        *(
            Skipped(subject, path, f"no scan of channel '{channel}' was made with it")
            for (subject, _), path in others.items()
        ),
    ]


def _of_one_kind_of_time(scans: Sequence[FoundScan]) -> tuple[list[FoundScan], list[Skipped]]:
    kinds = Counter(kind for _, kind in {(scan.subject, isinstance(scan.when, datetime)) for scan in scans})
    dates = kinds[True] >= kinds[False]
    kept = [scan for scan in scans if isinstance(scan.when, datetime) == dates]
    reason = "it has times within one examination, the others have dates" if dates else "it has a date, the others not"
    left_out = {(scan.subject, scan.path) for scan in scans if isinstance(scan.when, datetime) != dates}
    return kept, [Skipped(subject, path, reason) for subject, path in sorted(left_out)]


def _patient(subject: str, scans: Sequence[FoundScan], single_scans: bool) -> tuple[FoundPatient | None, list[Skipped]]:
    if not _SAFE.fullmatch(subject):
        return None, [Skipped(subject, None, "the name of the patient has signs that a folder cannot have; rename it")]
    by_time: dict[datetime | float, FoundScan] = {}
    skipped = []
    for scan in sorted(scans, key=lambda scan: (str(scan.path), scan.frame or 0)):
        taken = by_time.setdefault(scan.when, scan)
        if taken is not scan:
            skipped.append(Skipped(subject, scan.path, f"'{taken.path.name}' of the same time is used"))
    ordered = [by_time[when] for when in sorted(by_time)]
    if len(ordered) < least_visits(ordered[0].split, single_scans):
        return None, [*skipped, Skipped(subject, None, "the patient has one scan only")]
    visits = tuple(_visit(scan, ordered[0].when) for scan in ordered)
    return FoundPatient(subject, visits, ordered[0].split), skipped


def least_visits(split: str | None, single_scans: bool) -> int:
    """How many scans a patient of this official split needs to be of use."""
    return 1 if single_scans and split in (None, "train") else LEAST_VISITS


def _visit(scan: FoundScan, first: datetime | float) -> Visit:
    dated = isinstance(scan.when, datetime) and isinstance(first, datetime)
    time = (scan.when - first) / timedelta(days=1) if dated else float(scan.when)  # type: ignore
    day = scan.when.date() if isinstance(scan.when, datetime) else None
    return Visit(as_written(time), scan.path, day, scan.frame, scan.channel, scan.mask)
