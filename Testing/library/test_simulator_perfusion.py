"""The perfusion simulator: its curves obey the indicator dilution theory, and its patients look like patients."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from CRONOSLib.cohorts.manifest import read_cohort
from CRONOSLib.series import TimeUnit

torch = pytest.importorskip("torch")
pytest.importorskip("nilearn")

from CRONOSLib.cohorts.simulators.anatomy import AnatomySettings, Tissue  # noqa: E402
from CRONOSLib.cohorts.simulators.cohort import simulate_cohort  # noqa: E402
from CRONOSLib.cohorts.simulators.perfusion import (  # noqa: E402
    CtSettings,
    PerfusionPatient,
    PerfusionSettings,
    simulate_perfusion_patient,
)
from CRONOSLib.cohorts.simulators.perfusion_bolus import (  # noqa: E402
    BLOOD_PER_CBV,
    Bolus,
    BolusSettings,
    draw_bolus,
    transit_of,
)
from CRONOSLib.cohorts.simulators.perfusion_cohort import PERFUSION  # noqa: E402
from CRONOSLib.cohorts.simulators.perfusion_stroke import (  # noqa: E402
    CORE,
    PENUMBRA,
    Stroke,
    StrokeSettings,
    flow_of,
)
from CRONOSLib.cohorts.simulators.perfusion_vessels import vessel_fractions  # noqa: E402
from CRONOSLib.flow.series_batch import SeriesBatch  # noqa: E402
from CRONOSLib.methods.registry import create_method  # noqa: E402

COARSE = PerfusionSettings(
    anatomy=AnatomySettings(size_change=0.06, template_mm=3),
    ct=CtSettings(size=(48, 48, 10), spacing_mm=(4.0, 4.0, 8.0), slab_samples=1),
)
QUIET = replace(COARSE, ct=replace(COARSE.ct, noise_hu=(0.0, 0.0), shift_mm=0.0, turn_degrees=0.0))
BOLUS = Bolus(8.0, 3.0, 2.0, 400.0, 0.25, 17.0, 5.0, 0.6)
LARGE_STROKE = Stroke(1, 40.0, 22.0, 1.0, 7.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def patient():
    return simulate_perfusion_patient(3, COARSE)


@pytest.fixture(scope="module")
def quiet():
    return simulate_perfusion_patient(4, QUIET)


def series(patient: PerfusionPatient) -> np.ndarray:
    """(frames, D, H, W) HU."""
    return np.stack([sitk.GetArrayFromImage(frame) for frame in patient.frames]).astype(np.float64)


def map_of(patient: PerfusionPatient, name: str) -> np.ndarray:
    return sitk.GetArrayFromImage(patient.maps[name])


def curve(bolus: Bolus, cbf: float, mtt: float, delay: float, duration_s: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Times in s and enhancement in HU of one tissue."""
    transit = transit_of(bolus, duration_s + 1)
    times = np.arange(0, duration_s, 0.25)
    one = torch.ones(1)
    blood = np.array([float(transit.enhancement(float(time), delay * one, mtt * one)) for time in times])
    return times, blood * BLOOD_PER_CBV * cbf * mtt / 60


def test_the_artery_peaks_at_arrival_plus_shape_times_scale():
    time = torch.arange(0, 60, 0.05, dtype=torch.float64)
    arterial = BOLUS.arterial(time)
    assert float(time[arterial.argmax()]) == pytest.approx(8.0 + 3.0 * 2.0, abs=0.06) == BOLUS.peak_s
    assert float(arterial.max()) == pytest.approx(400, rel=1e-3)
    assert float(arterial[time < 8.0].abs().max()) < 1e-9


def test_contrast_comes_round_a_second_time_later_and_flatter():
    time = torch.arange(0, 120, 0.05, dtype=torch.float64)
    again = BOLUS.arterial(time) - BOLUS.first_pass(time)
    assert float(time[again.argmax()]) > BOLUS.peak_s + BOLUS.recirculation_s
    assert float(again.max()) < 0.25 * 400
    assert float(again.sum() / BOLUS.first_pass(time).sum()) == pytest.approx(0.25, rel=0.01)


@pytest.mark.parametrize("mtt", [0.5, 3.7, 13.6])
def test_the_residue_begins_at_one_falls_and_integrates_to_the_mean_transit_time(mtt):
    time = torch.arange(0, 200, 0.01, dtype=torch.float64)
    residue = BOLUS.residue(time, torch.tensor(mtt, dtype=torch.float64))
    assert float(residue[0]) == 1
    assert float(residue.diff().max()) <= 0
    assert float(torch.trapezoid(residue, dx=0.01)) == pytest.approx(mtt, rel=1e-3)


