"""The benchmark: the same conditions for everybody, runs that survive, failures that are rows."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from CRONOSLib.benchmark.configuration import merged, read_benchmark
from CRONOSLib.benchmark.leaderboard import FinishedRun, metric_of
from CRONOSLib.benchmark.run import Outcome
from CRONOSLib.benchmark.tables import latex
from CRONOSLib.cli import app
from CRONOSLib.cohorts.manifest import read_cohort, write_cohort
from CRONOSLib.errors import MethodError
from CRONOSLib.evaluation.held_out_forecast import HeldOutForecast
from CRONOSLib.methods.registry import method_names
from CRONOSLib.training.draws import Draw, spread_draws
from typer.testing import CliRunner, Result

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"network": {"unet": {"width": 4, "multipliers": [1, 2], "embedding": 8, "groups": 2}}}
SETTINGS = {
    "steps": 2,
    "batch_size": 1,
    "validate_every": 1,
    "precision": "32-true",
    "preprocessing": {"grid": {"spacing_mm": 6}},
}
MEASURED_BY_CLOCK = {"seconds", "step_seconds", "peak_memory_mb"}


def written(folder: Path, cohort: Path, **changes) -> Path:
    """A configuration of one tiny network, two methods that learn nothing, and one that cannot be made."""
    values = {
        "cohorts": {"heads": {"folder": str(cohort)}},
        "methods": [
            "lci",
            "linear",
            {"name": "tiny", "method": "cronos-continuous", "settings": SMALL},
            {"name": "broken", "method": "cronos-continuous", "settings": {"no_such_setting": 1}},
        ],
        "seeds": [0, 1],
        "settings": SETTINGS,
        "parameters": [10**6, 10**7],
        "forecasts": 2,
    }
    path = folder / "benchmark.json"
    path.write_text(json.dumps({**values, **changes}))
    return path


def cronos_benchmark(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["benchmark", "--device", "cpu", *map(str, arguments)])


def mistake(*arguments: object) -> str:
    """The one line that a mistaken command leaves on stderr."""
    result = cronos_benchmark(*arguments)
    assert result.exit_code == 2, (result.output, result.exception)
    return result.stderr.splitlines()[-1]


def rows_of(path: Path) -> list[dict[str, str]]:
    """Without what a clock measures."""
    with path.open(newline="") as file:
        return [
            {name: cell for name, cell in row.items() if name not in MEASURED_BY_CLOCK} for row in csv.DictReader(file)
        ]


@pytest.fixture(scope="module")
def config(growing_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pairs = [("tiny", "lci"), ("linear", "broken")]
    return written(tmp_path_factory.mktemp("configuration"), growing_cohort, pairs=pairs)


@pytest.fixture(scope="module")
def finished(config: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """Folder and last words of a whole benchmark."""
    out = tmp_path_factory.mktemp("benchmark") / "out"
    remarks = out.parent / "remarks.md"
    remarks.write_text("## What it shows\n\nNothing yet.\n")
    return out, cronos_benchmark(
        "--config", config, "--out", out, "--page", out.parent / "page.md", "--remarks", remarks
    )


def test_every_method_is_a_row_per_patient_and_seed(finished: tuple[Path, Result], growing_cohort: Path) -> None:
    rows = [row for row in rows_of(finished[0] / "results.csv") if not row["problem"]]
    subjects = {patient.subject for patient in read_cohort(growing_cohort).split("test")}
    expected = {("lci", "0"), ("linear", "0"), ("tiny", "0"), ("tiny", "1")}
    assert {(row["method"], row["seed"]) for row in rows} == expected
    assert len(rows) == len(expected) * len(subjects)
    assert {row["subject"] for row in rows} == subjects
    assert {row["forecasts"] for row in rows} == {"2"}
    assert all(float(row["skill"]) == 0 for row in rows if row["method"] == "lci")
    assert all(row["ssim"] and row["psnr"] and row["nrmse_euclidean"] for row in rows)


def test_a_pair_is_the_difference_of_its_skills(finished: tuple[Path, Result]) -> None:
    rows = [row for row in rows_of(finished[0] / "results.csv") if not row["problem"]]
    tiny, lci = ([float(row["skill"]) for row in rows if row["method"] == name] for name in ("tiny", "lci"))
    lead = f"| tiny | lci | {np.mean(tiny) - np.mean(lci):+.3f} ("
    assert lead in (finished[0] / "benchmark.md").read_text()


def test_what_some_forecasts_lack_is_no_mean_over_the_others() -> None:
    first = HeldOutForecast("a", 1, 3, 60.0, 0.1, 0.2, 0.3, 0.4, psnr=20.0)
    second = replace(first, contexts=2, psnr=30.0, crps=0.1)
    run: Any = None  # what was run does not matter
    group = [FinishedRun(run, Outcome(), (first, second))]
    assert metric_of(group, "psnr") == 25.0
    assert metric_of(group, "crps") is None
    assert metric_of([replace(group[0], results=(second,))], "crps") == 0.1


def test_a_method_that_fails_is_a_row_with_its_sentence(finished: tuple[Path, Result]) -> None:
    out, result = finished
    broken = [row for row in rows_of(out / "results.csv") if row["problem"]]
    assert {(row["method"], row["seed"]) for row in broken} == {("broken", "0"), ("broken", "1")}
    assert "no_such_setting" in broken[0]["problem"]
    assert result.exit_code == 3
    assert "Traceback" not in result.output
    assert "no_such_setting" in (out / "benchmark.md").read_text()


def test_the_page_shows_tables_figures_and_the_command(finished: tuple[Path, Result]) -> None:
    out, _ = finished
    text = (out.parent / "page.md").read_text()
    assert "cronos benchmark --config benchmark.json" in text
    assert "| linear |" in text
    assert text.index("Nothing yet.") < text.index("## Who is ahead of whom") < text.index("## heads")
    assert "| linear | broken | – |" in text
    assert "M *" in text, "the tiny network is outside the band"
    for name in ("skill-by-horizon", "quality-against-seconds", "worst-heads"):
        assert f"](page/{name}.png)" in text
        assert (out.parent / "page" / f"{name}.png").stat().st_size > 10_000
    assert (out / "tables.tex").read_text().count(r"\begin{table}") == 3


def test_a_killed_benchmark_goes_on_to_the_same_results(
    finished: tuple[Path, Result], config: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    words = [sys.executable, "-m", "CRONOSLib.cli", "benchmark", "--config", str(config), "--out", str(out)]
    process = subprocess.Popen([*words, "--device", "cpu"], cwd=ROOT / "CRONOSPredict", stderr=subprocess.DEVNULL)
    begun, deadline = out / "runs" / "heads" / "tiny" / "seed-0" / "fit", time.monotonic() + 120
    while not begun.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the benchmark ended before it could be killed"
    kept = (out / "runs" / "heads" / "linear" / "seed-0" / "outcome.json").stat().st_mtime_ns
    assert cronos_benchmark("--config", config, "--out", out).exit_code == 3
    assert (out / "runs" / "heads" / "linear" / "seed-0" / "outcome.json").stat().st_mtime_ns == kept
    for name in ("results.csv", "forecasts.csv"):
        assert rows_of(out / name) == rows_of(finished[0] / name)


def test_other_patients_are_refused(growing_cohort: Path, tmp_path: Path) -> None:
    cohort, out = tmp_path / "cohort", tmp_path / "out"
    shutil.copytree(growing_cohort, cohort)
    config = written(tmp_path, cohort, methods=["lci"])
    assert cronos_benchmark("--config", config, "--out", out).exit_code == 0
    known = read_cohort(cohort)
    write_cohort(cohort, known.patients[:-1], name=known.name)
    assert "its manifest differs" in mistake("--config", config, "--out", out, "--report-only")


def test_other_settings_are_refused_and_other_methods_are_not(finished: tuple[Path, Result], config: Path) -> None:
    sentence = mistake("--config", config, "--out", finished[0], "--steps", 3)
    assert "steps" in sentence
    assert "give another folder" in sentence
    more = written(
        finished[0].parent, Path(json.loads(config.read_text())["cohorts"]["heads"]["folder"]), methods=["lci", "mean"]
    )
    assert cronos_benchmark("--config", more, "--out", finished[0], "--plan").exit_code == 0


def test_the_plan_tells_hours_and_parameters_and_runs_nothing(config: Path, tmp_path: Path) -> None:
    result = cronos_benchmark(
        "--config", config, "--out", tmp_path / "out", "--plan", "--only", "tiny", "--only", "lci"
    )
    assert result.exit_code == 0, result.output
    assert "processor hours" in result.stdout
    assert "M *" in result.stdout
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["benchmark", "benchmark-tiny"])
def test_the_configurations_that_ship_name_every_method(name: str) -> None:
    known = read_benchmark(ROOT / "docs" / f"{name}.json")
    assert len(known.cohorts) == 3
    if name == "benchmark":
        assert {one.method for one in known.contenders} == set(method_names())
        assert len(known.seeds) == 3


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"methods": ["nothing"]}, "no method 'nothing'"),
        ({"methods": ["lci", "lci"]}, "called 'lci'"),
        ({"methods": [{"name": "a/b", "method": "lci"}]}, "name of a folder"),
        ({"methods": [{"method": "lci", "preset": "paper"}]}, "no preset 'paper'"),
        ({"colour": 1}, "no 'colour'"),
        ({"cohorts": {}}, "needs a cohort"),
        ({"settings": {"seed": 3}}, "'seed'"),
        ({"pairs": [["lci", "mean"]]}, "'mean' stands under 'pairs'"),
    ],
)
def test_a_wrong_configuration_is_one_sentence(
    changes: dict, sentence: str, growing_cohort: Path, tmp_path: Path
) -> None:
    assert sentence in mistake("--config", written(tmp_path, growing_cohort, **changes), "--out", tmp_path / "out")


def test_settings_of_a_method_give_way_to_those_of_a_contender(growing_cohort: Path, tmp_path: Path) -> None:
    listed = ["tfm", {"name": "narrow", "method": "tfm", "settings": {"network": {"unet": {"width": 8}}}}]
    settings = {"tfm": {"sigma_data": 1, "network": {"unet": {"width": 16, "groups": 4}}}}
    known = read_benchmark(written(tmp_path, growing_cohort, methods=listed, method_settings=settings))
    assert [one.settings["network"]["unet"]["width"] for one in known.contenders] == [16, 8]
    assert known.contenders[1].settings["network"]["unet"]["groups"] == 4
    assert merged({"a": {"b": 1}}, {"a": 2}) == {"a": 2}
    with pytest.raises(MethodError, match="no cohort 'c'"):
        known.narrowed((), ["c"], ())


@pytest.mark.parametrize("visits", [2, 3, 12, 32])
def test_draws_are_spread_over_the_horizons_and_end_with_all_scans(visits: int) -> None:
    draws = list(spread_draws(visits, 6, 3))
    assert len(draws) == min(3, visits - 1)
    assert all(draw.target == visits - 1 for draw in draws)
    lasts = [draw.contexts[-1] for draw in draws]
    assert lasts == sorted(set(lasts))
    assert draws[-1] == Draw(tuple(range(max(0, visits - 7), visits - 1)), visits - 1)
    assert np.diff(lasts).max(initial=0) <= visits / 2


def test_latex_escapes_what_it_would_read() -> None:
    table = latex([["a_b", "90 %"], ["x & y", "1 ± 2"]], "50 %")
    assert r"a\_b & 90 \% \\" in table
    assert r"x \& y & 1 $\pm$ 2 \\" in table
    assert r"\caption{50 \%}" in table
