"""Alignment finds a known displacement, reports it, and never makes things worse."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import SimpleITK as sitk
from CRONOSLib.errors import AlignmentError
from CRONOSLib.imaging import registration
from CRONOSLib.imaging.grid import Grid
from CRONOSLib.imaging.registration import Alignment, AlignmentReport, align
from real_patients import REAL_PATIENTS, needs


def head(size: tuple[int, int, int] = (64, 64, 16), spacing: tuple[float, ...] = (3.0, 3.0, 8.0)) -> sitk.Image:
    """A skull around textured tissue with two ventricles: nothing symmetric, thick slices."""
    grid = Grid(size, spacing, (-90.0, -100.0, -60.0), tuple(np.eye(3).ravel()))
    steps = [(np.arange(count) - (count - 1) / 2) * step for count, step in zip(size, spacing)]
    z, y, x = np.meshgrid(steps[2], steps[1], steps[0], indexing="ij")
    radius = np.sqrt((x / 65) ** 2 + (y / 80) ** 2 + (z / 55) ** 2)
    texture = np.sin(x / 9) * np.cos(y / 11 + z / 14) + 0.5 * np.sin((x + 2 * y) / 23)
    array = np.where(radius < 1, 100 + 15 * texture, 0) + 120 * ((radius > 0.88) & (radius < 1))
    array[np.sqrt((x - 15) ** 2 / 2 + (y + 8) ** 2 / 6 + z**2 / 3) < 9] = 30
    return grid.to_image(array + np.random.default_rng(0).normal(0, 2, array.shape))


def displaced(image: sitk.Image, transform: sitk.Euler3DTransform) -> sitk.Image:
    """The same voxels with a header that puts every point p at transform(p): nothing is interpolated."""
    turn = np.array(transform.GetMatrix()).reshape(3, 3) @ np.array(image.GetDirection()).reshape(3, 3)
    moved = sitk.Image(image)
    moved.SetOrigin(transform.TransformPoint(image.GetOrigin()))
    moved.SetDirection(turn.ravel().tolist())
    return moved


def error_mm(report: AlignmentReport, truth: sitk.Transform, grid: Grid) -> float:
    """Mean distance between where the alignment and the truth put the points of a grid."""
    pairs = [(report.transform.TransformPoint(p), truth.TransformPoint(p)) for p in grid.lattice(5).tolist()]
    return float(np.mean([np.linalg.norm(np.subtract(found, true)) for found, true in pairs]))


@pytest.fixture(scope="module")
def fixed() -> sitk.Image:
    return head()


@pytest.fixture
def displacement(fixed: sitk.Image) -> sitk.Euler3DTransform:
    return sitk.Euler3DTransform(Grid.of(fixed).centre, 0.1, -0.05, 0.2, (12.0, -7.0, 9.0))


@pytest.mark.parametrize("kind", [Alignment.RIGID, Alignment.AFFINE])
def test_a_known_displacement_is_found(fixed: sitk.Image, displacement: sitk.Transform, kind: Alignment) -> None:
    report = align(displaced(fixed, displacement) * 3 + 50, fixed, kind)
    assert report.accepted
    assert report.warning is None
    assert report.similarity_after > report.similarity_before + 0.1
    assert error_mm(report, displacement, Grid.of(fixed)) < 0.6
    assert report.translation_mm == pytest.approx((12, -7, 9), abs=0.8)
    assert report.rotation_degrees == pytest.approx(13.2, abs=0.8)


def test_a_far_header_is_found_through_the_starts(fixed: sitk.Image) -> None:
    far = sitk.Euler3DTransform(Grid.of(fixed).centre, 0.1, 0.0, 0.0, (95.0, 60.0, 20.0))
    report = align(displaced(fixed, far), fixed, Alignment.RIGID)
    assert error_mm(report, far, Grid.of(fixed)) < 1.0


def test_the_same_scans_give_the_same_alignment(fixed: sitk.Image, displacement: sitk.Transform) -> None:
    moving = displaced(fixed, displacement)
    first, second = (align(moving, fixed, Alignment.RIGID) for _ in range(2))
    assert first.transform.GetParameters() == second.transform.GetParameters()
    assert first.to_json() == second.to_json()


def test_blank_slices_do_not_hurt(fixed: sitk.Image, displacement: sitk.Transform) -> None:
    padded = sitk.ConstantPad(fixed, (0, 0, 4), (0, 0, 3), 0.0)
    moving = sitk.ConstantPad(displaced(fixed, displacement), (0, 0, 2), (0, 0, 6), 0.0)
    report = align(moving, padded, Alignment.RIGID)
    assert error_mm(report, displacement, Grid.of(fixed)) < 0.8


def test_a_mask_says_what_counts(fixed: sitk.Image, displacement: sitk.Transform) -> None:
    """Half of the moving scan shows something else; the mask looks at the other half."""
    moving = sitk.GetArrayFromImage(displaced(fixed, displacement))
    moving[:, :, :32] = np.roll(moving[:, :, :32], (3, 9), (0, 1))
    broken = Grid.of(displaced(fixed, displacement)).to_image(moving)
    mask = np.zeros(Grid.of(fixed).shape, np.uint8)
    mask[:, :, 34:] = 1
    masked = align(broken, fixed, Alignment.RIGID, Grid.of(fixed).to_image(mask))
    assert error_mm(masked, displacement, Grid.of(fixed)) < 1.0
    assert masked.similarity_after != align(broken, fixed, Alignment.RIGID).similarity_after


def test_an_empty_mask_is_refused(fixed: sitk.Image) -> None:
    with pytest.raises(AlignmentError, match="mask"):
        align(fixed, fixed, Alignment.RIGID, Grid.of(fixed).to_image())


def test_off_measures_and_moves_nothing(fixed: sitk.Image, displacement: sitk.Transform) -> None:
    report = align(displaced(fixed, displacement), fixed, Alignment.OFF)
    assert report.similarity_before == report.similarity_after > 0
    assert report.translation_mm == (0, 0, 0)
    assert report.rotation_degrees == 0


def test_scans_already_in_place_stay_there_without_a_warning(fixed: sitk.Image) -> None:
    report = align(fixed, fixed, Alignment.RIGID)
    assert report.warning is None
    assert error_mm(report, sitk.Transform(), Grid.of(fixed)) < 0.1


def test_an_alignment_that_makes_it_worse_is_refused(fixed: sitk.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = sitk.TranslationTransform(3, (30.0, 0.0, 0.0))
    monkeypatch.setattr(registration, "_find", lambda *_: wrong)
    report = align(fixed, fixed, Alignment.RIGID)
    assert not report.accepted
    assert "refused" in (report.warning or "")
    assert report.similarity_after < report.similarity_before
    assert report.translation_mm == (0, 0, 0)


@pytest.mark.parametrize("kind", list(Alignment))
def test_scans_that_do_not_overlap_are_refused(fixed: sitk.Image, kind: Alignment) -> None:
    away = sitk.Image(fixed)
    away.SetOrigin((900.0, 0.0, 0.0))
    with pytest.raises(AlignmentError, match="do not overlap"):
        align(away, fixed, kind)


@pytest.mark.parametrize("kind", list(Alignment))
def test_a_constant_scan_stays_in_place_with_a_warning(fixed: sitk.Image, kind: Alignment) -> None:
    report = align(fixed * 0 + 7, fixed, kind)
    assert not report.accepted
    assert "same value" in (report.warning or "")


@pytest.mark.parametrize("pixel", [sitk.sitkUInt8, sitk.sitkInt16, sitk.sitkUInt16, sitk.sitkFloat64])
def test_two_slices_and_any_pixel_type_can_be_aligned(fixed: sitk.Image, pixel: int) -> None:
    thin = sitk.Cast(sitk.Clamp(fixed, sitk.sitkFloat32, 0, 255), pixel)[:, :, 7:9]
    shift = sitk.Euler3DTransform(Grid.of(thin).centre, 0, 0, 0.05, (6.0, 4.0, 0.0))
    report = align(displaced(thin, shift), thin, Alignment.RIGID)
    assert report.translation_mm[:2] == pytest.approx((6, 4), abs=1.5)


@needs("multiple-sclerosis")
@pytest.mark.parametrize("patient", ["patient01", "patient03"])
def test_real_visits_land_where_the_published_registration_puts_them(patient: str) -> None:
    """Lesjak et al. 2016 give the affine of each visit into a common space."""
    folder = REAL_PATIENTS / "multiple-sclerosis" / patient
    first, last = (sitk.ReadImage(str(folder / f"study{visit}_FLAIR.nii.gz"), sitk.sitkFloat32) for visit in (1, 2))
    to_common = [sitk.ReadTransform(str(folder / f"study{visit}_FLAIR_to_common_space.txt")) for visit in (1, 2)]
    published = sitk.CompositeTransform([to_common[0], to_common[1].GetInverse()])
    report = align(first, last, Alignment.RIGID)
    assert error_mm(report, published, Grid.of(last)) < 2.5


@needs("glioblastoma")
def test_a_real_thin_stack_is_aligned() -> None:
    paths = sorted((REAL_PATIENTS / "glioblastoma" / "patient04").glob("*_T1post.nii.gz"))
    scans = [sitk.ReadImage(str(path), sitk.sitkFloat32) for path in paths]
    for scan in scans:
        scan.SetSpacing((0.9, 0.9, 6.0))  # the headers lost it
    for first, last in pairwise(scans):
        report = align(first, last, Alignment.RIGID)
        assert report.similarity_after > 1.4 * report.similarity_before