@pytest.mark.parametrize(("cbf", "mtt", "delay"), [(53, 3.7, 1), (16, 11.3, 8), (2.5, 10.1, 6)])
def test_the_area_below_tissue_and_artery_gives_the_blood_volume(cbf, mtt, delay):
    times, tissue = curve(BOLUS, cbf, mtt, delay)
    artery = BOLUS.arterial(torch.from_numpy(times)).numpy()
    assert tissue.sum() / artery.sum() / BLOOD_PER_CBV == pytest.approx(cbf * mtt / 60, rel=0.01)


def test_blood_flow_is_recovered_from_a_curve_without_noise():
    """On the plateau nothing has left: the enhancement is the flow times the integral of the arterial curve."""
    cbf, mtt = 53.0, 12.0
    times, tissue = curve(BOLUS, cbf, mtt, delay=0.0, duration_s=60)
    fine = torch.arange(0, 60, 0.05, dtype=torch.float64)
    early = BOLUS.arrival_s + 0.9 * BOLUS.plateau * mtt
    inflow = float(torch.trapezoid(BOLUS.arterial(fine) * (fine <= early), dx=0.05))
    measured = np.interp(early, times, tissue) / inflow * 60 / BLOOD_PER_CBV
    assert measured == pytest.approx(cbf, rel=0.02)


def test_a_delay_shifts_the_curve_and_a_long_transit_flattens_it():
    times, prompt = curve(BOLUS, 53, 3.7, 0, 60)
    _, late = curve(BOLUS, 53, 3.7, 5, 60)
    _, slow = curve(BOLUS, 53 * 3.7 / 11.3, 11.3, 0, 60)
    assert late[20:] == pytest.approx(prompt[:-20], abs=0.02)
    assert slow.max() < 0.8 * prompt.max()
    assert times[slow.argmax()] > times[prompt.argmax()] + 2


def test_boluses_lie_in_the_ranges_asked_for():
    rng = np.random.default_rng(0)
    for _ in range(50):
        bolus = draw_bolus(rng, BolusSettings())
        assert 5 <= bolus.arrival_s <= 15
        assert 8 <= bolus.peak_s <= 27
        assert 250 <= bolus.peak_hu <= 485


def test_healthy_tissue_penumbra_and_core_have_the_flow_of_the_tables():
    points = torch.tensor([[-42.0, -2.0, 14.0], [60.0, 25.0, 14.0], [32.0, 0.0, 8.0]]).view(1, 1, 3, 3)
    one, none = torch.ones(1, 1, 3), torch.zeros(1, 1, 3)
    quiet = torch.zeros(3, 1, 1, 3)
    for grey, white, flows, transits in ((one, none, (53, 16, 5.3), (3.7, 11.3, 8)),
                                         (none, one, (25, 7.5, 2.5), (4.6, 13.6, 10.1))):  # fmt: skip
        flow = flow_of(LARGE_STROKE, StrokeSettings(), Tissue(one, grey, white, one), points, quiet)
        assert flow.cbf.flatten().tolist() == pytest.approx(flows, rel=1e-3)
        assert flow.mtt.flatten().tolist() == pytest.approx(transits, rel=1e-3)
        assert flow.labels.flatten().tolist() == [0, PENUMBRA, CORE]
        assert flow.cbf.flatten()[2] < 0.3 * flow.cbf.flatten()[0]


def test_penumbra_is_late_and_the_other_hemisphere_is_not(patient):
    labels, tmax, cbf = sitk.GetArrayFromImage(patient.labels), map_of(patient, "tmax"), map_of(patient, "cbf")
    assert (labels == PENUMBRA).sum() > 20
    assert tmax[labels == PENUMBRA].min() > 6
    healthy = (labels == 0) & (cbf > 0)
    assert tmax[healthy].max() <= 6
    assert tmax[healthy].mean() < 4
    columns = np.argwhere(labels > 0)[:, 2]
    assert columns.min() > 22 or columns.max() < 26


def test_maps_agree_with_the_central_volume_theorem(patient):
    cbf, cbv, mtt = (map_of(patient, name) for name in ("cbf", "cbv", "mtt"))
    assert cbv == pytest.approx(cbf * mtt / 60, abs=1e-4)
    assert 2 < cbv[cbf > 40].mean() < 5


