"""Files that are damaged or meant to harm: refused with a FormatError, never a crash, never another model."""

import json
import os
import shutil
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kedja as kj
from kedja.errors import FormatError
from kedja.formats import state
from kedja.formats.tensors import packed_tensors, read_tensors, unpacked_tensors

GOLDEN = Path(__file__).parent / "golden" / "mlp"
X = np.array([[0.5, -1.0], [2.0, 0.25]], np.float32)
TENSORS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.ones(4, np.int64),
    "c": np.zeros((0, 2), np.float16),
}
EASY = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def written(header: Any, numbers: bytes = b"\0" * 24) -> bytes:
    """A safetensors file with this header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + numbers


def entry(shape: Any = (2, 3), place: Any = (0, 24), dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(place)}


def test_what_is_packed_comes_back() -> None:
    """Every type that is written is read, in any order of strides."""
    every = {d: np.array([0, 1, 3], d) for d in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")}
    every["turned"] = np.arange(6.0).reshape(2, 3).T
    back = unpacked_tensors(packed_tensors(every), "x")
    assert all(np.array_equal(back[k], a) and back[k].dtype == a.dtype for k, a in every.items())


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "too few"),
    "a header of 2⁶⁰ bytes": (lambda: struct.pack("<Q", 2**60) + b"{}", "claims 1,152,921,504,606,846,976"),
    "a header that is no JSON": (lambda: written(b"{nothing"), "no JSON"),
    "a header that is a list": (lambda: written([1]), "no JSON object"),
    "a header a hundred thousand deep": (lambda: written(b"[" * 100_000), "no JSON"),
    "a number of ten thousand digits": (lambda: written(b'{"a": ' + b"9" * 10_000 + b"}"), "damaged"),
    "a name twice": (lambda: written(b'{"a": 1, "a": 2}'), "twice"),
    "a tensor of 2⁶⁰ numbers": (lambda: written({"a": entry((2**60,), (0, 2**62))}), "goes on to"),
    "sizes that overflow": (lambda: written({"a": entry((2**62, 2**62), (0, 24))}), "needs"),
    "a negative size": (lambda: written({"a": entry((-2, -3))}), "no type, shape and place"),
    "a negative place": (lambda: written({"a": entry(place=(-24, 0))}), "no type, shape and place"),
    "a place that ends before it begins": (lambda: written({"a": entry((0,), (24, 0))}), "damaged"),
    "a size that is true": (lambda: written({"a": entry((True, 6))}), "no type, shape and place"),
    "a size that is a fraction": (lambda: written({"a": entry((2.0, 3))}), "no type, shape and place"),
    "tensors that overlap": (lambda: written({"a": entry(), "b": entry((1,), (20, 24))}), "overlaps"),
    "a gap": (lambda: written({"a": entry((1,), (4, 8))}), "unused"),
    "bytes left over": (lambda: written({"a": entry()}, b"\0" * 25), "belong to none"),
    "numbers cut off": (lambda: written({"a": entry()}, b"\0" * 23), "ends after 23"),
    "an unknown type": (lambda: written({"a": entry(dtype="OBJECT")}), "known: F64"),
    "a type that is a list": (lambda: written({"a": entry(dtype=["F32"])}), "type"),
    "a thousand axes": (lambda: written({"a": entry((1,) * 1000, (0, 4))}, b"\0" * 4), "1000 axes"),
    "an entry that is a number": (lambda: written({"a": 3}), "no type, shape and place"),
    "an entry without a place": (lambda: written({"a": {"dtype": "F32", "shape": [1]}}), "no type, shape and place"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: name.replace(" ", "-"))
def test_a_hostile_safetensors_file_is_refused(name: str) -> None:
    """The message names the file and what is wrong with it; nothing as large as it claims is made."""
    make, words = HOSTILE[name]
    with pytest.raises(FormatError, match=f"x.safetensors.*{words}"):
        unpacked_tensors(make(), "x.safetensors")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.05, 0.3, 0.6, 0.9, 0.999])
def test_a_file_cut_off_anywhere_is_refused(share: float, tmp_path: Path) -> None:
    """In the length, the header, at its end, in the numbers, at their end."""
    blob = packed_tensors(TENSORS)
    (tmp_path / "x.safetensors").write_bytes(blob[: min(int(share * len(blob)), len(blob) - 1)])
    with pytest.raises(FormatError):
        read_tensors(tmp_path / "x.safetensors")


@EASY
@given(st.data())
def test_random_bytes_changed_never_crash(data: st.DataObject) -> None:
    """Whatever is flipped, cut or put in, the answer is arrays no larger than the file, or a FormatError."""
    blob = bytearray(packed_tensors(TENSORS))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(blob) - 1))
        blob[at] = data.draw(st.integers(0, 255))
    blob = blob[: data.draw(st.integers(0, len(blob)))] if data.draw(st.booleans()) else blob
    try:
        found = unpacked_tensors(bytes(blob), "x")
    except FormatError:
        return
    assert sum(a.nbytes for a in found.values()) <= 2 * len(blob)  # bfloat16 is widened


@EASY
@given(st.binary(max_size=300))
def test_random_bytes_never_crash(blob: bytes) -> None:
    """Neither do bytes that were never a file of ours, behind a length that fits."""
    for given_ in (blob, struct.pack("<Q", len(blob)) + blob):
        try:
            unpacked_tensors(given_, "x")
        except FormatError:
            continue


@EASY
@given(data=st.data())
def test_a_model_with_a_changed_byte_is_refused_or_the_same(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """One to three bytes of description or weights changed: a FormatError, or (a space for a line's end) the model."""
    folder = tmp_path_factory.mktemp("model")
    for path in GOLDEN.iterdir():
        shutil.copy(path, folder / path.name)
    target = data.draw(st.sampled_from(sorted(p for p in folder.iterdir() if p.name != "said.json")))
    blob = bytearray(target.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    target.write_bytes(blob)
    try:
        net = kj.load(folder)
    except FormatError:
        return
    assert np.array_equal(net.predict(X, engine="reference"), kj.load(GOLDEN).predict(X, engine="reference"))


@EASY
@given(st.data())
def test_a_description_with_a_right_checksum_and_wrong_content_never_crashes(data: st.DataObject) -> None:
    """Somebody who makes the checksum too gets a FormatError or a model, and nothing else."""
    said = json.loads((GOLDEN / "model.json").read_text(encoding="utf-8"))
    odd = st.one_of(
        st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.text(max_size=5),
        st.just([]), st.just({}), st.just({"class": "Dense"}),
    )  # fmt: skip
    at: Any = said
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(at[key], dict | list) or not at[key] or data.draw(st.integers(0, 4)) == 0:
            at[key] = data.draw(odd)
            break
        at = at[key]
    said["sha256"] = state._checksum(said)
    try:
        loaded_from(said)
    except FormatError:
        return


def loaded_from(said: dict[str, Any]) -> Any:
    """The golden model with another description."""
    with tempfile.TemporaryDirectory() as folder:
        for path in GOLDEN.glob("*.safetensors"):
            shutil.copy(path, Path(folder) / path.name)
        (Path(folder) / "model.json").write_text(json.dumps(said), encoding="utf-8")
        return kj.load(folder)


NAMES = ["../x.safetensors", "/etc/passwd", "C:\\x.safetensors", "a/b.safetensors", "x\0.safetensors", "", ".", "..",
         "weights-0123456789abcdef.safetensors\n", "CON", 7, None]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_name_that_leads_out_of_the_folder_is_refused(name: Any) -> None:
    """Weights lie beside their description, under the one kind of name that kedja gives."""
    said = json.loads((GOLDEN / "model.json").read_text(encoding="utf-8"))
    said["weights"]["file"] = name
    said["sha256"] = state._checksum(said)
    with pytest.raises(FormatError, match="names no weights file"):
        loaded_from(said)


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    """A file of the right name that is a link to somewhere else."""
    (tmp_path / "model").mkdir()
    shutil.copy(GOLDEN / "model.json", tmp_path / "model")
    (weights,) = GOLDEN.glob("*.safetensors")
    shutil.copy(weights, tmp_path / "elsewhere")
    (tmp_path / "model" / weights.name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FormatError, match="leads out of its folder"):
        kj.load(tmp_path / "model")


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    """Both for the description and for the weights."""
    (tmp_path / "a" / "model.json").mkdir(parents=True)
    with pytest.raises(FormatError, match=r"model\.json"):
        kj.load(tmp_path / "a")
    (tmp_path / "b").mkdir()
    shutil.copy(GOLDEN / "model.json", tmp_path / "b")
    (tmp_path / "b" / next(GOLDEN.glob("*.safetensors")).name).mkdir()
    with pytest.raises(FormatError, match="cannot be read"):
        kj.load(tmp_path / "b")
