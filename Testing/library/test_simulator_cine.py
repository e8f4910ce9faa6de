"""The heart simulator: its motion has known properties, and its patients look like patients."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from CRONOSLib.cohorts.manifest import read_cohort
from CRONOSLib.cohorts.usual_settings import read_usual_settings
from CRONOSLib.series import TimeUnit

torch = pytest.importorskip("torch")

from CRONOSLib.cohorts.simulators.cohort import simulate_cohort  # noqa: E402
from CRONOSLib.cohorts.simulators.fields import centred_grid, grid_points  # noqa: E402
from CRONOSLib.cohorts.simulators.heart import HeartSettings, SliceSettings, simulate_heart_patient  # noqa: E402
from CRONOSLib.cohorts.simulators.heart_beat import Beat, BeatSettings, draw_beat  # noqa: E402
from CRONOSLib.cohorts.simulators.heart_cohort import CINE  # noqa: E402
from CRONOSLib.cohorts.simulators.heart_motion import HeartMotion, draw_motion  # noqa: E402
from CRONOSLib.cohorts.simulators.heart_shape import (  # noqa: E402
    DISEASES,
    LEFT_BLOOD,
    MYOCARDIUM,
    RIGHT_BLOOD,
    cylinder,
    draw_shape,
)
from CRONOSLib.flow.series_batch import SeriesBatch  # noqa: E402
from CRONOSLib.methods.registry import create_method  # noqa: E402
from CRONOSLib.training.settings import TrainSettings  # noqa: E402

COARSE = HeartSettings(slices=SliceSettings(spacing_mm=(3.0, 3.0), thickness_mm=(12.0,), slab_samples=1))
FINE_GRID = centred_grid((72, 64, 72), (2.0, 2.0, 2.0), (-14.0, 0.0, -46.0))


def beating(disease: str, seed: int = 0) -> HeartMotion:
    rng = np.random.default_rng(seed)
    return draw_motion(rng, draw_shape(rng, disease), disease)


def regions_ml(motion: HeartMotion, activation: float) -> dict[int, float]:
    labels = motion.shape.labels(motion.at_end_diastole(grid_points(FINE_GRID), activation))
    return {value: float((labels == value).sum()) * 8e-3 for value in (RIGHT_BLOOD, MYOCARDIUM, LEFT_BLOOD)}


def jacobian(motion: HeartMotion, points: torch.Tensor, activation: float) -> torch.Tensor:
    """Determinants (N,) of the map to end-diastole at points (N, 3), by central differences."""
    step = 0.01 * torch.eye(3, dtype=points.dtype)
    columns = [
        (points + axis + motion.displacement(points + axis, activation))
        - (points - axis + motion.displacement(points - axis, activation))
        for axis in step
    ]
    return torch.linalg.det(torch.stack(columns, dim=-1) / 0.02)


def scattered_points(count: int = 20_000) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    low, high = torch.tensor([-110.0, -100.0, -130.0]), torch.tensor([80.0, 100.0, 50.0])
    return low + (high - low) * torch.rand(count, 3, generator=generator, dtype=torch.float64)


@pytest.fixture(scope="module", params=DISEASES)
def motion(request):
    return beating(request.param)


@pytest.fixture(scope="module")
def patient():
    return simulate_heart_patient(3, COARSE)


def test_the_motion_never_folds_the_chest(motion):
    determinants = jacobian(motion, scattered_points(), 1.0)
    assert float(determinants.min()) > 0.1


def test_the_left_wall_keeps_its_volume_everywhere(motion):
    points = scattered_points(60_000)
    place = motion.at_end_diastole(points, 0.8)
    wall, cavity = motion.shape.wall(place.angle, place.height), motion.shape.cavity_squared(place.height).sqrt()
    inner = (place.radius > cavity + 0.5) & (place.radius < wall - 0.5) & (place.height < -1)
    assert int(inner.sum()) > 300
    determinants = jacobian(motion, points[inner], 0.8)
    assert determinants.numpy() == pytest.approx(np.ones(len(determinants)), abs=2e-3)


def test_the_volume_of_the_myocardium_in_the_masks_is_conserved(motion):
    volumes = [regions_ml(motion, activation)[MYOCARDIUM] for activation in (0.0, 0.5, 1.0)]
    assert volumes == pytest.approx([volumes[0]] * 3, rel=0.03)


def test_the_ejection_fraction_is_that_of_the_masks(motion):
    relaxed, contracted = (regions_ml(motion, activation)[LEFT_BLOOD] for activation in (0.0, 1.0))
    assert relaxed == pytest.approx(motion.cavity_ml(0.0), rel=0.02)
    assert 1 - contracted / relaxed == pytest.approx(motion.ejection_fraction, abs=0.01)


@pytest.mark.parametrize(
    ("disease", "low", "high"),
    [("normal", 0.55, 0.70), ("dilated", 0.15, 0.40), ("infarct", 0.20, 0.40), ("hypertrophic", 0.55, 0.75)],
)
def test_each_disease_pumps_as_it_does(disease, low, high):
    assert all(low <= beating(disease, seed).ejection_fraction <= high for seed in range(4))


def test_the_wall_thickens_by_half_and_the_apex_turns_against_the_base():
    motion = beating("normal")
    line = torch.linspace(5, 60, 4000, dtype=torch.float64)
    middle = torch.full_like(line, -0.5 * motion.shape.length_mm)
    away_from_septum = torch.stack([line, torch.zeros_like(line), middle], dim=-1)
    thickness = []
    for activation in (0.0, 1.0):
        place = motion.at_end_diastole(away_from_septum, activation)
        inside = (place.radius < motion.shape.wall(place.angle, place.height)) & (
            place.radius**2 > motion.shape.cavity_squared(place.height)
        )
        thickness.append(float(inside.sum()))
    assert 1.3 <= thickness[1] / thickness[0] <= 1.8
    near_apex = torch.tensor([[5.0, 0.0, -0.95 * motion.shape.length_mm], [15.0, 0.0, -motion.shortening_mm]])
    turned = cylinder(near_apex).angle - motion.at_end_diastole(near_apex, 1.0).angle
    assert math.radians(8) <= float(turned[0] - turned[1]) <= math.radians(15)


def test_a_scar_does_not_thicken():
    motion = beating("infarct")
    assert motion.scar
    motion = replace(motion, scar=replace(motion.scar, severity=1.0))
    height = torch.full((2,), -0.5 * motion.shape.length_mm, dtype=torch.float64)
    angle = torch.tensor([motion.scar.angle, motion.scar.angle + math.pi], dtype=torch.float64)
    ratio = motion._ratio(angle, height, 1.0)
    assert ratio.tolist() == pytest.approx([1.0, 1 - motion.contraction])


def test_at_end_diastole_nothing_has_moved():
    points = scattered_points(1000)
    assert float(beating("normal").displacement(points, 0.0).abs().max()) < 1e-9


def test_the_displacement_field_maps_the_first_frame_to_the_others():
    settings = replace(COARSE, beat=BeatSettings(jitter_ms=0.0), slices=replace(COARSE.slices, breath_mm=0.0))
    patient = simulate_heart_patient(2, settings)
    for frame in patient.frames[::5]:
        grid = centred_grid(
            frame.labels.GetSize(),
            frame.labels.GetSpacing(),
            frame.labels.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in frame.labels.GetSize()]),
        )
        points = grid_points(grid)
        origin = points + patient.motion.displacement(points, frame.activation)
        at_first = patient.motion.shape.labels(cylinder(origin))
        assert float((at_first.numpy() == sitk.GetArrayFromImage(frame.labels)).mean()) > 0.999


def test_the_beat_is_smooth_and_fills_early():
    beat = Beat(length_ms=900.0, systole_ms=340.0, times_ms=())
    course = np.array([beat.activation(time) for time in np.linspace(0, 899.9, 400)])
    assert course[0] == 0
    assert course.max() == pytest.approx(1, abs=1e-3)
    assert np.abs(np.diff(course)).max() < 0.02
    quarter_of_filling = beat.activation(340 + 0.25 * 560)
    assert quarter_of_filling < 0.65


def test_a_whole_beat_has_twenty_to_forty_frames_and_systole_twelve():
    rng = np.random.default_rng(0)
    for _ in range(30):
        systole, whole = (draw_beat(rng, BeatSettings(whole_beat=whole)) for whole in (False, True))
        assert len(systole.times_ms) == 12
        assert systole.times_ms[-1] == pytest.approx(systole.systole_ms, abs=0.1)
        assert 20 <= len(whole.times_ms) <= 40
        assert 600 <= whole.length_ms <= 1200


def test_frames_keep_true_spacing_and_times_in_milliseconds():
    patient = simulate_heart_patient(5, replace(HeartSettings(), beat=BeatSettings(frames=2)))
    scan = patient.frames[0].scan
    assert 1.37 <= scan.GetSpacing()[0] <= 1.68
    assert 5 <= scan.GetSpacing()[2] <= 10
    assert all(abs(n * step - 192) < 4 for n, step in zip(scan.GetSize()[:2], scan.GetSpacing()[:2]))
    assert 150 <= patient.frames[-1].time_ms <= 520


def test_blood_is_brighter_than_muscle_and_muscle_than_lung(patient):
    frame = patient.frames[0]
    scan, labels = sitk.GetArrayFromImage(frame.scan), sitk.GetArrayFromImage(frame.labels)
    blood, muscle = scan[labels == LEFT_BLOOD].mean(), scan[labels == MYOCARDIUM].mean()
    assert blood > 1.5 * muscle > 2 * np.percentile(scan, 5)


def test_a_line_through_two_frames_forecasts_an_early_contraction_but_not_its_end():
    """The heart's motion is smooth: going on as before helps until it turns round."""
    settings = replace(
        COARSE,
        diseases=("normal",),
        beat=BeatSettings(whole_beat=True, jitter_ms=0.0),
        acquisition=replace(COARSE.acquisition, noise=(0.0, 0.0)),
    )
    frames = simulate_heart_patient(1, settings).frames
    images = np.stack([sitk.GetArrayFromImage(frame.scan).astype(np.float32) / 400 for frame in frames])

    def skill(contexts: tuple[int, int], target: int) -> float:
        batch = SeriesBatch(
            images=torch.from_numpy(images[list(contexts)])[None, :, None],
            times=torch.tensor([[float(context) for context in contexts]]),
            mask=torch.ones(1, 2, dtype=torch.bool),
            target_time=torch.tensor([float(target)]),
        )
        forecast = create_method("linear").forecast(batch).forecast[0, 0].numpy()
        truth = images[target]
        return 1 - float(((forecast - truth) ** 2).mean() / ((images[contexts[-1]] - truth) ** 2).mean())

    assert skill((1, 2), 3) > 0.3
    assert skill((9, 10), 11) < 0


