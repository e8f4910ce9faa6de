"""Small patients and models that several tests share."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from CRONOSLib.bundles.bundle import Bundle
from CRONOSLib.bundles.skill import Skill
from CRONOSLib.bundles.store import load_bundle, save_bundle
from CRONOSLib.cohorts.manifest import Patient, Visit, write_cohort
from CRONOSLib.imaging.grid import GridSpec
from CRONOSLib.imaging.preparation import Preprocessing
from CRONOSLib.imaging.registration import Alignment
from CRONOSLib.methods.registry import create_method
from CRONOSLib.series import LongitudinalSeries, Scan, TimeSource, TimeUnit
from CRONOSLib.training.run_folder import RunFolder
from CRONOSLib.worker.client import WorkerClient
from odd_worker import odd_command
from small_training import SMALL

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # slicerhost
os.environ["CRONOS_BUNDLES"] = str(Path(__file__).with_name("no-bundles"))  # not those of whoever runs the tests

SIZE, SPACING_MM = (28, 32, 16), (2.0, 2.0, 3.0)
FIRST_VISIT = datetime(2020, 1, 1)


def head_with_lesion(radius_mm: float) -> sitk.Image:
    """An ellipsoidal head of intensity 100 in a rim of 200, with a soft-edged lesion of this radius, int16."""
    axes = [(np.arange(count) - (count - 1) / 2) * step for count, step in zip(SIZE, SPACING_MM)]
    z, y, x = np.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    depth = (x / 24) ** 2 + (y / 28) ** 2 + (z / 20) ** 2
    head = 100.0 * (depth < 1) + 100.0 * ((depth > 0.85) & (depth < 1))
    texture = 10 * np.sin(x / 4) * np.cos(y / 5) * (head > 0)
    lesion = 80.0 / (1 + np.exp((np.sqrt((x - 5) ** 2 + (y + 3) ** 2 + z**2) - radius_mm) / 2))
    image = sitk.GetImageFromArray((head + texture + lesion).astype(np.int16))
    image.SetSpacing(SPACING_MM)
    image.SetOrigin((-30.0, 12.0, 5.0))
    return image


@pytest.fixture(scope="session")
def head() -> Callable[[float], sitk.Image]:
    """Maker of heads: `head(radius_mm)`."""
    return head_with_lesion


@pytest.fixture(scope="session")
def growing_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of ten patients with three visits each, whose lesions grow at their own rates: 6 train, 2, 2."""
    folder = tmp_path_factory.mktemp("growing") / "growing-heads"
    patients = []
    for number, split in enumerate(("train",) * 6 + ("validation",) * 2 + ("test",) * 2):
        visits = []
        for day in (0, 50 + 5 * number, 140):
            path = folder / f"sub-{number:02}" / f"day-{day}.nrrd"
            path.parent.mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(head_with_lesion(4 + 0.1 * number + day * (0.03 + 0.004 * number)), str(path))
            visits.append(Visit(float(day), path))
        patients.append(Patient(f"sub-{number:02}", split, tuple(visits)))
    write_cohort(folder, patients, name="growing-heads")
    return folder


@pytest.fixture
def own_cohort(growing_cohort: Path, tmp_path: Path) -> Path:
    """A copy of the cohort, to spoil."""
    return Path(shutil.copytree(growing_cohort, tmp_path / "cohort", ignore=shutil.ignore_patterns("prepared")))