def test_arteries_fill_before_tissue_and_veins_after(quiet):
    frames, times = series(quiet), np.array(quiet.times_s)
    artery, vein, cbf = (map_of(quiet, name) for name in ("artery", "vein", "cbf"))
    healthy = (cbf > 40) & (map_of(quiet, "tmax") < 4) & (artery == 0) & (vein == 0)

    def centre(where: np.ndarray) -> float:
        rise = frames[:, where].mean(axis=1) - frames[:3, where].mean()
        first_pass = rise * (times < quiet.bolus.peak_s + 8)
        return float((first_pass * times).sum() / first_pass.sum())

    own_side = quiet.parameters["stroke"]["side"]
    other_side = np.indices(artery.shape)[2] < 22 if own_side > 0 else np.indices(artery.shape)[2] > 25
    assert centre((artery > 0.3) & other_side) < centre(healthy) < centre(vein > 0.3)
    assert 3 < (frames.max(axis=0) - frames[0])[healthy].mean() < 25


def test_vessels_run_where_vessels_run():
    points = torch.tensor([[15.0, 0.0, -16.0], [-15.0, 0.0, -16.0], [0.0, -14.0, 70.0], [25.0, 20.0, 25.0]])
    artery, vein = vessel_fractions(points)
    assert artery.tolist() == pytest.approx([1, 1, 0, 0])
    assert vein.tolist() == pytest.approx([0, 0, 1, 0])


def test_unenhanced_brain_is_grey_above_white_above_fluid(quiet):
    first = series(quiet)[0]
    cbf = map_of(quiet, "cbf")
    healthy = sitk.GetArrayFromImage(quiet.labels) == 0
    factor = quiet.parameters["stroke"]["cbf_factor"]
    grey, white = first[healthy & (cbf > 45 * factor)].mean(), first[healthy & (cbf > 0) & (cbf < 28 * factor)].mean()
    assert 30 < grey < 40
    assert white < grey
    assert first[first != 0].min() < 16


def test_noise_is_that_of_the_scanner_and_outside_the_brain_is_nothing():
    settings = replace(QUIET, ct=replace(QUIET.ct, noise_hu=(6.0, 6.0), frames=2))
    noisy = series(simulate_perfusion_patient(5, settings))
    clean = series(simulate_perfusion_patient(5, replace(QUIET, ct=replace(QUIET.ct, frames=2))))
    inside = clean[0] != 0
    assert np.std((noisy - clean)[:, inside]) == pytest.approx(6, rel=0.05)
    assert not noisy[:, ~inside].any()


def test_a_line_through_two_frames_fails_at_the_peak_of_the_bolus(quiet):
    """What rises steeply will fall: nothing in the two frames says so."""
    frames, times = series(quiet), np.array(quiet.times_s)
    peak = int(np.searchsorted(times, quiet.bolus.peak_s))
    contexts, target = [peak - 2, peak - 1], peak + 3
    batch = SeriesBatch(
        images=torch.from_numpy(frames[contexts]).float()[None, :, None],
        times=torch.from_numpy(times[contexts]).float()[None],
        mask=torch.ones(1, 2, dtype=torch.bool),
        target_time=torch.tensor([times[target]], dtype=torch.float32),
    )
    forecast = create_method("linear").forecast(batch).forecast[0, 0].numpy()
    truth, last = frames[target], frames[contexts[-1]]
    assert ((forecast - truth) ** 2).mean() > 1.2 * ((last - truth) ** 2).mean()


def test_the_same_seed_gives_the_same_patient_and_another_seed_another(patient):
    again, other = simulate_perfusion_patient(3, COARSE), simulate_perfusion_patient(4, COARSE)
    assert np.array_equal(series(patient), series(again))
    assert patient.parameters == again.parameters
    assert not np.array_equal(map_of(patient, "cbf"), map_of(other, "cbf"))


def test_a_cohort_is_in_seconds_holds_its_truth_and_goes_on_after_a_break(tmp_path):
    settings = replace(COARSE, ct=replace(COARSE.ct, frames=3))
    made = simulate_cohort(PERFUSION, tmp_path / "perfusion", 3, 5, settings)
    assert made.unit is TimeUnit.SECOND
    assert read_cohort(made.folder).patients == made.patients
    digests = {path: path.read_bytes() for path in made.folder.rglob("*") if path.is_file()}
    shutil.rmtree(made.folder / "sub-0002")
    simulate_cohort(PERFUSION, tmp_path / "perfusion", 3, 5, settings)
    assert digests == {path: path.read_bytes() for path in made.folder.rglob("*") if path.is_file()}
    record = json.loads((made.folder / "sub-0001" / "truth" / "patient.json").read_text())
    assert record["parameters"]["penumbra_ml"] > 0
