"""The glioma simulator: its physics has known answers, and its patients look like patients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

torch = pytest.importorskip("torch")
pytest.importorskip("nilearn")

from CRONOSLib.cohorts.simulators.acquisition import AcquisitionSettings, draw_scanner  # noqa: E402
from CRONOSLib.cohorts.simulators.anatomy import AnatomySettings, Tissue, draw_anatomy  # noqa: E402
from CRONOSLib.cohorts.simulators.appearance import AppearanceSettings, draw_appearance  # noqa: E402
from CRONOSLib.cohorts.simulators.course import draw_course  # noqa: E402
from CRONOSLib.cohorts.simulators.fields import centred_grid, grid_points, sample_field  # noqa: E402
from CRONOSLib.cohorts.simulators.glioma import simulate_glioma_patient  # noqa: E402
from CRONOSLib.cohorts.simulators.growth import (  # noqa: E402
    GrowthRates,
    GrowthSettings,
    ReactionDiffusion,
    diffusion_map,
    draw_rates,
)
from CRONOSLib.cohorts.simulators.mass_effect import MassEffectSettings, push  # noqa: E402
from CRONOSLib.cohorts.simulators.settings import GliomaSettings, ScanSettings  # noqa: E402
from CRONOSLib.cohorts.simulators.treatment import (  # noqa: E402
    Treatment,
    TreatmentSettings,
    Tumour,
    advance_treated,
    draw_treatment,
)
from CRONOSLib.cohorts.simulators.visits import VisitSettings, draw_visit_days  # noqa: E402

COARSE = GliomaSettings(
    anatomy=AnatomySettings(template_mm=3),
    growth=GrowthSettings(spacing_mm=4.0, front_width_mm=(2.0, 4.0)),
    scan=ScanSettings(size=(48, 48, 32), spacing_mm=(4.0, 4.0, 4.0)),
    window=(48, 48, 32),
)


@pytest.fixture(scope="module")
def patient():
    return simulate_glioma_patient(3, COARSE)


@pytest.fixture(scope="module")
def anatomy():
    return draw_anatomy(np.random.default_rng(0), AnatomySettings(template_mm=3))


def ball(size: int = 24, radius: float = 5.0) -> torch.Tensor:
    axis = torch.arange(size) - (size - 1) / 2
    distance = (axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2).sqrt()
    return (distance < radius).float()


def voxels(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


def test_without_proliferation_cells_move_but_their_number_stays():
    diffusion = torch.rand(24, 24, 24, generator=torch.Generator().manual_seed(0)) * (ball(24, 11) > 0)
    before = 0.8 * ball()
    after = ReactionDiffusion(diffusion, 0.0, 2.0).advance(before, 60)
    assert float(after.double().sum()) == pytest.approx(float(before.double().sum()), rel=1e-5)
    assert float((after - before).abs().max()) > 0.1


def test_a_plane_front_moves_at_twice_the_root_of_diffusion_times_proliferation():
    rates = GrowthRates(0.4, 0.04)
    line = torch.zeros(1, 1, 160)
    line[..., :4] = 1
    equation = ReactionDiffusion(torch.full_like(line, rates.diffusion_mm2_per_day), rates.proliferation_per_day, 2.0)
    early = equation.advance(line, 500)
    late = equation.advance(early, 500)
    speed = float(late.sum() - early.sum()) * equation.spacing_mm / 500
    assert speed == pytest.approx(rates.front_speed_mm_per_day, rel=0.05)


def test_growth_does_not_depend_on_where_the_days_are_cut():
    equation = ReactionDiffusion(torch.full((24, 24, 24), 0.3), 0.02, 2.0)
    once = equation.advance(0.5 * ball(), 40)
    twice = equation.advance(equation.advance(0.5 * ball(), 17), 23)
    assert torch.allclose(once, twice, atol=5e-3)


def test_density_stays_between_none_and_packed():
    equation = ReactionDiffusion(torch.rand(24, 24, 24, generator=torch.Generator().manual_seed(1)), 0.2, 2.0)
    density = equation.advance(ball(), 90)
    assert float(density.min()) >= 0
    assert float(density.max()) <= 1 + 1e-6


def test_no_tumour_grows_into_fluid():
    diffusion = torch.full((24, 24, 24), 0.5)
    diffusion[:, :, 12:] = 0
    density = ReactionDiffusion(diffusion, 0.05, 2.0).advance(ball() * (diffusion > 0), 120)
    assert float(density[:, :, 12:].abs().max()) == 0
    assert float(density[:, :, :12].mean()) > 0.5


def test_the_number_of_threads_does_not_change_a_voxel():
    before = torch.get_num_threads()
    scans = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        equation = ReactionDiffusion(torch.full((24, 24, 24), 0.3), 0.02, 2.0)
        scans.append(equation.advance(0.5 * ball(), 40))
    torch.set_num_threads(before)
    assert torch.equal(*scans)


def test_rates_lie_in_the_ranges_asked_for():
    settings = GrowthSettings()
    rng = np.random.default_rng(0)
    for _ in range(50):
        rates = draw_rates(rng, settings)
        assert 0.02 <= rates.front_speed_mm_per_day <= 0.35
        assert 1.0 <= rates.front_width_mm <= 4.0


def test_white_matter_carries_cells_ten_times_as_far_as_grey_and_fluid_not_at_all():
    rates = GrowthRates(1.0, 0.01)
    grey, white = torch.tensor([1.0, 0.0, 0.1]), torch.tensor([0.0, 1.0, 0.1])
    assert diffusion_map(grey, white, rates, 0.1).tolist() == pytest.approx([0.1, 1.0, 0.0])


def test_visits_come_at_irregular_whole_days_in_the_mean_gap_asked_for():
    rng = np.random.default_rng(0)
    schedules = [draw_visit_days(rng, VisitSettings()) for _ in range(400)]
    gaps = np.concatenate([np.diff(days) for days in schedules])
    assert {len(days) for days in schedules} == set(range(3, 9))
    assert all(days[0] == 0 for days in schedules)
    assert gaps.min() >= 7
    assert 8 * 7 <= gaps.mean() <= 12 * 7
    assert gaps.std() / gaps.mean() == pytest.approx(0.5, abs=0.1)


def test_brains_differ_but_none_is_folded():
    grid = centred_grid((24, 28, 20), (6.0, 6.0, 6.0), (0.0, 17.0, 15.0))
    points = grid_points(grid)
    brains = []
    for seed in range(3):
        anatomy = draw_anatomy(np.random.default_rng(seed), AnatomySettings(template_mm=3))
        brains.append(anatomy.at(points).t1)
        mapped = anatomy.template_points(points)
        slopes = torch.stack([torch.stack(torch.gradient(m, spacing=6.0)[::-1]) for m in mapped.unbind(-1)])
        assert float(torch.linalg.det(slopes.permute(2, 3, 4, 0, 1)).min()) > 0.2
    assert float((brains[0] - brains[1]).abs().mean()) > 0.02


def test_the_template_keeps_left_and_right_front_and_top(anatomy):
    straight = replace(anatomy, matrix=np.eye(3), offset=np.zeros(3), warp=torch.zeros_like(anatomy.warp))
    above_vertex, ventricle, frontal_white = (0, 15, 95), (-10, 12, 20), (-28, -30, 18)
    points = torch.tensor([above_vertex, ventricle, frontal_white], dtype=torch.float32).view(1, 1, 3, 3)
    tissue = straight.at(points)
    brain, white = tissue.brain.flatten().tolist(), tissue.white.flatten().tolist()
    assert brain == pytest.approx([0, 1, 1])
    assert white[2] > 0.8 > 0.3 > white[1]


def test_a_field_sampled_at_its_own_points_is_itself():
    field = torch.rand(1, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    grid = centred_grid((7, 6, 5), (1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    assert torch.allclose(sample_field(field, grid, grid_points(grid)), field, atol=1e-5)


def test_the_tumour_pushes_outwards_and_never_folds_the_brain():
    grid = centred_grid((40, 40, 40), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))
    displacement = push(ball(40, 9), torch.ones(40, 40, 40), grid, 6.0, MassEffectSettings())
    beside = torch.tensor([[18.0, 0, 0], [0, -18.0, 0], [0, 0, 18.0]]).view(1, 1, 3, 3)
    moved = (beside - displacement.origin_of(beside)).view(3, 3)
    outward = torch.stack([moved[0, 0], -moved[1, 1], moved[2, 2]])
    assert float(outward.min()) > 0.5
    assert float(outward.max()) < 6.0


def test_the_rim_enhances_around_a_dark_core_within_a_grey_halo():
    look = draw_appearance(np.random.default_rng(0), AppearanceSettings())
    density = torch.tensor([0.0, 0.4, 0.82, 0.99]).view(1, 1, 4)
    zero, one = torch.zeros_like(density), torch.ones_like(density)
    signal = look.signal(Tissue(0.7 * one, zero, one, one), density, zero, zero, zero).flatten().tolist()
    healthy, halo, rim, core = signal
    assert rim > healthy > halo > core
    assert look.labels(density, zero).flatten().tolist() == [0, 2, 3, 1]


def test_the_scanner_adds_no_signal_outside_the_head_and_the_noise_it_was_set_to():
    settings = AcquisitionSettings(noise=(0.03, 0.03), bias=(0.0, 0.0), gain=(1.0, 1.0))
    rng = np.random.default_rng(0)
    scanner = draw_scanner(rng, settings)
    signal = torch.full((20, 20, 20), 0.7)
    signal[:10] = 0
    stored = scanner.acquire(rng, signal, settings).float()
    assert float(stored[:10].abs().max()) == 0
    assert float(stored[10:].std()) == pytest.approx(0.03 * settings.full_scale, rel=0.05)


def test_surgery_leaves_a_cavity_that_stays_empty():
    equation = ReactionDiffusion(torch.full((24, 24, 24), 0.3), 0.03, 2.0)
    tumour = Tumour(0.9 * ball() + 0.1 * ball(24, 9), torch.zeros(24, 24, 24))
    after = advance_treated(equation, tumour, 0, 60, Treatment(resection_day=10))
    assert float(after.cavity.sum()) >= float(ball().sum())
    assert float((after.density * after.cavity).max()) == 0
    assert float(after.density.sum()) > 0


@pytest.mark.parametrize(
    "treatment",
    [
        Treatment(fraction_days=tuple(range(5, 35)), fraction_survival=0.85),
        Treatment(chemotherapy_days=((0.0, 40.0),), kill_per_day=0.08),
    ],
    ids=["radiotherapy", "chemotherapy"],
)
def test_treatment_shrinks_a_tumour_that_would_have_grown(treatment):
    equation = ReactionDiffusion(torch.full((24, 24, 24), 0.2), 0.02, 2.0)
    tumour = Tumour(0.8 * ball(), torch.zeros(24, 24, 24))
    treated = advance_treated(equation, tumour, 0, 40, treatment).density.sum()
    untreated = advance_treated(equation, tumour, 0, 40, Treatment()).density.sum()
    assert float(treated) < float(tumour.density.sum()) < float(untreated)


def test_radiotherapy_is_thirty_fractions_on_weekdays():
    settings = TreatmentSettings(radiotherapy_share=1.0, alpha_per_gy=(0.05, 0.05))
    treatment = draw_treatment(np.random.default_rng(0), settings)
    assert len(treatment.fraction_days) == 30
    assert treatment.fraction_days[-1] - treatment.fraction_days[0] == 5 * 7 + 4
    assert treatment.fraction_survival == pytest.approx(np.exp(-0.05 * 2 - 0.005 * 4))


def test_the_same_seed_gives_the_same_patient_and_another_seed_another(patient):
    again, other = simulate_glioma_patient(3, COARSE), simulate_glioma_patient(4, COARSE)
    for one, two in zip(patient.visits, again.visits, strict=True):
        assert np.array_equal(voxels(one.scan), voxels(two.scan))
        assert one.date == two.date
    assert not np.array_equal(voxels(patient.visits[0].scan), voxels(other.visits[0].scan))


def test_an_untreated_tumour_grows_from_visit_to_visit(patient):
    visible = [visit.volumes_ml["necrosis"] + visit.volumes_ml["enhancing"] for visit in patient.visits]
    cells = [float(voxels(visit.density).astype(float).sum()) for visit in patient.visits]
    assert len(patient.visits) >= 3
    assert visible[-1] > 1.3 * visible[0]
    assert cells == sorted(cells)


def test_truth_lies_on_the_scan_and_dates_follow_the_days(patient):
    for visit in patient.visits:
        assert visit.scan.GetSize() == visit.labels.GetSize() == COARSE.scan.size
        assert visit.scan.GetOrigin() == visit.labels.GetOrigin() == visit.density.GetOrigin()
        assert (visit.date - patient.visits[0].date).days == visit.day
        assert not np.any(voxels(visit.labels)[voxels(visit.scan) == 0])


def test_the_enhancing_rim_is_brighter_than_the_rest_of_the_head(patient):
    scan, labels = voxels(patient.visits[-1].scan), voxels(patient.visits[-1].labels)
    assert scan[labels == 3].mean() > 1.2 * scan[(labels == 0) & (scan > 0)].mean()


def test_a_treated_cohort_is_treated():
    always = TreatmentSettings(resection_share=1.0, radiotherapy_share=1.0, chemotherapy_share=1.0)
    course = draw_course(np.random.default_rng(2), replace(COARSE, treatment=always))
    assert course.treatment.resection_day is not None
    assert float(course.tumours[-1].cavity.sum()) > 0


def test_a_clinical_geometry_is_kept(patient):
    scan = ScanSettings((40, 44, 14), (4.4, 4.4, 9.0), (4.0, -3.0, 6.0), jitter_mm=0.0, slab_samples=3)
    visit = simulate_glioma_patient(3, replace(COARSE, scan=scan)).visits[0]
    assert visit.scan.GetSize() == (40, 44, 14)
    assert visit.scan.GetSpacing() == pytest.approx((4.4, 4.4, 9.0))
    axes = np.array(visit.scan.GetDirection()).reshape(3, 3)
    assert np.allclose(axes @ axes.T, np.eye(3), atol=1e-9)
    assert not np.allclose(axes, np.eye(3), atol=0.01)
