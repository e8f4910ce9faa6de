"""Pictures of leaderboards: skill by horizon, quality against seconds, calibration, and the worst patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from CRONOSLib.benchmark.leaderboard import Leaderboard, metric_of
from CRONOSLib.evaluation.drawing import BACKGROUND, FAINT, INK
from CRONOSLib.evaluation.gallery import write_gallery
from CRONOSLib.packages import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#4fc3f7", "#ffb74d", "#aed581", "#f06292", "#ba68c8", "#fff176")
"""Of the best contenders of a cohort, the best first; the others are faint."""

_WIDTH, _HEIGHT = 6.2, 4.4
"""Inches of one cohort."""


def write_figures(folder: Path, boards: Sequence[Leaderboard]) -> list[Path]:
    """Draw what the leaderboards allow. Raises MissingPackageError without matplotlib, OSError."""
    require("matplotlib", purpose="The figures")
    measured = [board for board in boards if board.measured]
    calibrated = [board for board in measured if any(one.outcome.coverage for one in board.runs)]
    drawn = [
        _figure(folder / "skill-by-horizon.png", measured, _skill_by_horizon),
        _figure(folder / "quality-against-seconds.png", measured, _quality_against_seconds),
        _figure(folder / "calibration.png", calibrated, _calibration),
    ]
    for board in measured:
        path = folder / f"worst-{board.cohort}.png"
        pictures = board.worst(len(COLOURS))
        if pictures:
            write_gallery(path, pictures, f"{board.cohort}: the worst test patient of the best methods")
            drawn.append(path)
    return [path for path in drawn if path is not None]


def _figure(path: Path, boards: Sequence[Leaderboard], draw: Callable[[Axes, Leaderboard], None]) -> Path | None:
    """One drawing per cohort, side by side; None without any."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not boards:
        return None
    figure = Figure(figsize=(_WIDTH * len(boards), _HEIGHT), facecolor=BACKGROUND, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, board in zip(figure.subplots(1, len(boards), squeeze=False)[0], boards):
        draw(axes, board)
        _dress(axes, board.cohort)
    figure.savefig(path, dpi=100, facecolor=BACKGROUND)
    return path


def _dress(axes: Axes, title: str) -> None:
    """Colours, grid and legend that all of them have."""
    axes.set_facecolor(BACKGROUND)
    axes.set_title(title, color=INK, fontsize=10)
    axes.tick_params(colors=FAINT, labelsize=8)
    axes.grid(color=FAINT, alpha=0.15)
    for edge, spine in axes.spines.items():
        spine.set_visible(edge in ("left", "bottom"))
        spine.set_color(FAINT)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=FAINT, fontsize=9)
    lines, names = axes.get_legend_handles_labels()
    if names:
        axes.legend(lines[::-1], names[::-1], fontsize=7, labelcolor=INK, facecolor=BACKGROUND, edgecolor=FAINT)


def _colour(board: Leaderboard, name: str) -> tuple[str, bool]:
    """Its colour, and whether it is one of the best."""
    best = board.ranking[: len(COLOURS)]
    return (COLOURS[best.index(name)], True) if name in best else (FAINT, False)


def _skill_by_horizon(axes: Axes, board: Leaderboard) -> None:
    rows = [row for row in board.skill_rows if row.grouping == "horizon"]
    groups = list(dict.fromkeys(row.group for row in rows))
    for name in reversed(board.measured):
        colour, among_best = _colour(board, name)
        skills = [row.skill for row in rows if row.method == name]
        axes.plot([skill.mean for skill in skills], "o-", color=colour, label=name if among_best else None, ms=3, lw=1)
        if name == rows[0].method:
            low, high = [skill.low for skill in skills], [skill.high for skill in skills]
            axes.fill_between(range(len(skills)), low, high, color=colour, alpha=0.12)
    axes.set_xticks(range(len(groups)), groups)
    axes.axhline(0, color=INK, lw=0.8, ls=":")
    _show_near_zero(axes, [row.skill.mean for row in rows], max(row.skill.mean for row in rows))
    axes.set_xlabel("horizon")
    axes.set_ylabel("skill; 0 is copying the last scan")


def _quality_against_seconds(axes: Axes, board: Leaderboard) -> None:
    skills = {row.method: row.skill for row in board.skill_rows if row.grouping == "all"}
    _show_near_zero(axes, [skill.mean for skill in skills.values()], max(skill.high for skill in skills.values()))
    for name, group in reversed(board.measured.items()):
        colour, among_best = _colour(board, name)
        seconds, skill = max(metric_of(group, "seconds") or 0, 1e-4), skills[name]
        around = [[skill.mean - skill.low], [skill.high - skill.mean]]
        if skill.mean > axes.get_ylim()[0]:
            label = name if among_best else None
            axes.errorbar([seconds], [skill.mean], yerr=around, fmt="o", color=colour, label=label, ms=4, lw=0.8)
    axes.set_xscale("log")
    axes.axhline(0, color=INK, lw=0.8, ls=":")
    axes.set_xlabel("seconds of one forecast")
    axes.set_ylabel("skill; 0 is copying the last scan")


def _calibration(axes: Axes, board: Leaderboard) -> None:
    axes.plot([0.4, 1], [0.4, 1], color=INK, lw=0.8, ls=":")
    sampled = {name: levels for name in board.ranking if (levels := board.measured[name][0].outcome.coverage)}
    for place, (name, levels) in reversed(list(enumerate(sampled.items()))):
        colour = COLOURS[place] if place < len(COLOURS) else FAINT
        axes.plot(*zip(*levels), "o-", color=colour, label=name if place < len(COLOURS) else None, ms=3, lw=1)
    axes.set_xlabel("made to hold at least this share")
    axes.set_ylabel("held in test patients")
    axes.set_xlim(0.4, 1.02)
    axes.set_ylim(top=1.02)


def _show_near_zero(axes: Axes, skills: Sequence[float], highest: float) -> None:
    """A method that fails altogether must not flatten the others; the table has it."""
    top = max(0.05, highest)
    axes.set_ylim(max(min(skills), -max(0.5, 2 * top)) - 0.1 * top, top * 1.2)
