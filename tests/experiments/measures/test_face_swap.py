"""The measure of face swaps: a true swap reads as one, the driving picture as none."""

import pytest
import torch

from advgen.core.errors import UnknownName
from advgen.core.meter import Meter
from advgen.experiments.measures.face_swap import FaceSwap


def means(tmp_path, **args):
    found = FaceSwap(count=8, **args).run(seed=0, device=torch.device("cpu"), meter=Meter(), out=tmp_path)
    names = {reading.quantity for reading in found.readings}
    return {
        name: sum(values) / len(values)
        for name in names
        if (values := [r.value for r in found.readings if r.quantity == name])
    }


def test_the_true_swap_is_the_sources_person_in_the_driving_picture(tmp_path):
    found = means(tmp_path, shown="true")
    assert found["lpips_truth"] == pytest.approx(0, abs=1e-6)
    assert found["source_found"] > 0.9
    assert found["glasses_kept"] > 0.9


def test_the_driving_picture_carries_nothing_over(tmp_path):
    found = means(tmp_path, shown="driving")
    assert found["source_found"] < 0.1
    assert found["expression_kept"] == found["hair_colour_kept"] == 1


def test_all_rows_pasted_are_the_source(tmp_path):
    all_rows = means(tmp_path, first=0, last=9, blend="paste", inversion="encoder")
    assert all_rows["source_found"] > means(tmp_path, shown="driving")["source_found"]


def test_what_is_measured_has_a_name():
    with pytest.raises(UnknownName, match="driving"):
        FaceSwap(shown="drivin")
