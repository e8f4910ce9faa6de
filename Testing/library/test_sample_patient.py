"""The sample patient that comes with CRONOS: a series to forecast from, and a truth that stays apart."""

from __future__ import annotations

import csv
import itertools

import numpy as np
import pytest
import SimpleITK as sitk
from CRONOSLib.imaging.sources import Source, read_series
from CRONOSLib.resources import sample_folder


@pytest.fixture(scope="module")
def series():
    return read_series([Source(sample_folder(), None)])


def test_the_folder_is_read_as_four_dated_scans_without_the_truth(series):
    assert [series.describe_time(time) for time in series.times] == [
        "2020-08-07",
        "2020-11-02",
        "2021-01-17",
        "2021-05-02",
    ]
    assert series.warnings == ()


def test_the_truth_is_later_than_the_last_scan(series):
    (truth,) = (sample_folder() / "truth").glob("*_T1Gd.nrrd")
    assert truth.name > series.last.path.name


def test_the_scans_are_oblique_and_finer_in_plane_than_across(series):
    for scan in series:
        assert scan.image.GetSpacing() == pytest.approx((0.94, 0.94, 3.0))
        assert not np.allclose(np.array(scan.image.GetDirection()).reshape(3, 3), np.eye(3), atol=0.01)


def test_the_tumour_grows_from_scan_to_scan():
    with (sample_folder() / "truth" / "volumes.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    visible = [float(row["necrosis_ml"]) + float(row["enhancing_ml"]) for row in rows]
    assert len(visible) == 5
    assert all(later > 1.2 * earlier for earlier, later in itertools.pairwise(visible))


def test_the_labels_lie_on_their_scans(series):
    for scan in series:
        labels = sitk.ReadImage(str(sample_folder() / "truth" / f"{scan.date.date()}_labels.nrrd"))
        assert labels.GetSize() == scan.image.GetSize()
        assert labels.GetOrigin() == pytest.approx(scan.image.GetOrigin())
        array, truth = sitk.GetArrayFromImage(scan.image), sitk.GetArrayFromImage(labels)
        assert array[truth == 3].mean() > 1.2 * array[(truth == 0) & (array > 0)].mean()


def test_the_sample_is_small_and_says_whose_it_is():
    files = [path for path in sample_folder().rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 6 * 2**20
    licence = (sample_folder() / "README.md").read_text(encoding="utf-8")
    for needed in ("CC0", "Louis Collins", "Fonov"):
        assert needed in licence
