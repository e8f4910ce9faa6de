"""A method and its baselines on held-out patients: skill, calibrated ranges and pictures, measured in one go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from CRONOSLib.bundles.calibration import Calibration
from CRONOSLib.bundles.skill import Skill
from CRONOSLib.bundles.store import Evaluation
from CRONOSLib.evaluation.calibration import measured
from CRONOSLib.evaluation.card_sections import calibration_section, skill_section
from CRONOSLib.evaluation.gallery import Picture, best_median_worst, write_gallery
from CRONOSLib.evaluation.held_out_forecast import HeldOutForecast, per_patient, skill_of, write_results
from CRONOSLib.evaluation.skill import patient_skill
from CRONOSLib.evaluation.skill_table import SkillRow, skill_table, write_skill_table
from CRONOSLib.methods.interface import Method
from CRONOSLib.methods.registry import create_method
from CRONOSLib.series import TimeUnit
from CRONOSLib.training.draws import assemble
from CRONOSLib.training.held_out import draw_of, evaluate, forecast_of, truth_at_own_scale
from CRONOSLib.training.patients import PreparedPatient
from CRONOSLib.training.settings import TrainSettings

BASELINES = ("mean", "linear", "ridge")
"""Beside LCI, which skill is measured against."""

RESULTS, SKILL, GALLERY = "results.csv", "skill.csv", "gallery.png"


@dataclass(frozen=True)
class Assessment:
    """What was measured on the patients of one split.

    results:     by method, the measured one first; the same forecasts in the same order
    calibration: of the measured method, with its coverage in these patients; None where it has no spread
    pictures:    of the best, the median and the worst patient by skill
    """

    split: str
    unit: TimeUnit
    results: Mapping[str, Sequence[HeldOutForecast]]
    calibration: Calibration | None
    pictures: tuple[Picture, ...]

    @property
    def method(self) -> str:
        """Name of the method that was measured."""
        return next(iter(self.results))

    @property
    def skill(self) -> Skill:
        """Of the measured method."""
        return skill_of(self.results[self.method], self.split)

    @property
    def table(self) -> tuple[SkillRow, ...]:
        """Skill beside the baselines, by horizon and by number of contexts."""
        return skill_table(self.results, self.split, self.unit.value)

    @property
    def for_card(self) -> Evaluation:
        """What the model card says and shows."""
        return Evaluation(self.text, lambda folder: write_assessment(folder, self))

    @property
    def text(self) -> str:
        """Markdown; the gallery lies beside it."""
        parts = ["## How good it is", skill_section(self.table)]
        if self.calibration is not None:
            parts += ["### How sure it is", calibration_section(self.calibration)]
        picture = f"![Best, median and worst {self.split} patient]({GALLERY})"
        return "\n\n".join([*parts, f"### Best, median and worst {self.split} patient", picture])


def assess(
    name: str,
    method: Method,
    patients: Sequence[PreparedPatient],
    settings: TrainSettings,
    *,
    split: str,
    unit: TimeUnit,
    calibration: Calibration | None = None,
    device: torch.device | str = "cpu",
    further: bool = False,
    on_progress: Callable[[str, float], None] | None = None,
) -> Assessment:
    """Measure a method, and every baseline, on every frozen draw of held-out patients.

    name:        of the method
    settings:    how its patients are prepared; `every_draw` False measures each patient's last visit only
    calibration: ranges whose coverage is measured
    further:     also measure what takes longer, see `evaluate`
    on_progress: told what is being done and the fraction done
    """
    tell = on_progress or (lambda what, fraction: None)
    baselines = [baseline for baseline in BASELINES if baseline != name]
    methods = {name: method, **{baseline: create_method(baseline).to(device).eval() for baseline in baselines}}
    results = {}
    for number, (each, model) in enumerate(methods.items()):
        results[each] = evaluate(
            model,
            patients,
            settings if each == name else replace(settings, precision="32-true"),
            every_draw=settings.every_draw,
            device=device,
            further=further,
            on_patient=lambda done, each=each, number=number: tell(  # type: ignore[misc]
                f"Measuring {each}", (number + done) / len(methods)
            ),
        )
    return Assessment(
        split=split,
        unit=unit,
        results=results,
        calibration=calibration and measured(calibration, results[name]),
        pictures=best_median_worst_pictures(method, patients, results[name], settings, device),
    )


def write_assessment(folder: Path, assessment: Assessment) -> None:
    """Write results.csv, skill.csv and gallery.png into a folder that exists. Raises OSError."""
    write_results(folder / RESULTS, assessment.results[assessment.method])
    write_skill_table(folder / SKILL, assessment.table)
    title = f"{assessment.method}: best, median and worst of {assessment.skill.patients} {assessment.split} patients"
    write_gallery(folder / GALLERY, assessment.pictures, title)


def best_median_worst_pictures(
    method: Method,
    patients: Sequence[PreparedPatient],
    results: Sequence[HeldOutForecast],
    settings: TrainSettings,
    device: torch.device | str,
) -> tuple[Picture, ...]:
    """Patients by their skill, each shown by its most usual forecast: the one whose own skill is nearest to that."""
    subjects, (error, lci) = per_patient(results, "mse", "lci_mse")
    skills = patient_skill(error, lci)
    by_subject = {patient.subject: patient for patient in patients}
    pictures = []
    for name, index in best_median_worst(skills.tolist()):
        patient = by_subject[subjects[index]]
        draw = draw_of(_usual(results, patient.subject, skills[index]), patient)
        batch = assemble(patient, draw, settings.preprocessing.intensity, settings.time_scale).to(device)
        forecast = forecast_of(method, batch, settings).forecast
        pictures.append(
            Picture(
                caption=f"{name}: {patient.subject}, skill {skills[index]:.3f}",
                last=batch.last_image[0, 0].cpu().numpy(),
                forecast=forecast[0, 0].float().cpu().numpy(),
                truth=truth_at_own_scale(patient, draw, batch, settings),
            )
        )
    return tuple(pictures)


def _usual(results: Sequence[HeldOutForecast], subject: str, skill: float) -> HeldOutForecast:
    own = [result for result in results if result.subject == subject and result.lci_mse > 0]
    skills = patient_skill(np.array([one.mse for one in own]), np.array([one.lci_mse for one in own]))
    return own[int(np.argmin(np.abs(skills - skill)))]
