"""Seconds and peak memory of one forecast and one training step: our CRONOS beside the released one.

    python Testing/benchmarks/speed.py [--size 64 96 96] [--scans 3] [--repeats 5] [--out speed.md]

Every figure is the median of `repeats` after one warm-up, each model in a process of its own, one after the other in
one run; ratios are against the released network (dopri5, fp32, contiguous), built from our `release` preset with three
slots, so that it does no work on padding.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

CASES = {
    "release": {"method": "cronos-continuous", "preset": "release", "bf16": False},
    "paper": {"method": "cronos-continuous", "preset": "paper", "bf16": False},
    "cronos-continuous": {"method": "cronos-continuous", "preset": "default", "bf16": True},
    "cronos-discrete": {"method": "cronos-discrete", "preset": "default", "bf16": True},
}


def main() -> None:
    """Measure every case in a process of its own and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=3, default=[64, 96, 96], help="voxels: depth, height, width")
    parser.add_argument("--scans", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="write the table here as well")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--task", choices=("forecast", "step"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(_measure(arguments)))
        return
    table = _table({case: {task: _in_process(case, task) for task in ("forecast", "step")} for case in CASES})
    print(table)
    if arguments.out:
        arguments.out.write_text(table + "\n")


def _in_process(case: str, task: str) -> dict:
    command = [sys.executable, __file__, *sys.argv[1:], "--case", case, "--task", task]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def _measure(arguments: argparse.Namespace) -> dict:
    import torch
    from CRONOSLib.flow.series_batch import SeriesBatch
    from CRONOSLib.methods.registry import create_method

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    case = CASES[arguments.case]
    stacked = {"network": {"slots": arguments.scans}} if case["preset"] != "default" else {}
    method = create_method(case["method"], stacked, case["preset"])
    if case["bf16"]:
        method = method.to(memory_format=torch.channels_last_3d)
    batch = SeriesBatch(
        images=torch.rand(1, arguments.scans, 1, *arguments.size),
        times=torch.linspace(-0.4, 0, arguments.scans)[None],
        mask=torch.ones(1, arguments.scans, dtype=torch.bool),
        target_time=torch.tensor([0.25]),
        target=torch.rand(1, 1, *arguments.size),
    )
    optimiser = torch.optim.AdamW(method.parameters(), lr=1e-4)
    evaluations = 0

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=case["bf16"]):
            loss = method.loss(batch)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()

    def forecast() -> None:
        nonlocal evaluations
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=case["bf16"]):
            evaluations = method.forecast(batch).nfe

    before = _peak_mb()
    if arguments.task == "forecast":
        step()  # an untrained network is solved in one adaptive step; a trained one is not
    task = step if arguments.task == "step" else forecast
    seconds = []
    for _ in range(arguments.repeats + 1):
        start = time.perf_counter()
        task()
        seconds.append(time.perf_counter() - start)
    return {"seconds": statistics.median(seconds[1:]), "mb": _peak_mb() - before, "nfe": evaluations}


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _table(results: dict) -> str:
    base = results["release"]
    rows = [
        f"{platform.processor() or platform.machine()}, Python {platform.python_version()}",
        "",
        "| network | forecast s | evaluations | faster | forecast MB | step s | faster | step MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case, result in results.items():
        forecast, step = result["forecast"], result["step"]
        rows.append(
            f"| {case} | {forecast['seconds']:.3f} | {forecast['nfe']} "
            f"| ×{base['forecast']['seconds'] / forecast['seconds']:.1f} | {forecast['mb']:.0f} "
            f"| {step['seconds']:.3f} | ×{base['step']['seconds'] / step['seconds']:.1f} | {step['mb']:.0f} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    main()
