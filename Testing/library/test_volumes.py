"""Files read as scans, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from CRONOSLib.errors import ImageError, OutputError
from CRONOSLib.imaging import files
from CRONOSLib.imaging.frames import frame_times
from CRONOSLib.imaging.volumes import check_volume, label_map_doubt, read_frames, read_volume, write_volume
from CRONOSLib.series import TimeUnit

ENDINGS = ("nii", "nii.gz", "nrrd", "mha", "mhd")


def noise(shape: tuple[int, ...] = (6, 7, 8), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-500, 500, shape).astype(np.int16)


@pytest.fixture
def oblique() -> sitk.Image:
    image = sitk.GetImageFromArray(noise())
    image.SetSpacing((0.7, 0.9, 3.5))
    image.SetOrigin((-12.5, 40.0, 7.25))
    turn = sitk.Euler3DTransform((0, 0, 0), 0.2, -0.3, 0.5)
    image.SetDirection(turn.GetMatrix())
    return image


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_volume_comes_back_in_its_place_with_its_values(ending: str, oblique: sitk.Image, tmp_path: Path) -> None:
    path = tmp_path / f"Müller 扫描.{ending}"
    write_volume(oblique, path)
    read = read_volume(path)
    assert read.GetPixelID() == sitk.sitkFloat32
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read), sitk.GetArrayViewFromImage(oblique))
    corner = [size - 1 for size in oblique.GetSize()]
    for index in ([0, 0, 0], corner):
        np.testing.assert_allclose(
            read.TransformIndexToPhysicalPoint(index), oblique.TransformIndexToPhysicalPoint(index), atol=1e-3
        )


def test_writing_leaves_nothing_else_behind(oblique: sitk.Image, tmp_path: Path) -> None:
    write_volume(oblique, tmp_path / "a.b.nii.gz")
    assert [path.name for path in tmp_path.iterdir()] == ["a.b.nii.gz"]


@pytest.mark.parametrize("where", ["missing/a.nrrd", "a.unknown"])
def test_a_volume_that_cannot_be_written_is_an_output_error(where: str, oblique: sitk.Image, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_volume(oblique, tmp_path / where)
    assert not list(tmp_path.rglob("*.*"))


@pytest.mark.parametrize("ending", ["nii", "nii.gz", "nrrd", "mha"])
@pytest.mark.parametrize("kept", [0.9, 0.5, 0.02, 0])
def test_a_cut_off_file_is_refused(ending: str, kept: float, tmp_path: Path) -> None:
    path = tmp_path / f"scan.{ending}"
    write_volume(sitk.GetImageFromArray(noise((20, 20, 20))), path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(ImageError, match=r"damaged or cut off|is empty"):
        read_volume(path)


def test_a_missing_file_a_folder_and_a_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="does not exist"):
        read_volume(tmp_path / "no.nii")
    with pytest.raises(ImageError, match="is a folder"):
        read_volume(tmp_path)
    (tmp_path / "notes.txt").write_text("not an image")
    with pytest.raises(ImageError, match="not an image that can be read"):
        read_volume(tmp_path / "notes.txt")


def test_a_file_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.nrrd"
    write_volume(sitk.GetImageFromArray(noise()), path)
    path.chmod(0)
    if os.access(path, os.R_OK):  # the superuser reads everything

        def refuse(*_: object) -> None:
            raise PermissionError

        monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(ImageError, match="may not be read"):
        read_volume(path)


def test_a_volume_of_600_cubed_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.mhd"
    path.write_text("NDims = 3\nDimSize = 600 600 600\nElementType = MET_SHORT\nElementDataFile = huge.raw\n")
    with pytest.raises(ImageError, match=r"600 × 600 × 600 voxels.*Crop or resample"):
        files.open_image(path)


def refused(array: np.ndarray, name: str = "scan.nrrd", vector: bool = False) -> str:
    with pytest.raises(ImageError) as error:
        check_volume(sitk.GetImageFromArray(array, isVector=vector), name)
    return str(error.value)


def test_what_is_no_scan_is_refused_by_one_sentence() -> None:
    holes = noise().astype(np.float32)
    holes[1, 2, 3:5] = np.nan, np.inf
    assert "is a 2D image (8 × 7)" in refused(noise((7, 8)))
    assert "3 values per voxel, like a colour image" in refused(noise((5, 6, 7, 3)), vector=True)
    assert "4 dimensions" in refused(noise((2, 5, 6, 7)))
    assert "one slice only (8 × 7 × 1)" in refused(noise((1, 7, 8)))
    assert "2 voxels that are NaN or infinite" in refused(holes)
    assert "Every voxel of 'scan.nrrd' is 0" in refused(np.zeros((4, 5, 6)))
    assert "complex" in refused(noise().astype(np.complex64))


@pytest.mark.parametrize("ending", ["nii", "nii.gz", "hdr", "nrrd", "mha"])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_voxels_that_are_not_finite_are_refused_in_every_format(ending: str, kind: type, tmp_path: Path) -> None:
    holes = noise().astype(kind)
    holes[1, 2, 3:5] = np.nan, np.inf
    sitk.WriteImage(sitk.GetImageFromArray(holes), str(tmp_path / f"scan.{ending}"))
    with pytest.raises(ImageError, match=f"'scan.(img|{ending})' has 2 voxels that are NaN or infinite"):
        read_volume(tmp_path / f"scan.{ending}")


def test_nifti_of_the_other_byte_order_is_read(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    values = noise().astype(np.float32)
    values[0, 0, 0] = np.uint32(0x43FA807F).view(np.float32)  # 501.004, but not a number when read the wrong way round
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / "little.nii"))
    little = (tmp_path / "little.nii").read_bytes()
    header = nibabel.Nifti1Header(little[:348]).as_byteswapped(">").binaryblock
    (tmp_path / "big.nii").write_bytes(header + little[348:352] + values.astype(">f4").tobytes())
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_volume(tmp_path / "big.nii")), values)


@pytest.mark.parametrize("ending", ["nii.gz", "nrrd", "mha"])
def test_a_colour_file_is_called_one(ending: str, tmp_path: Path) -> None:
    colour = sitk.GetImageFromArray(noise((5, 6, 7, 3)).astype(np.uint8), isVector=True)
    sitk.WriteImage(colour, str(tmp_path / f"rgb.{ending}"))
    with pytest.raises(ImageError, match="3 values per voxel"):
        read_volume(tmp_path / f"rgb.{ending}")


def test_label_maps_are_refused_when_it_is_certain() -> None:
    labels = np.clip(noise(), 0, 5)
    assert "looks like a label map" in refused((labels > 2).astype(np.float64), "tumor.nii.gz")
    for name in ("brain_seg.nrrd", "T1-label.nii", "patient.seg.nrrd", "sub-1_dseg.nii.gz", "mask.nii.gz", "roi2.mha"):
        assert "looks like a label map" in refused(labels, name)


def test_a_scan_of_few_grey_values_is_doubted_but_taken() -> None:
    phantom = sitk.GetImageFromArray(noise() % 6)
    check_volume(phantom, "phantom.nrrd")
    assert "6 different values only" in (label_map_doubt(phantom, "phantom.nrrd") or "")
    assert label_map_doubt(sitk.GetImageFromArray(noise()), "T1_masked.nrrd") is None


def test_a_real_scan_may_be_called_a_mask() -> None:
    check_volume(sitk.GetImageFromArray(noise()), "masked_or_mask.nrrd")


@pytest.mark.parametrize("ending", ["nii.gz", "nrrd", "mha"])
def test_the_frames_of_a_4d_file_are_scans_of_their_own(ending: str, oblique: sitk.Image, tmp_path: Path) -> None:
    frames = [oblique, oblique + 1, oblique + 2]
    sitk.WriteImage(sitk.JoinSeries(frames, 0.0, 2.5), str(tmp_path / f"four.{ending}"))
    read = read_frames(tmp_path / f"four.{ending}")
    for frame, image in zip(read, frames, strict=True):
        np.testing.assert_array_equal(sitk.GetArrayFromImage(frame), sitk.GetArrayViewFromImage(image))
        np.testing.assert_allclose(frame.GetDirection(), oblique.GetDirection(), atol=1e-5)
    with pytest.raises(ImageError, match="holds 3 frames"):
        read_volume(tmp_path / f"four.{ending}")


def test_nifti_frame_spacing_is_time_unless_it_is_the_default(oblique: sitk.Image, tmp_path: Path) -> None:
    for step in (2.5, 1.0):
        sitk.WriteImage(sitk.JoinSeries([oblique, oblique + 1], 0.0, step), str(tmp_path / f"{step}.nii"))
    told, default = frame_times(tmp_path / "2.5.nii"), frame_times(tmp_path / "1.0.nii")
    assert told is not None
    assert default is not None
    assert (told.values, told.unit) == ((0.0, 2.5), TimeUnit.SECOND)
    assert default.unit is None


@pytest.mark.parametrize("frame_axis", [0, 3])
def test_a_slicer_sequence_keeps_its_index_values(frame_axis: int, tmp_path: Path) -> None:
    path, voxels = tmp_path / "beat.seq.nrrd", noise((3, 4, 5, 6))
    kinds, sizes, directions = ["domain"] * 3, ["6", "5", "4"], ["(2,0,0)", "(0,3,0)", "(0,0,4)"]
    for parts, frame in ((kinds, "list"), (sizes, "3"), (directions, "none")):
        parts.insert(frame_axis, frame)
    units = ['""'] * 3
    units.insert(frame_axis, '"ms"')
    header = (
        f"NRRD0004\ntype: short\ndimension: 4\nspace: left-posterior-superior\nsizes: {' '.join(sizes)}\n"
        f"space directions: {' '.join(directions)}\nkinds: {' '.join(kinds)}\nunits: {' '.join(units)}\n"
        f"endian: little\nencoding: raw\nspace origin: (1,2,3)\n"
        f"axis {frame_axis} index type:=numeric\naxis {frame_axis} index values:=0 12.5 40\n\n"
    )
    data = voxels if frame_axis == 3 else np.moveaxis(voxels, 0, -1)  # numpy's axes run the other way round
    path.write_bytes(header.encode() + data.astype("<i2").tobytes())
    for frame, array in zip(read_frames(path), voxels, strict=True):
        np.testing.assert_array_equal(sitk.GetArrayFromImage(frame), array)
        assert frame.GetSpacing() == (2, 3, 4)
    times = frame_times(path)
    assert times is not None
    assert (times.values, times.unit) == ((0.0, 12.5, 40.0), TimeUnit.MILLISECOND)
