"""The page that says how the comparison came out: Markdown beside its figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from CRONOSLib import __version__
from CRONOSLib.benchmark.configuration import Benchmark
from CRONOSLib.benchmark.figures import write_figures
from CRONOSLib.benchmark.leaderboard import REFERENCE, Leaderboard
from CRONOSLib.benchmark.tables import by_horizon, cost, differences, latex, quality
from CRONOSLib.evaluation.card_sections import Cells, markdown
from CRONOSLib.training.run_folder import writing
from CRONOSLib.whole_file import write_whole_file

_ABOUT = """# Benchmark

Made by CRONOS {version} with

```sh
{command}
```

Every method was trained on the same patients, prepared and augmented in the same way, with the same optimiser and
{budget}, and measured on the same test patients, whom nothing was chosen on: the last scan of each, forecast from
{count} different numbers of earlier scans. Methods that learn nothing are run once, the others with {seeds}. For
research use only.

*Skill* is 1 − MSE/MSE of copying the last scan (LCI), per patient: 0 is copying, 1 is perfect. Intervals are 95 %,
by a bootstrap over patients; leads are paired. *Pooled* skill is that of the mean errors: a patient in whom hardly
anything changed weighs little there, and much in the mean. *Most changed* looks only at the 2 % of voxels that truly
changed most. NRMSE is sqrt(MSE)/range, and ‖x − y‖/‖y‖ for the Euclidean one; PSNR and the 3D SSIM (windows
of 11³ voxels, 7³ where an axis is shorter) have the fixed range 0…1.
*Sharpness* is decades of power at high frequencies beside the truth: below 0 is blurrier. *Folding* is the share of
voxels with det J ≤ 0. The *CRPS* is that of the members; of a single one it is the mean absolute error. The *90 %
range* is calibrated on validation patients. Seconds are processor seconds on a CPU; memory is the peak of the process
that trained and forecast."""

_BAND = "Networks should have {least:.2g} to {most:.2g} million parameters; an asterisk marks those that do not."

_PAIRED = "Skill of the method minus that of the other, paired over patients, with the 95 % interval."

_CAPTIONS = {
    "skill-by-horizon": "Skill by horizon; the best methods in colour, and the interval of the very best",
    "quality-against-seconds": "Skill against the seconds of one forecast; those far below copying are left out",
    "calibration": "How often ranges held the truth, against what they were made for",
}


def write_page(
    folder: Path, benchmark: Benchmark, boards: Sequence[Leaderboard], command: str, remarks: str = ""
) -> Path:
    """benchmark.md with its figures, and tables.tex; returns the page. Raises OutputError, MissingPackageError.

    remarks: Markdown that stands before the tables
    """
    with writing(folder):
        figures = write_figures(folder, boards)
        write_whole_file(folder / "tables.tex", "\n\n".join(_latex(boards, benchmark)) + "\n")
        page = folder / "benchmark.md"
        write_whole_file(page, "\n\n".join(_sections(benchmark, boards, figures, command, remarks)) + "\n")
    return page


def verdict(board: Leaderboard) -> str:
    """Who beat copying, who did not, in one paragraph."""
    rows = [row for row in board.skill_rows if row.grouping == "all" and row.method != REFERENCE]
    if not rows:
        return "No method has been measured yet."
    above = [row.method for row in rows if row.skill.low > 0]
    below = [row.method for row in rows if row.skill.high < 0]
    between = [row.method for row in rows if row.method not in (*above, *below)]
    parts = [
        f"{how}: {', '.join(names)}."
        for how, names in (
            ("Above copying the last scan, best first", above),
            ("Not told apart from copying", between),
            ("Below copying", below),
        )
        if names
    ]
    return " ".join(parts)


def _sections(
    benchmark: Benchmark, boards: Sequence[Leaderboard], figures: Sequence[Path], command: str, remarks: str
) -> list[str]:
    steps = sorted({one.run.settings.steps for board in boards for one in board.runs})
    seconds = benchmark.train_seconds
    budget = f"{seconds:g} seconds" if seconds else f"{' or '.join(map(str, steps))} steps"
    seeds = _seeds(boards)
    sections = [
        _ABOUT.format(version=__version__, command=command, budget=budget, count=benchmark.forecasts, seeds=seeds)
    ]
    sections += [remarks.strip()] if remarks else []
    if benchmark.pairs:
        sections += ["## Who is ahead of whom", _PAIRED, markdown(differences(boards, benchmark.pairs))]
    for board in boards:
        sections += _of_cohort(board, benchmark)
    sections += ["## Figures"] if figures else []
    for path in figures:
        caption = _CAPTIONS.get(path.stem, "Worst test patients: last scan, forecast, truth, and both changes")
        sections.append(f"![{caption}]({path.name})")
    return [*sections, "## Configuration", f"```json\n{_configuration(benchmark)}\n```"]


def _seeds(boards: Sequence[Leaderboard]) -> str:
    """With how many seeds the methods that learn were trained so far."""
    groups = [group for board in boards for group in board.measured.values()]
    counts = {len(group) for group in groups if group[0].run.contender.trained} or {0}
    least, most = min(counts), max(counts)
    return f"{least} to {most} seeds" if least < most else f"{most} seed" + ("s" if most != 1 else "")


def _configuration(benchmark: Benchmark) -> str:
    """What was compared, a line for each cohort, method and setting, without the places of this machine."""
    values = benchmark.to_json()
    for place in values["cohorts"].values():
        del place["folder"]
    lines = [f"  {json.dumps(name)}: {_unfolded(value)}" for name, value in values.items()]
    return "{\n" + ",\n".join(lines) + "\n}"


def _unfolded(value: Any) -> str:
    """JSON with a line for each part that has parts itself."""
    if isinstance(value, (list, tuple)) and any(isinstance(part, (dict, list, tuple)) for part in value):
        return "[\n" + ",\n".join(f"    {json.dumps(part)}" for part in value) + "\n  ]"
    if isinstance(value, dict) and any(isinstance(part, dict) for part in value.values()):
        parts = (f"    {json.dumps(name)}: {json.dumps(part)}" for name, part in value.items())
        return "{\n" + ",\n".join(parts) + "\n  }"
    return json.dumps(value)


def _of_cohort(board: Leaderboard, benchmark: Benchmark) -> list[str]:
    sections = [f"## {board.cohort}", _patients(board)]
    if board.measured:
        sections += [verdict(board), markdown(quality(board))]
        sections += ["### By horizon", markdown(by_horizon(board))]
        sections += ["### Cost", markdown(cost(board, benchmark.parameters)), _band(benchmark)]
    if board.failed:
        lines = [f"- {one.name}, seed {one.run.settings.seed}: {one.outcome.problem}" for one in board.failed]
        sections += ["### Failed", "\n".join(lines)]
    if board.missing:
        sections.append(f"{len(board.missing)} runs are not done yet.")
    return sections


def _patients(board: Leaderboard) -> str:
    rows = board.skill_rows
    if not rows:
        return "Nothing was measured."
    run = next(iter(board.measured.values()))[0].run
    shown = f"{rows[0].skill.patients} test patients, {rows[0].forecasts} forecasts"
    return f"{shown}; manifest {run.manifest_sha256[:12]}."


def _band(benchmark: Benchmark) -> str:
    least, most = (count / 1e6 for count in benchmark.parameters)
    return _BAND.format(least=least, most=most)


def _latex(boards: Sequence[Leaderboard], benchmark: Benchmark) -> list[str]:
    tables: list[tuple[str, Cells]] = []
    for board in boards:
        if board.measured:
            tables += [
                (f"Quality on {board.cohort}", quality(board)),
                (f"Skill by horizon on {board.cohort}", by_horizon(board)),
                (f"Cost on {board.cohort}", cost(board, benchmark.parameters)),
            ]
    return [latex(cells, caption) for caption, cells in tables]
