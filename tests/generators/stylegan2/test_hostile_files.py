"""Files that attack their reader are refused, named, quickly, in little memory, and nothing of them runs."""

import builtins
import io
import os
import pickle
import resource
import struct
import time
import zipfile

import pytest
import torch

from advgen.core.errors import BadFile
from advgen.generators.stylegan2.load import load_stylegan2

MARK = b"\x80\x02"


class Calls:
    """Pickles as a call."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def legacy(content):
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def zipped(pickled, *, packed=False, twice=False, **others):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", pickled)
        if twice:
            archive.writestr("other/data.pkl", pickled)
        for name, data in others.items():
            archive.writestr(f"archive/data/{name}", data)
    return file.getvalue()


class View:
    """A tensor of any shape over a storage of four numbers in a zip file."""

    def __init__(self, size, stride, count=4):
        self.size, self.stride, self.count = size, stride, count

    def file(self):
        class Pickler(pickle.Pickler):
            def persistent_id(self, value):
                if type(value) is tuple and value[:1] == ("S",):
                    return "storage", torch.FloatStorage, "s0", "cpu", value[1]
                return None

        out = io.BytesIO()
        tensor = Calls(torch._utils._rebuild_tensor_v2, ("S", self.count), 0, self.size, self.stride, False, {})
        Pickler(out, protocol=2).dump({"g_ema": {"style.1.weight": tensor}})
        return zipped(out.getvalue(), s0=b"\0" * 16)


def laughs():
    """Each list holds the one before ten times."""
    made = [0] * 10
    for _ in range(30):
        made = [made] * 10
    return pickle.dumps({"g_ema": made}, protocol=2)


def system(command="touch /nonexistent/run"):
    return Calls(os.system, command)


HOSTILE = {
    "system": (lambda: pickle.dumps({"G_ema": system()}), r"posix\.system|os\.system|nt\.system"),
    "eval": (lambda: pickle.dumps({"G_ema": Calls(builtins.eval, "1")}), r"builtins\.eval"),
    "protocol 0": (lambda: b"cos\nsystem\n(S'true'\ntR.", r"os\.system"),
    "dotted": (lambda: b"\x80\x04\x8c\x13torch.serialization\x8c\x09os.system\x93\x8c\x04true\x85R.", "os.system"),
    "almost": (lambda: b"\x80\x04\x8c\x0ctorch._utils\x8c\x0a_rebuild_x\x93.", "_rebuild_x"),
    "zipped": (lambda: zipped(pickle.dumps(system())), "system"),
    "legacy": (lambda: legacy({"g": system()}), "system"),
    "nested": (lambda: pickle.dumps(Calls(torch.storage._load_from_bytes, pickle.dumps(system()))), "system"),
    "nested legacy": (lambda: pickle.dumps(Calls(torch.storage._load_from_bytes, legacy(system()))), "system"),
    "nested zip": (lambda: pickle.dumps(Calls(torch.storage._load_from_bytes, zipped(pickle.dumps(system())))), "sys"),
    "nested twice": (
        lambda: pickle.dumps(
            Calls(
                torch.storage._load_from_bytes, pickle.dumps(Calls(torch.storage._load_from_bytes, pickle.dumps(1)))
            )
        ),
        "pickles in pickles",
    ),
    "inst": (lambda: b"(S'true'\nios\nsystem\n.", "INST"),
    "extension": (lambda: b"\x80\x02\x82\x01.", "EXT1"),
    "zero stride": (lambda: View((2**20, 2**20), (0, 0)).file(), "claims a tensor of"),
    "outside": (lambda: View((4,), (2,)).file(), "claims a tensor of 4 numbers over a storage of 4"),
    "negative": (lambda: View((4,), (-1,)).file(), "no row of numbers"),
    "large storage": (lambda: View((2**40,), (1,), 2**40).file(), "claims a storage of"),
    "memo": (lambda: MARK + b"]r\xff\xff\xff\xff.", "holds a list"),
    "text memo": (lambda: MARK + b"]p99999999999999999999\n.", "memo index"),
    "laughs": (laughs, "where a tensor|holds|dict of networks"),
    "deep": (lambda: MARK + b"]" * 300_000 + b"a" * 299_999 + b".", "holds a list"),
    "deep tuples": (lambda: MARK + b")" + b"\x85" * 300_000 + b".", "holds a tuple"),
    "tuple key": (lambda: MARK + b"})" + b"2\x86" * 60 + b"K\x01s.", "key of a dict"),
    "steps": (lambda: MARK + b"]" * 1_200_000 + b".", "steps"),
    "long bytes": (lambda: b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"abc.", "damaged"),
    "copies": (
        lambda: MARK + b"c_codecs\nencode\nq\x00X" + struct.pack("<I", 10**6) + b"a" * 10**6 + b"q\x010"
        + b"h\x00h\x01\x85R" * 1000 + b".",
        "copied over and over",
    ),
    "packed zip": (lambda: zipped(b"0" * 10**7, packed=True), "packed"),
    "two pickles": (lambda: zipped(pickle.dumps(1), twice=True), "2 data.pkl"),
    "cut zip": (lambda: zipped(pickle.dumps({"g": 1}), a=b"0" * 500)[:300], "damaged"),
    "cut pickle": (lambda: pickle.dumps({"G_ema": [1] * 100})[:-50], "damaged"),
    "cut legacy": (lambda: legacy({"g_ema": {"a": torch.zeros(99)}})[:-9], "cut off"),
    "one byte": (lambda: b"\x80", "damaged"),
    "empty": (lambda: b"", "is empty"),
    "web page": (lambda: b"<!DOCTYPE html><html>quota</html>", "web page"),
    "pointer": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "LFS pointer"),
    "picture": (lambda: b"\x89PNG\r\n\x1a\n" + b"0" * 100, "is a picture"),
    "another network": (lambda: pickle.dumps({"model": {}, "epoch": 3}), "'model', 'epoch'"),
    "no StyleGAN2": (lambda: legacy({"g_ema": {"conv.weight": torch.zeros(3)}}), "is no StyleGAN2 generator"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
def test_a_hostile_file_is_refused_in_one_sentence(name, write, monkeypatch):
    make, expected = HOSTILE[name]
    path = write(make())
    monkeypatch.setattr(os, "system", lambda command: pytest.fail("the file was executed"))
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(BadFile, match=expected) as caught:
        load_stylegan2(path)
    assert time.process_time() - started < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # kB
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 400


def test_one_storage_under_many_names_is_refused(write):
    shared = torch.zeros(100_000)
    data = legacy({"g_ema": {f"style.{i}.weight": shared for i in range(1000)}})
    with pytest.raises(BadFile, match="more tensors than bytes"):
        load_stylegan2(write(data))


def test_a_module_inside_itself_is_refused(write):
    """{"G_ema": m} where m's _modules hold m's own state again, by hand: the memo makes the loop."""
    meta = b"(X\x04\0\0\0typeX\x05\0\0\0classX\x0a\0\0\0class_nameX\x01\0\0\0GX\x05\0\0\0state}q\x02u"
    call = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n}" + meta + b"\x85Rq\x01"
    parts = b"h\x02(X\x0b\0\0\0_parameters}X\x08\0\0\0_buffers}X\x08\0\0\0_modules}X\x01\0\0\0ah\x01su0"
    data = MARK + b"}X\x05\0\0\0G_ema" + call + parts + b"s."
    with pytest.raises(BadFile, match="modules in modules"):
        load_stylegan2(write(data))


def test_numbers_that_were_changed_on_the_way_are_found(write):
    file = io.BytesIO()
    torch.save({"g_ema": {"style.1.weight": torch.arange(64.0)}}, file)
    data = file.getvalue()
    at = data.index(torch.arange(64.0).numpy().tobytes())
    with pytest.raises(BadFile, match="is damaged: the numbers"):
        load_stylegan2(write(data[: at + 8] + b"\xff" + data[at + 9 :], "net.pt"))


def test_an_empty_tensor_of_any_size_is_refused(write):
    empty = {name: torch.empty(2**40, 0, 3, 3) for name in ("synthesis.b4.conv1.weight", "mapping.fc0.weight")}
    affine = {"synthesis.b4.conv1.affine.weight": torch.zeros(2, 2)}
    with pytest.raises(BadFile, match="unexpected shape"):
        load_stylegan2(write(legacy({**empty, **affine})))