@pytest.fixture(scope="session")
def finished_run(growing_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The folder of a run that went to its end."""
    from CRONOSLib.training.fit import fit
    from small_run import METHOD, SETTINGS

    folder = RunFolder(tmp_path_factory.mktemp("run") / "finished")
    fit(growing_cohort, METHOD, folder.path, SETTINGS)
    return folder


@pytest.fixture
def dated_patients(tmp_path: Path) -> Path:
    """Folder of four patients with three dated scans, one with a single scan, and a scan without a date."""
    folder = tmp_path / "patients"
    radii = {
        f"sub-{number}/{date}": 4 + 0.3 * number + visit
        for number in range(4)
        for visit, date in enumerate(("2020-01-06", "2020-02-05", "2020-05-05"))
    }
    for name, radius in {**radii, "sub-4/2020-01-06": 3, "sub-0/undated": 3}.items():
        path = folder / f"{name}_T1w.nrrd"
        path.parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(head_with_lesion(radius), str(path))
    return folder


@pytest.fixture(scope="session")
def finished_training(growing_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that is done."""
    from CRONOSLib.training.fit import fit
    from CRONOSLib.training.order import TrainingOrder
    from CRONOSLib.training.settings import TrainSettings

    out = tmp_path_factory.mktemp("finished") / "run"
    settings = {**SMALL, "steps": 20, "validate_every": 10}
    TrainingOrder(growing_cohort, out, settings=settings).write()
    fit(growing_cohort, "cronos-continuous", out, TrainSettings.from_json(settings))
    return out


@pytest.fixture
def growing_series() -> Callable[..., LongitudinalSeries]:
    """Maker of a dated patient whose lesion grows: `growing_series((0, 60, 120))`, days of the visits."""

    def make(days: Sequence[float] = (0, 60, 120)) -> LongitudinalSeries:
        return LongitudinalSeries.from_dates(
            Scan(
                image=head_with_lesion(5 + day / 30),
                time=float(day),
                name=f"visit-{index}",
                source=TimeSource.TYPED,
                date=FIRST_VISIT + timedelta(days=day),
            )
            for index, day in enumerate(days)
        )

    return make


@pytest.fixture
def beating_series() -> LongitudinalSeries:
    """A patient with times in milliseconds instead of dates."""
    scans = [
        Scan(head_with_lesion(6 + index), 50.0 * index, f"phase-{index}", TimeSource.TRIGGER) for index in range(3)
    ]
    return LongitudinalSeries(tuple(scans), TimeUnit.MILLISECOND)


@pytest.fixture
def written_patient(tmp_path: Path) -> list[str]:
    """Three dated NRRD files as the command line takes them: DATE=PATH."""
    written = []
    for day in (0, 60, 120):
        path = tmp_path / "patient" / f"visit {day}.nrrd"
        path.parent.mkdir(exist_ok=True)
        sitk.WriteImage(head_with_lesion(5 + day / 30), str(path))
        written.append(f"{(FIRST_VISIT + timedelta(days=day)).date()}={path}")
    return written


@pytest.fixture
def no_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    """No scene.mrb from the command line: scenes have their own tests, and without them these are quick."""
    monkeypatch.setattr("CRONOSLib.commands.forecast._scene_writer", lambda: None)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """An untrained CRONOS of a few thousand weights, on disk; it counts years and has seen 30 to 200 days."""
    settings = {"network": {"unet": {"width": 4, "multipliers": [1, 2], "embedding": 16, "groups": 2}}}
    bundle = Bundle(
        name="tiny",
        title="A tiny CRONOS",
        method="cronos-continuous",
        settings=settings,
        preprocessing=Preprocessing(grid=GridSpec(spacing_mm=4.0), alignment=Alignment.OFF),
        time_unit=TimeUnit.DAY,
        time_scale=365.25,
        horizons=(30.0, 200.0),
        typical_gap=60.0,
        max_contexts=8,
        training={"cohort": "none", "steps": 0, "seed": 0},
        skill=Skill(0.2, 0.1, 0.3, 12),
    )
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    save_bundle(folder, bundle, create_method(bundle.method, settings))
    return load_bundle(folder)


@pytest.fixture(scope="session")
def winding_bundle(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny CRONOS with weights drawn at random: an untrained one does not move at all."""
    method = create_method(tiny_bundle.method, tiny_bundle.settings)
    import torch

    torch.manual_seed(5)
    with torch.no_grad():
        for weight in method.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    folder = tmp_path_factory.mktemp("winding") / "winding"
    save_bundle(folder, replace(tiny_bundle, name="winding"), method)
    return load_bundle(folder)


@pytest.fixture
def host():
    """Slicer's panels without Slicer, on an empty scene; skipped where slicer-core or Qt is missing."""
    pytest.importorskip("slicer", reason="slicer-core is not installed", exc_type=ImportError)
    pytest.importorskip("PySide6.QtWidgets", reason="PySide6-Essentials cannot be loaded", exc_type=ImportError)
    from slicerhost import open_host
    from slicerhost.gui import application

    open_host()
    application.start()
    return application


@pytest.fixture(scope="module")
def unusual_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Temporary files of this module go here; the user's name is not ASCII."""
    folder, usual = tmp_path_factory.mktemp("Zeit 雪 ü"), tempfile.tempdir
    tempfile.tempdir = str(folder)
    yield folder
    tempfile.tempdir = usual


@pytest.fixture(scope="module")
def odd_client(unusual_temporary_folder: Path) -> Iterator[WorkerClient]:
    """Its worker copies the last scan, and misbehaves on request."""
    client = WorkerClient(odd_command(unusual_temporary_folder))
    yield client
    client.close()


@pytest.fixture
def panel(host):
    """The panel of CRONOS Predict, open on an empty scene."""
    import slicerhost

    opened = host.open_panel(slicerhost.load_module("CRONOSPredict"))
    yield opened
    host.close_panel(opened)


@pytest.fixture
def choose() -> Callable[..., None]:
    """Choose an entry of the panel's menu Add: `choose(panel, "T1")`."""

    def click(panel, text: str) -> None:
        menu = panel.ui.addButton.menu()
        menu.aboutToShow.emit()
        (action,) = [action for action in menu.actions() if action.text == text]
        action.trigger()

    return click


@pytest.fixture(scope="session")
def panel_worker() -> Iterator[WorkerClient]:
    """One worker for the panels of all tests: each would import torch anew."""
    client = WorkerClient()
    yield client
    WorkerClient.close(client)


@pytest.fixture
def shared_worker(host, panel_worker: WorkerClient, monkeypatch: pytest.MonkeyPatch) -> WorkerClient:
    """Panels work with `panel_worker`, and leave it alive."""

    def finish() -> None:
        panel_worker.cancel()
        panel_worker.wait()

    monkeypatch.setattr("CRONOSLib.scene.panel.job.WorkerClient", lambda on_log: panel_worker)
    monkeypatch.setattr(panel_worker, "close", finish)
    return panel_worker


@pytest.fixture
def filled(shared_worker: WorkerClient, panel, head, choose):
    """A panel with three visits, 60 days apart, and the method that draws a line."""
    import slicer
    from CRONOSLib.scene.nodes import add_volume
    from panel_driver import pick

    for index in range(3):
        day = (FIRST_VISIT + timedelta(days=60 * index)).date()
        add_volume(slicer.mrmlScene, head(5 + 2 * index), f"T1 {day}")
        choose(panel, f"T1 {day}")
    pick(panel.ui.methodCombo, "linear")
    return panel
