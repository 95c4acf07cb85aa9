"""What holds for every merge method, run by the engine on whole checkpoints; the tests of each method are in tests/methods."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pico import Pico, bits, rewrite, state

from sprachbund import merging
from sprachbund.checkpoints import (
    Checkpoint,
    TensorFile,
    TensorInfo,
    TensorWriter,
    open_checkpoint,
    write_tensors,
)
from sprachbund.errors import MixError
from sprachbund.merging import Arrays, Merge, by_method
from sprachbund.methods import METHODS

every_method = pytest.mark.parametrize("name", METHODS)
NAMES = ("a", "b", "c")
WEIGHTS = (0.5, 0.3, 0.2)
SIZE = {"hidden": 8, "layers": 1}


class Family:
    """A base, sources that were changed a little, and statistics of each, made up."""

    def __init__(self, folder: Path) -> None:
        self.pico = Pico(folder / "models")
        self.folder = folder
        first = self.pico.source("base", change=0, **SIZE)
        self.base = self._with_odd_tensors(first, 1.0)
        self.sources = [self._with_odd_tensors(self.pico.source(name, **SIZE), 2.0) for name in NAMES]

    def _with_odd_tensors(self, source: Checkpoint, value: float) -> Checkpoint:
        odd = {"roberta.extra.empty": torch.zeros(0, 4), "roberta.extra.scalar": torch.tensor(value)}
        rewrite(source.folder, lambda tensors: tensors.update(odd))
        return open_checkpoint(source.folder, source.name)

    def statistics(self, method: str, sources: Sequence[Checkpoint]) -> Mapping[str, Sequence[TensorFile]]:
        """Positive numbers for each parameter, or a Gram matrix for each layer; of each source its own."""
        needs = METHODS[method].needs
        makers = {"fisher": _fisher, "gram": _gram}
        return {kind: [self._kept(kind, s, makers[kind]) for s in sources] for kind in makers if kind in needs}

    def _kept(self, kind: str, source: Checkpoint, make: Any) -> TensorFile:
        lot = np.random.default_rng(sum(source.folder.name.encode()))
        tensors = {
            name: make(info.shape, lot) for name, info in source.tensors.items() if make is _fisher or _layer(info)
        }
        infos = [TensorInfo(name, "F32", array.shape) for name, array in tensors.items()]
        path = self.folder / f"{kind}-{source.folder.name}.safetensors"
        write_tensors(path, infos, tensors.values(), {})
        return TensorFile(path)

    def merge(
        self, name: str, sources: Sequence[Checkpoint], weights: Sequence[float] | None = None, **more: Any
    ) -> Merge:
        given = list(weights or [1 / len(sources)] * len(sources))
        base = self.base if METHODS[name].needs_base else None
        statistics = self.statistics(name, sources)
        return Merge(sources, given, name, **{"base": base, "statistics": statistics, "seed": 3, **more})

    def chosen(self, name: str) -> tuple[list[Checkpoint], list[float] | None]:
        """As many sources as the method takes, with weights where it uses them."""
        count = METHODS[name].most_sources or len(self.sources)
        return self.sources[:count], [*WEIGHTS[:count]] if METHODS[name].uses_weights else None


def _fisher(shape: tuple[int, ...], lot: np.random.Generator) -> np.ndarray:
    return lot.random(shape, dtype=np.float32) + np.float32(0.1)


def _gram(shape: tuple[int, ...], lot: np.random.Generator) -> np.ndarray:
    inputs = lot.normal(size=(40, shape[1]))
    return (inputs.T @ inputs).astype(np.float32)


def _layer(info: TensorInfo) -> bool:
    return len(info.shape) == 2 and info.size > 0 and "embedding" not in info.name


def tensors(merge: Merge) -> dict[str, np.ndarray]:
    (found,) = merging.in_memory([merge])
    return dict(found.tensors)


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return Family(tmp_path_factory.mktemp("family"))


@every_method
def test_it_makes_numbers_in_the_shape_of_the_sources(name: str, family: Family) -> None:
    sources, weights = family.chosen(name)
    merged = tensors(family.merge(name, sources, weights))
    assert {key: (array.shape, array.dtype) for key, array in merged.items()} == {
        key: (info.shape, np.dtype(np.float32)) for key, info in sources[0].tensors.items()
    }
    assert all(np.isfinite(array).all() for array in merged.values())
    changed = [key for key, array in merged.items() if not np.array_equal(array, family.base.file.read(key))]
    assert len(changed) > len(merged) / 3


@every_method
def test_the_order_of_the_sources_changes_no_bit(name: str, family: Family) -> None:
    sources, weights = family.chosen(name)
    there = tensors(family.merge(name, sources, weights))
    back = tensors(family.merge(name, sources[::-1], weights and weights[::-1]))
    assert {key: bits(array) for key, array in there.items()} == {key: bits(array) for key, array in back.items()}


@every_method
def test_how_tensors_are_cut_and_by_how_many_changes_no_bit(
    name: str, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources, weights = family.chosen(name)
    whole = tensors(family.merge(name, sources, weights))
    monkeypatch.setattr(by_method, "STACK", 60)
    monkeypatch.setattr(merging, "ELEMENTS_PER_CHUNK", 7)
    other = Merge([*sources], [1.0, *[0.0] * (len(sources) - 1)])
    for threads in (1, 3):
        arrays = [Arrays(merging.settle(each).infos) for each in (other, family.merge(name, sources, weights))]
        merging.run([other, family.merge(name, sources, weights)], arrays, threads)
        assert {key: bits(array) for key, array in arrays[1].tensors.items()} == {
            key: bits(array) for key, array in whole.items()
        }


@every_method
def test_several_processes_write_the_same_bits(
    name: str, family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources, weights = family.chosen(name)
    whole = tensors(family.merge(name, sources, weights))
    monkeypatch.setattr(by_method, "STACK", 60)
    monkeypatch.setattr(by_method, "FEWEST_CUTS", 1)
    monkeypatch.setattr(by_method, "can_fork", lambda: True)
    wanted = family.merge(name, sources, weights)
    for threads in (2, 3):
        path = tmp_path / f"{threads}.safetensors"
        with TensorWriter(path, merging.settle(wanted).infos, {}) as writer:
            merging.run([wanted], [writer], threads)
        file = TensorFile(path)
        assert {key: bits(file.read(key)) for key in whole} == {key: bits(array) for key, array in whole.items()}


def test_what_another_process_meets_is_told(family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_method, "can_fork", lambda: True)
    monkeypatch.setattr(by_method, "STACK", 60)
    for source in family.sources:
        shutil.copytree(source.folder, tmp_path / source.folder.name)
    for tensor in family.sources[0].tensors:  # so that all processes meet it
        if family.sources[0].tensors[tensor].size:
            rewrite(tmp_path / "b", lambda tensors, tensor=tensor: tensors[tensor].fill_(torch.nan))
    opened = [open_checkpoint(tmp_path / source.folder.name, source.folder.name) for source in family.sources]
    (tmp_path / "out").mkdir()
    with pytest.raises(MixError, match="of b holds NaN or infinite numbers"):
        merging.merge_all([family.merge("ties", opened, WEIGHTS)], [tmp_path / "out"])


@every_method
def test_where_nobody_learned_anything_the_merge_is_the_base(name: str, family: Family, tmp_path: Path) -> None:
    count = METHODS[name].most_sources or 3
    for place in range(count):
        shutil.copytree(family.base.folder, tmp_path / f"same{place}")
    copies = [open_checkpoint(tmp_path / f"same{place}") for place in range(count)]
    for key, array in tensors(family.merge(name, copies)).items():
        np.testing.assert_allclose(array, family.base.file.read(key), rtol=2e-5, atol=2e-6, err_msg=key)


@every_method
def test_one_source_is_enough(name: str, family: Family) -> None:
    merged = tensors(family.merge(name, family.sources[:1]))
    assert all(np.isfinite(array).all() for array in merged.values())


@every_method
def test_fifty_two_sources(name: str, family: Family, tmp_path: Path) -> None:
    if METHODS[name].most_sources:
        with pytest.raises(MixError, match=f"The method {name} merges at most 2 sources; got 3: take another method"):
            tensors(family.merge(name, family.sources))
        return
    many = []
    for place in range(52):
        shutil.copytree(family.sources[place % 3].folder, tmp_path / f"s{place:02}")
        many.append(open_checkpoint(tmp_path / f"s{place:02}"))
    merged = tensors(family.merge(name, many))
    assert all(np.isfinite(array).all() for array in merged.values())


@every_method
def test_a_weight_of_zero_is_as_good_as_absence(name: str, family: Family) -> None:
    if not METHODS[name].uses_weights:
        with pytest.raises(MixError, match=f"The method {name} counts all sources the same: leave out the weights"):
            tensors(family.merge(name, family.sources, WEIGHTS))
        return
    count = METHODS[name].most_sources or 3
    others = (0.6, 0.4) if count == 3 else (1.0,)
    with_it = tensors(family.merge(name, family.sources[:count], (*others, 0.0)))
    without = tensors(family.merge(name, family.sources[: count - 1], others))
    for key, array in with_it.items():
        np.testing.assert_allclose(array, without[key], rtol=1e-5, atol=1e-6, err_msg=key)


@every_method
def test_sixteen_bits_are_worked_on_in_fp32_and_rounded_once(name: str, family: Family, tmp_path: Path) -> None:
    sources, weights = family.chosen(name)
    narrow, wide = [], []
    for source in sources:
        for kind, found in (("narrow", narrow), ("wide", wide)):
            there = tmp_path / kind / source.folder.name
            shutil.copytree(source.folder, there)
            rewrite(there, lambda tensors: tensors.update({key: t.bfloat16() for key, t in tensors.items()}))
            if kind == "wide":
                rewrite(there, lambda tensors: tensors.update({key: t.float() for key, t in tensors.items()}))
            found.append(open_checkpoint(there))
    exact = tensors(family.merge(name, wide, weights))
    if "generators" in METHODS[name].needs:  # what is drawn hangs on the content of the files
        exact = tensors(family.merge(name, narrow, weights, dtype="F32"))
    assert {key: bits(a) for key, a in tensors(family.merge(name, narrow, weights, dtype="F32")).items()} == {
        key: bits(a) for key, a in exact.items()
    }
    rounded = tensors(family.merge(name, narrow, weights))
    for key, array in rounded.items():
        assert array.dtype.name == "bfloat16"
        wanted = torch.from_numpy(exact[key]).bfloat16().float().numpy()
        np.testing.assert_array_equal(array.astype(np.float32), wanted)


@every_method
@pytest.mark.parametrize("value", [torch.nan, -torch.inf])
def test_what_is_no_number_is_named(name: str, value: float, family: Family, tmp_path: Path) -> None:
    sources, weights = family.chosen(name)
    for source in sources:
        shutil.copytree(source.folder, tmp_path / source.folder.name)
    rewrite(tmp_path / "b", lambda tensors: tensors["classifier.dense.weight"][1].fill_(value))
    opened = [open_checkpoint(tmp_path / source.folder.name, source.folder.name) for source in sources]
    with pytest.raises(MixError, match=r"^Tensor classifier\.dense\.weight of b holds NaN or infinite numbers"):
        tensors(family.merge(name, opened, weights))


@every_method
def test_what_it_needs_is_asked_for(name: str, family: Family) -> None:
    sources, weights = family.chosen(name)
    method = METHODS[name]
    if method.needs_base:
        with pytest.raises(MixError, match=f"The method {name} is about what the sources learned since their base"):
            tensors(family.merge(name, sources, weights, base=None))
    for kind in {"fisher", "gram"} & set(method.needs):
        with pytest.raises(MixError, match=f"The method {name} needs {kind} statistics of each source: got 0 for"):
            tensors(family.merge(name, sources, weights, statistics={}))


@every_method
def test_written_is_what_is_merged(name: str, family: Family, tmp_path: Path) -> None:
    sources, weights = family.chosen(name)
    wanted = family.merge(name, sources, weights)
    merging.merge_all([wanted], [tmp_path])
    merged = tensors(wanted)
    assert {key: bits(tensor.numpy()) for key, tensor in state(tmp_path).items()} == {
        key: bits(array) for key, array in merged.items()
    }


@every_method
def test_how_a_path_is_spelled_changes_no_bit(name: str, family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    sources, weights = family.chosen(name)
    monkeypatch.chdir(family.pico.root)
    spelled = [open_checkpoint(Path(source.folder.name), source.name) for source in sources[:1]] + sources[1:]
    plain, other = (tensors(family.merge(name, each, weights)) for each in (sources, spelled))
    assert {key: bits(array) for key, array in plain.items()} == {key: bits(array) for key, array in other.items()}


@pytest.mark.parametrize("name", ["linear", "ties", "pcb", "karcher"])
def test_files_are_opened_once(name: str, family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    system = os.open

    def counted(path: Any, *rest: Any, **more: Any) -> int:
        opened.append(Path(path))
        return system(path, *rest, **more)

    monkeypatch.setattr(os, "open", counted)
    sources, weights = family.chosen(name)
    tensors(family.merge(name, sources, weights))
    ours = [path for path in opened if path.name == "model.safetensors"]
    assert len(ours) == len(set(ours)) == len(sources) + METHODS[name].needs_base


def test_what_is_dropped_at_random_hangs_on_the_source_not_on_its_place(family: Family, tmp_path: Path) -> None:
    moved = []
    for source, name in zip(family.sources, ("z", "y", "x"), strict=True):
        shutil.copytree(source.folder, tmp_path / name)
        moved.append(open_checkpoint(tmp_path / name))
    here, there = (tensors(family.merge("dare", each, WEIGHTS)) for each in (family.sources, moved))
    for key, array in here.items():
        np.testing.assert_allclose(there[key], array, rtol=1e-6, atol=1e-7)
    others = tensors(family.merge("dare", family.sources, WEIGHTS, seed=4))
    assert any(np.abs(others[key] - array).max(initial=0) > 1e-3 for key, array in here.items())


@pytest.mark.parametrize(
    ("name", "options", "weights", "dtype"),
    [
        ("task_arithmetic", {"scale": 1e39}, WEIGHTS, None),
        ("ties", {"scale": 1e39}, WEIGHTS, None),
        ("linear", {}, (1e39, 1.0, 1.0), None),
        ("linear", {}, (1e7, 1.0, 1.0), "F16"),
        ("linear", {}, (3e38, 3e38, 3e38), "BF16"),
    ],
)
def test_what_does_not_fit_into_the_dtype_is_refused(
    name: str, options: dict[str, float], weights: tuple[float, ...], dtype: str | None, family: Family
) -> None:
    with pytest.raises(MixError, match=r"^Tensor \S+ of the merge holds what is no number in"):
        tensors(family.merge(name, family.sources, weights, options=options, dtype=dtype))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "much", None, [1.0, 2.0]])
def test_an_option_is_a_number(value: object) -> None:
    with pytest.raises(MixError, match="The option scale of the method ties cannot be"):
        METHODS["ties"].settle({"scale": value}, 3)
    with pytest.raises(MixError, match="The option density of the method ties"):
        METHODS["ties"].settle({"density": [0.5, value, 0.5]}, 3)


def test_one_value_or_one_for_each_source() -> None:
    assert METHODS["ties"].settle({"density": 0.5}, 3)["density"].tolist() == [0.5] * 3
    assert METHODS["ties"].settle_plainly({"density": [0.1, 0.2, 1]}, 3)["density"] == [0.1, 0.2, 1.0]
    with pytest.raises(MixError, match="has 2 values for 3 sources: give one for all, or one each"):
        METHODS["ties"].settle({"density": [0.1, 0.2]}, 3)