def test_the_same_seed_gives_the_same_heart_and_another_seed_another(patient):
    again, other = simulate_heart_patient(3, COARSE), simulate_heart_patient(4, COARSE)
    for one, two in zip(patient.frames, again.frames, strict=True):
        assert np.array_equal(sitk.GetArrayFromImage(one.scan), sitk.GetArrayFromImage(two.scan))
    assert patient.parameters == again.parameters
    assert patient.motion.shape != other.motion.shape


def test_a_cohort_is_in_milliseconds_holds_its_truth_and_goes_on_after_a_break(tmp_path):
    settings = replace(COARSE, beat=BeatSettings(frames=3))
    made = simulate_cohort(CINE, tmp_path / "cine", 3, 5, settings)
    assert made.unit is TimeUnit.MILLISECOND
    assert read_cohort(made.folder).patients == made.patients
    assert TrainSettings.from_json(read_usual_settings(made.folder)).preprocessing.intensity.scope == "shared"
    digests = {path: path.read_bytes() for path in made.folder.rglob("*") if path.is_file()}
    shutil.rmtree(made.folder / "sub-0002")
    simulate_cohort(CINE, tmp_path / "cine", 3, 5, settings)
    assert digests == {path: path.read_bytes() for path in made.folder.rglob("*") if path.is_file()}
    record = json.loads((made.folder / "sub-0001" / "truth" / "patient.json").read_text())
    assert record["parameters"]["disease"] in DISEASES
    assert 0 < record["parameters"]["ejection_fraction"] < 1
