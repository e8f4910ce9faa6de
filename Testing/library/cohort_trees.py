"""Small data sets in their official layouts, of files in their real formats, that tests write themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

SIZE = (12, 14, 8)


def head(seed: int, radius: float = 4.0) -> sitk.Image:
    """A noisy ball in air, float32, 4 mm voxels; every seed is another patient."""
    z, y, x = np.indices(SIZE[::-1])
    centre = [(count - 1) / 2 for count in SIZE]
    inside = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2 < radius**2
    noise = np.random.default_rng(seed).normal(0, 5, SIZE[::-1])
    image = sitk.GetImageFromArray((100 * inside + 20 + noise).astype(np.float32))
    image.SetSpacing((4.0, 4.0, 4.0))
    return image


def label() -> sitk.Image:
    """A mask of the lower half of `head`."""
    array = np.zeros(SIZE[::-1], np.uint8)
    array[: SIZE[2] // 2] = 1
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((4.0, 4.0, 4.0))
    return image


def cine(seed: int, frames: int, step: float = 1.0) -> sitk.Image:
    """A 4D image of `frames` heads, `step` apart in the header's unit of time (s)."""
    return sitk.JoinSeries([head(1000 * seed + frame, 3 + 0.1 * frame) for frame in range(frames)], 0.0, step)


def write(image: sitk.Image, path: Path) -> Path:
    """Write an image in the format of its name, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path), useCompression=True)
    return path


def cut(path: Path) -> Path:
    """Cut a file off in the middle, as a broken download does."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def acdc_patient(folder: Path, *, ed: int = 1, es: int = 4, frames: int = 6) -> Path:
    """`patientNNN/` of ACDC."""
    number = int(folder.name.removeprefix("patient"))
    write(cine(number, frames), folder / f"{folder.name}_4d.nii.gz")
    for frame in (ed, es):
        write(label(), folder / f"{folder.name}_frame{frame:02d}_gt.nii.gz")
        write(head(frame), folder / f"{folder.name}_frame{frame:02d}.nii.gz")
    info = f"ED: {ed}\nES: {es}\nGroup: DCM\nHeight: 184.0\nNbFrame: {frames}\nWeight: 95.0\n"
    (folder / "Info.cfg").write_text(info)
    return folder


def acdc(folder: Path, training: int = 3, testing: int = 1) -> Path:
    """ACDC with `training/patient001…` and `testing/patient101…`."""
    for number in range(1, training + 1):
        acdc_patient(folder / "training" / f"patient{number:03d}")
    for number in range(101, testing + 101):
        acdc_patient(folder / "testing" / f"patient{number:03d}")
    return folder


def isles(folder: Path, patients: int = 3, frames: int = 4, step: float = 1.5) -> Path:
    """ISLES 2024 as its archive unpacks: `train/raw_data` and `train/derivatives`."""
    for number in range(1, patients + 1):
        subject = f"sub-stroke{number:04d}"
        raw = folder / "train" / "raw_data" / subject / "ses-01"
        derived = folder / "train" / "derivatives" / subject
        write(cine(number, frames, step), raw / f"{subject}_ses-01_ctp.nii.gz")
        write(head(number), raw / f"{subject}_ses-01_ncct.nii.gz")
        write(cine(number, frames, step), derived / "ses-01" / f"{subject}_ses-01_space-ncct_ctp.nii.gz")
        write(head(number), derived / "ses-01" / "perfusion-maps" / f"{subject}_ses-01_space-ncct_tmax.nii.gz")
        write(label(), derived / "ses-02" / f"{subject}_ses-02_space-ncct_lesion-msk.nii.gz")
    return folder


