"""Tables of a leaderboard as text: cells, and their Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from CRONOSLib.benchmark.leaderboard import FinishedRun, Leaderboard, metric_of
from CRONOSLib.evaluation.card_sections import Cells, interval, number

_LATEX = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "±": r"$\pm$", "−": "$-$", "–": "--"}
_SHOWN_LEVEL = 0.9
_NOTHING = "–"


def quality(board: Leaderboard) -> Cells:
    """Every contender, the best first: skill with its intervals, and the errors that the papers print."""
    rows = [row for row in board.skill_rows if row.grouping == "all"]
    cells = [
        [
            "method", "skill (95 % CI)", "SD of seeds", "best is ahead by (95 % CI)", "pooled skill (95 % CI)",
            "skill, most changed", "NRMSE", "NRMSE, Euclidean", "PSNR, dB", "SSIM", "sharpness", "folding, %", "CRPS",
            "90 % range holds",
        ]
    ]  # fmt: skip
    for row in rows:
        group = board.measured[row.method]
        deviation = board.seed_deviation(row.method)
        metrics = [
            ("nrmse", "{:.4f}"), ("nrmse_euclidean", "{:.4f}"), ("psnr", "{:.2f}"), ("ssim", "{:.4f}"),
            ("sharpness", "{:+.2f}"), ("folding_percent", "{:.3f}"), ("crps", "{:.4f}"),
        ]  # fmt: skip
        cells.append(
            [row.method, interval(row.skill), _or_nothing("{:.3f}", deviation), str(row.ahead or _NOTHING)]
            + [interval(board.pooled(row.method)), number(row.changed)]
            + [_or_nothing(form, metric_of(group, metric)) for metric, form in metrics]
            + [_or_nothing("{:.1%}", _mean(group, _coverage))]
        )
    return cells


def by_horizon(board: Leaderboard) -> Cells:
    """Mean skill of every contender in each quarter of the horizons."""
    rows = [row for row in board.skill_rows if row.grouping == "horizon"]
    groups = list(dict.fromkeys(row.group for row in rows))
    skills = {(row.method, row.group): number(row.skill.mean) for row in rows}
    return [["method", *groups]] + [[name, *(skills[name, group] for group in groups)] for name in board.measured]


def differences(boards: Sequence[Leaderboard], pairs: Sequence[tuple[str, str]]) -> Cells:
    """Skill of the first minus skill of the second contender of each pair, by cohort."""
    cells = [["method", "against", *(board.cohort for board in boards)]]
    for first, second in pairs:
        leads = [board.difference(first, second) for board in boards]
        cells.append([first, second, *(str(lead or _NOTHING) for lead in leads)])
    return cells


def cost(board: Leaderboard, band: tuple[int, int]) -> Cells:
    """What every contender takes. band: least and most parameters that a network should have."""
    cells = [["method", "parameters", "steps", "seeds", "step, s", "forecast, s", "memory, MB"]]
    for name, group in board.measured.items():
        outcome = group[0].outcome
        trained = group[0].run.contender.trained
        cells.append(
            [
                name,
                parameters(outcome.parameters, band) if trained else _NOTHING,
                str(outcome.steps) if trained else _NOTHING,
                str(len(group)),
                _or_nothing("{:.3g}", _mean(group, lambda one: one.outcome.step_seconds)),
                _or_nothing("{:.3g}", metric_of(group, "seconds")),
                _or_nothing("{:.0f}", _mean(group, lambda one: one.outcome.peak_memory_mb)),
            ]
        )
    return cells


def parameters(count: int, band: tuple[int, int]) -> str:
    """Millions of parameters; an asterisk marks those outside the band."""
    return f"{count / 1e6:.2f} M" + ("" if band[0] <= count <= band[1] else " *")


def latex(cells: Cells, caption: str) -> str:
    """A table of the package booktabs."""
    head, *body = ([_escaped(cell) for cell in line] for line in cells)
    lines = [f"{' & '.join(line)} \\\\" for line in body]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_escaped(caption)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
            r"\toprule",
            f"{' & '.join(head)} \\\\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _mean(group: Sequence[FinishedRun], value: Callable[[FinishedRun], float | None]) -> float | None:
    values = [found for found in map(value, group) if found is not None]
    return sum(values) / len(values) if values else None


def _coverage(one: FinishedRun) -> float | None:
    return dict(one.outcome.coverage).get(_SHOWN_LEVEL)


def _or_nothing(form: str, value: float | None) -> str:
    return _NOTHING if value is None else form.format(value)


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
