"""Trains a model in 3D Slicer, without a window.

    Slicer --no-main-window --python-script train_model.py train.json

train.json: {"cohort": folder of patients or of a cohort, "out": folder of the run, "settings": {"steps": 800}}; the
            run.json of an earlier run will do

The run is a process of its own: one whose Slicer was ended goes on, and one that was cut off goes on when this is
started again. Exit code 0: trained; 2: it could not be, and a sentence says why.
"""

import json
import sys
from pathlib import Path

import slicer
from CRONOSLib.errors import CronosError

from CRONOSTrain import CRONOSTrainLogic


def main(config):
    """Train, telling what is being done; returns the exit code."""
    said = set()

    def tell(status):
        if status.message not in said:
            said.add(status.message)
            print(status.message, flush=True)

    try:
        bundle = CRONOSTrainLogic().train(json.loads(Path(config).read_text("utf-8")), onStatus=tell)
    except CronosError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{bundle.path}: skill {bundle.skill}")
    return 0


slicer.util.exit(main(sys.argv[1]))