def lumiere(folder: Path, weeks: Sequence[str] = ("week-000-1", "week-000-2", "week-044"), patients: int = 3) -> Path:
    """LUMIERE as its archive unpacks: `Imaging/Patient-NNN/week-WWW`, tables beside."""
    rows = ["Patient,Timepoint,CT1,T1,T2,FLAIR,DeepBraTumIA,HD-GLIO-AUTO"]
    for number in range(1, patients + 1):
        patient = f"Patient-{number:03d}"
        for place, week in enumerate(weeks):
            session = folder / "Imaging" / patient / week
            for channel in ("CT1", "T1", "T2", "FLAIR"):
                write(head(100 * number + place + len(channel)), session / f"{channel}.nii.gz")
            native = session / "HD-GLIO-AUTO-segmentation" / "native"
            write(label(), native / "segmentation_CT1_origspace.nii.gz")
            rows.append(f"{patient},{week},x,x,x,x,x,x")
    (folder / "LUMIERE-datacompleteness.csv").write_text("\n".join(rows) + "\n")
    return folder


def adni(folder: Path, patients: int = 3) -> Path:
    """ADNI as the archive unpacks a collection of NIfTI files, with a repeated sequence on the first day."""
    for number in range(1, patients + 1):
        subject = folder / "ADNI" / f"002_S_{number:04d}"
        for place, (sequence, moment) in enumerate(
            (
                ("MPR__GradWarp__B1_Correction__N3__Scaled", "2006-04-18_08_20_30.0"),
                ("MPR-R__GradWarp__B1_Correction__N3__Scaled", "2006-04-18_08_20_30.0"),
                ("MPR____N3__Scaled", "2007-05-01_12_00_00.0"),
            )
        ):
            image = f"I{number}{place}"
            name = f"ADNI_{subject.name}_MR_{sequence}_Br_20070319113623975_S1_{image}.nii"
            write(head(10 * number + place), subject / sequence / moment / image / name)
    return folder


def oasis2(folder: Path, patients: int = 3) -> Path:
    """OASIS-2 in its two parts, with its table saved as CSV."""
    rows = ["Subject ID,MRI ID,Group,Visit,MR Delay"]
    for number in range(1, patients + 1):
        subject = f"OAS2_{number:04d}"
        for visit, delay in enumerate((0, 457), start=1):
            session = folder / f"OAS2_RAW_PART{1 + number % 2}" / f"{subject}_MR{visit}"
            for repeat in (1, 2):
                write(head(100 * number + 10 * visit + repeat), session / "RAW" / f"mpr-{repeat}.nifti.hdr")
            rows.append(f"{subject},{session.name},Nondemented,{visit},{delay}")
    (folder / "oasis_longitudinal_demographics.csv").write_text("\n".join(rows) + "\n")
    return folder


def oasis3(folder: Path, patients: int = 3) -> Path:
    """OASIS-3, whose names tell the days."""
    for number in range(1, patients + 1):
        for day in (129, 757):
            subject = f"OAS3{number:04d}"
            name = f"sub-{subject}_ses-d{day:04d}_T1w.nii.gz"
            write(head(number + day), folder / f"{subject}_MR_d{day:04d}" / "anat2" / name)
    return folder


def bids(folder: Path, patients: int = 3) -> Path:
    """BIDS: dates in sessions.tsv; of the last patient, in the session label."""
    for number in range(1, patients + 1):
        subject = folder / f"sub-{number:02d}"
        dated = number == patients
        sessions = ("20200101", "20200601") if dated else ("01", "02")
        for session in sessions:
            name = f"{subject.name}_ses-{session}_T1w.nii.gz"
            write(head(number * 7 + int(session) % 97), subject / f"ses-{session}" / "anat" / name)
        if not dated:
            table = "session_id\tacq_time\nses-01\t2019-03-01T09:00:00\nses-02\t2019-09-01T09:00:00\n"
            (subject / f"{subject.name}_sessions.tsv").write_text(table)
    (folder / "dataset_description.json").write_text('{"Name": "heads", "BIDSVersion": "1.10.0"}')
    return folder


def named(folder: Path, patients: int = 3, days: Sequence[str] = ("2020-01-01", "2020-03-01", "2020-07-15")) -> Path:
    """A folder for each patient with dates in the names, and a mask at the last day."""
    for number in range(1, patients + 1):
        patient = folder / f"patient-{number:02d}"
        for place, day in enumerate(days):
            write(head(10 * number + place, 3 + 0.4 * place), patient / f"{day}_T1w.nii.gz")
        write(label(), patient / f"{days[-1]}_seg.nii.gz")
    return folder
