"""Our safetensors reader and writer against the safetensors library, and against files that are broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sprachbund.checkpoints import DTYPES, TensorFile, TensorInfo, write_tensors
from sprachbund.errors import CheckpointError

TORCH = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
SHAPES = {"matrix": (3, 5), "row": (7,), "scalar": (), "empty": (0, 4), "cube": (2, 1, 3)}


def tensors(dtype: str) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: (torch.randn(shape, generator=generator, dtype=torch.float64) * 40).to(TORCH[dtype])
        if dtype in {"F64", "F32", "F16", "BF16"}
        else torch.randint(0, 2 if dtype == "BOOL" else 100, shape, generator=generator).to(TORCH[dtype])
        for name, shape in SHAPES.items()
    }


def as_bytes(tensor: torch.Tensor) -> bytes:
    """By way of torch alone, which knows bfloat16; numpy doesn't."""
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def test_every_dtype_is_tested() -> None:
    assert set(TORCH) == set(DTYPES)


@pytest.mark.parametrize("dtype", DTYPES)
def test_reads_what_the_library_writes(dtype: str, tmp_path: Path) -> None:
    written = tensors(dtype)
    save_file(written, tmp_path / "t.safetensors", metadata={"format": "pt"})
    file = TensorFile(tmp_path / "t.safetensors")
    assert set(file.tensors) == set(SHAPES)
    for name, shape in SHAPES.items():
        info, array = file.tensors[name], file.read(name)
        assert (info.dtype, info.shape, array.shape, array.dtype) == (dtype, shape, shape, DTYPES[dtype])
        assert info.nbytes == written[name].nbytes
        assert array.tobytes() == as_bytes(written[name])


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_library_reads_what_is_written_here_and_so_do_we(dtype: str, tmp_path: Path) -> None:
    written = tensors(dtype)
    path = tmp_path / "t.safetensors"
    infos = [TensorInfo(name, dtype, shape) for name, shape in SHAPES.items()]
    arrays = [np.frombuffer(as_bytes(written[info.name]), DTYPES[dtype]).reshape(info.shape) for info in infos]
    write_tensors(path, infos, arrays, metadata={"format": "pt"})
    theirs, ours = load_file(path), TensorFile(path)
    for info, array in zip(infos, arrays, strict=True):
        assert theirs[info.name].dtype == TORCH[dtype]
        assert theirs[info.name].shape == torch.Size(info.shape)
        assert as_bytes(theirs[info.name]) == array.tobytes() == ours.read(info.name).tobytes()
        assert ours.tensors[info.name] == info


def test_values_and_not_only_bytes_survive(tmp_path: Path) -> None:
    values = torch.tensor([1.0, -2.5, 3e38, 1e-40])
    save_file({"f": values, "b": values.to(torch.bfloat16)}, tmp_path / "t.safetensors")
    file = TensorFile(tmp_path / "t.safetensors")
    assert file.read("f").tolist() == values.tolist()
    assert file.read("b").astype(np.float32).tolist() == values.to(torch.bfloat16).float().tolist()


def test_a_tensor_may_come_in_many_parts(tmp_path: Path) -> None:
    array = np.arange(10, dtype=np.float32)
    infos = [TensorInfo("a", "F32", (10,)), TensorInfo("b", "F32", (2, 5))]
    parts = [array[:3], array[3:3], array[3:], array[::2].repeat(2)]
    write_tensors(tmp_path / "t.safetensors", infos, parts, metadata={})
    read = load_file(tmp_path / "t.safetensors")
    assert read["a"].tolist() == list(range(10))
    assert read["b"].tolist() == [[0, 0, 2, 2, 4], [4, 6, 6, 8, 8]]


def test_too_few_bytes_are_not_passed_off_as_a_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="8 bytes of tensors written, the header says 12"):
        write_tensors(
            tmp_path / "t.safetensors", [TensorInfo("a", "F32", (3,))], [np.zeros(2, np.float32)], metadata={}
        )


def test_tensors_are_read_only_views(tmp_path: Path) -> None:
    save_file({"a": torch.ones(3)}, tmp_path / "t.safetensors")
    with pytest.raises(ValueError, match="read-only"):
        TensorFile(tmp_path / "t.safetensors").read("a")[0] = 2


