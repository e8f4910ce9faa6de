"""Forecasts every patient of a table in 3D Slicer, without a window.

    Slicer --no-main-window --python-script forecast_cohort.py cohort.tsv results 90

cohort.tsv:  one row per scan, with the columns subject, date and path; a column target, where there is one, is the date
             to forecast
results:     folder; it gets results.csv with one row per patient, and a folder for each patient
90:          days after the last scan of a patient without target

What is there already is not forecast again: a run that was cut off goes on when it is started again. Exit code 0: all
were forecast; 3: some could not, results.csv says why; 2: nothing could be done.
"""

import sys

import slicer
from CRONOSLib.errors import CronosError

from CRONOSPredict import CRONOSPredictLogic


def main(manifest, out, days):
    """Forecast, telling each patient as it is done; returns the exit code."""
    try:
        rows = CRONOSPredictLogic().forecastCohort(
            manifest,
            out,
            days=float(days),
            onPatient=lambda row, done: print(f"{done:4.0%}  {row.subject}: {row.sentence or row.outcome}"),
        )
    except CronosError as error:
        print(error, file=sys.stderr)
        return 2
    return 3 if any(row.outcome == "failed" for row in rows) else 0


slicer.util.exit(main(*sys.argv[1:4]))
