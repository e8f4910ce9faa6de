"""Types a command and says what came of it."""

from __future__ import annotations

import json
from pathlib import Path

import SimpleITK as sitk
from CRONOSLib.cli import app
from typer.testing import CliRunner, Result

QUICK = ("--method", "linear", "--align", "off", "--device", "cpu")


def cronos(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def done(*arguments: object) -> Result:
    """A run that ends well."""
    result = cronos(*arguments)
    assert result.exit_code == 0, result.output
    return result


def mistake(*arguments: object) -> str:
    """The one line that a mistaken run leaves on stderr, after any warnings."""
    result = cronos(*arguments)
    assert result.exit_code == 2, (result.output, result.exception)
    *warnings, sentence = result.stderr.splitlines()
    assert all(line.startswith("Warning: ") for line in warnings)
    assert "Traceback" not in result.output
    assert sentence.endswith(".")
    return sentence


def scans(written: list[str]) -> list[str]:
    return [word for scan in written for word in ("--scan", scan)]


def write(image: sitk.Image, path: Path) -> Path:
    sitk.WriteImage(image, str(path))
    return path


def report_of(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text())
