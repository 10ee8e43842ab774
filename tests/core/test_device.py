import os
import warnings

import pytest
import torch

from advgen.core import device
from advgen.core.errors import BadArgument


@pytest.fixture
def no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_without_cuda_the_cpu_is_taken_and_the_reason_says_so(no_cuda: None) -> None:
    assert str(device.choose()) == "cpu: no CUDA device is visible"
    assert device.choose("auto") == device.choose(None)


def test_asking_for_cuda_where_there_is_none_is_one_sentence(no_cuda: None) -> None:
    with pytest.raises(BadArgument, match=r"'cuda:1' was asked for, but no CUDA device is visible; use cpu"):
        device.choose("cuda:1")


def test_a_cpu_build_of_torch_is_named_as_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    assert device.choose().reason == "this torch build is for CPUs only"


def test_a_driver_that_is_too_old_is_the_reason_and_no_warning_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    def told() -> bool:
        warnings.warn("The NVIDIA driver is too old. Please update it.", stacklevel=1)
        return False

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", told)
    assert device.choose().reason == "no CUDA device is visible (The NVIDIA driver is too old)"


def test_a_device_that_exists_is_taken_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    class Properties:
        name = "Card"
        total_memory = 16 * 2**30

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: Properties)
    assert str(device.choose()) == "cuda:0: Card, 16 GiB, the first of 2 CUDA device(s)"
    assert device.choose("CUDA:1").device == torch.device("cuda", 1)
    with pytest.raises(BadArgument, match="the last CUDA device here is cuda:1"):
        device.choose("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cpu:0", "0"])
def test_an_unknown_device_lists_what_may_be_given(name: str) -> None:
    with pytest.raises(BadArgument, match="give cpu, cuda, cuda:N, mps or auto"):
        device.choose(name)


def test_threads_come_from_the_argument_then_the_environment_then_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to = []
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)
    assert device.set_threads(3) == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert device.set_threads() == 2
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert device.set_threads() == device.cores() >= 1
    assert set_to == [3, 2, device.cores()]
    with pytest.raises(BadArgument, match="at least 1"):
        device.set_threads(0)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no CPU affinity")
def test_cores_are_those_the_scheduler_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {4, 7, 9})
    assert device.cores() == 3
