"""The shipped judge, and held-out avatars with their pictures."""

import pytest
import torch

from advgen.experiments.edits.judge import EditJudge
from advgen.experiments.edits.portraits import of_data


@pytest.fixture(scope="session")
def judge():
    return EditJudge(net="embedded")


@pytest.fixture(scope="session")
def held_out():
    """(pictures uint8 (N, 3, 64, 64), avatars) of the test split: persons that the judge never saw."""
    made, avatars = of_data("test", 48)
    return made.images, avatars


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield
