"""DICOM files that tests write themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid


def slice_header(position: tuple[float, ...], **tags: Any) -> Dataset:
    """An MR slice without voxels at a position (mm, LPS); `tags` are DICOM keywords that replace the defaults."""
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = MRImageStorage
    defaults: dict[str, Any] = {
        "SOPClassUID": MRImageStorage,
        "SOPInstanceUID": generate_uid(),
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.1",
        "PatientID": "P7",
        "Modality": "MR",
        "SeriesDescription": "T1",
        "StudyDate": "20240301",
        "ImagePositionPatient": list(position),
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [0.9, 0.7],
        "SliceThickness": 5,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
    }
    for tag, value in (defaults | tags).items():
        if value is not None:
            setattr(header, tag, value)
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    return header


def save(header: Dataset, voxels: np.ndarray, path: Path) -> None:
    """Writes voxels (rows, columns) or (frames, rows, columns), int16, under this header."""
    header.Rows, header.Columns = voxels.shape[-2:]
    header.PixelData = voxels.astype("<i2").tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(path, enforce_file_format=True)


def save_series(
    folder: Path, voxels: np.ndarray, *, gap_mm: float = 4.0, names: str = "IM{:04d}", **tags: Any
) -> list[Dataset]:
    """One file for each slice of voxels (slices, rows, columns), `gap_mm` apart along z, in reversed file order."""
    headers = []
    for number, array in enumerate(voxels):
        header = slice_header((-10.0, -20.0, 30.0 + gap_mm * number), **tags)
        save(header, array, folder / names.format(len(voxels) - number))
        headers.append(header)
    return headers


def save_cine(folder: Path, voxels: np.ndarray, *, beat_ms: tuple[float, ...], **tags: Any) -> None:
    """A gated series of voxels (phases, slices, rows, columns); slice z takes `beat_ms[z]` for each phase."""
    for place in range(voxels.shape[1]):
        for phase in range(voxels.shape[0]):
            own = {"TriggerTime": beat_ms[place] * phase, "SeriesInstanceUID": "1.2.3.9"} | tags
            header = slice_header((0.0, 0.0, 10.0 * place), **own)
            save(header, voxels[phase, place], folder / f"slice{place}" / f"{phase:03d}.dcm")


def save_enhanced(path: Path, voxels: np.ndarray, *, order: list[int]) -> None:
    """One file of several frames, voxels (slices, rows, columns) 3 mm apart, stored in this order of slices."""
    header = slice_header((0, 0, 0), ImagePositionPatient=None, ImageOrientationPatient=None, PixelSpacing=None)
    header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    header.SliceThickness = None
    header.NumberOfFrames = len(order)
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([_with(PixelSpacing=[0.9, 0.7], SliceThickness=3)])
    shared.PlaneOrientationSequence = Sequence([_with(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])])
    header.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = [_with(PlanePositionSequence=Sequence([_with(ImagePositionPatient=[0, 0, 3.0 * z])])) for z in order]
    header.PerFrameFunctionalGroupsSequence = Sequence(frames)
    save(header, voxels[order], path)


def _with(**tags: Any) -> Dataset:
    item = Dataset()
    for tag, value in tags.items():
        setattr(item, tag, value)
    return item