def test_a_file_without_tensors_is_a_file(tmp_path: Path) -> None:
    write_tensors(tmp_path / "t.safetensors", [], [], metadata={"format": "pt"})
    assert load_file(tmp_path / "t.safetensors") == {}
    assert dict(TensorFile(tmp_path / "t.safetensors").tensors) == {}


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def a_file(path: Path, header: Any, data: bytes = bytes(8), length: int | None = None) -> Path:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(raw) if length is None else length).to_bytes(8, "little") + raw + data)
    return path


BROKEN = {
    "empty file": lambda path: path.write_bytes(b""),
    "five bytes": lambda path: path.write_bytes(b"12345"),
    "header longer than the file": lambda path: a_file(path, {}, length=1000),
    "header longer than any": lambda path: a_file(path, {}, length=2**63),
    "no JSON": lambda path: a_file(path, b"{not json}"),
    "no text": lambda path: a_file(path, b"\xff\xfe\xfd\xfc"),
    "a list": lambda path: a_file(path, [1, 2]),
    "an entry that is no entry": lambda path: a_file(path, {"w": 5}),
    "no offsets": lambda path: a_file(path, {"w": {"dtype": "F32", "shape": [2]}}),
    "offsets of text": lambda path: a_file(path, {"w": entry(offsets=("a", "b"))}),
    "three offsets": lambda path: a_file(path, {"w": entry(offsets=(0, 4, 8))}),
    "truncated data": lambda path: a_file(path, {"w": entry()}, data=bytes(7)),
    "offsets before the start": lambda path: a_file(path, {"w": entry(offsets=(-8, 0))}),
    "offsets the wrong way round": lambda path: a_file(path, {"w": entry(offsets=(8, 0))}),
    "fewer bytes than the shape": lambda path: a_file(path, {"w": entry(offsets=(0, 4))}),
    "more bytes than the shape": lambda path: a_file(path, {"w": entry(shape=(1,))}),
    "more data than tensors": lambda path: a_file(path, {"w": entry()}, data=bytes(9)),
    "a gap between tensors": lambda path: a_file(path, {"v": entry(), "w": entry(offsets=(12, 20))}, data=bytes(20)),
    "tensors over each other": lambda path: a_file(path, {"v": entry(), "w": entry(offsets=(4, 12))}, data=bytes(12)),
    "offsets of fractions": lambda path: a_file(path, {"w": entry(offsets=(0.0, 8.0))}),
    "a header nested without end": lambda path: a_file(path, b"[" * 99_999),
    "a negative shape": lambda path: a_file(path, {"w": entry(shape=(-1, -2))}),
    "a shape of fractions": lambda path: a_file(path, {"w": entry(shape=(0.5, 4))}),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_one_sentence_that_names_it(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    BROKEN[kind](path)
    with pytest.raises(CheckpointError) as caught:
        TensorFile(path).read("w")
    message = str(caught.value)
    assert message.startswith(f"{path} is truncated or corrupt (")
    assert message.endswith("): download or save it again.")
    assert "\n" not in message


def test_offsets_that_end_beyond_the_file_are_given_in_bytes(tmp_path: Path) -> None:
    path = a_file(tmp_path / "t", {"body.w": entry(shape=(4,), offsets=(0, 16))})
    with pytest.raises(CheckpointError, match=r"tensor body\.w should end at byte 16 of its data, but there are 8"):
        TensorFile(path)


def test_an_unknown_dtype_is_named_with_its_tensor(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(2).to(torch.float8_e4m3fn)}, tmp_path / "t")
    with pytest.raises(
        CheckpointError, match=r"t: tensor w has dtype F8_E4M3, which cannot be merged: convert it to F32"
    ):
        TensorFile(tmp_path / "t")


def test_every_truncation_of_a_real_file_is_noticed(tmp_path: Path) -> None:
    whole, part = tmp_path / "whole", tmp_path / "part"
    save_file({"a": torch.ones(2), "b": torch.ones(3)}, whole)
    content = whole.read_bytes()
    for length in range(len(content)):
        part.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match="truncated or corrupt"):
            TensorFile(part)
