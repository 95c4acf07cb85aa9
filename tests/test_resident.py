"""Sums on a device against the engine's: bit by bit, for the operations are the same, but where inner products come in.

No card is needed: the device is torch's CPU, which runs the same code. What only a card has (pinned memory, its free bytes) is
put in its place.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from encoders import ENCODERS, Encoders, permuted
from pico import Pico, TinyData, bits, poison, rewrite
from test_experiment import Make, config, make, shared_zoo, substance  # noqa: F401  # fixtures

from sprachbund import inference, merging
from sprachbund.checkpoints import Checkpoint, Zoo, vocabulary_tensors
from sprachbund.errors import MixError
from sprachbund.inputs import Inputs
from sprachbund.merging import Merge, resident
from sprachbund.merging.resident import MODELS, ROOM, Resident, fits, for_merges, needed
from sprachbund.methods import METHODS

CPU = torch.device("cpu")
WEIGHTS = (0.5, 0.3, 0.2)
ROWS = np.array([0, 1, 2, 7, 40, 299])
MASK = "roberta.embeddings.word_embeddings.weight"


def as_array(tensor: torch.Tensor) -> np.ndarray:
    """An array of the same bits; of bfloat16 those of the sixteen-bit numbers."""
    return (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def both(merge: Merge) -> tuple[dict[str, torch.Tensor], dict[str, np.ndarray]]:
    """What the device makes of a merge, and what the engine does."""
    (there,), (here,) = Resident(CPU).merge([merge]), merging.in_memory([merge])
    assert list(there.tensors) == list(here.tensors)
    assert (there.lead, there.alignment) == (here.lead, here.alignment)
    for name, tensor in there.tensors.items():
        assert isinstance(tensor, torch.Tensor)
        assert (str(tensor.dtype), tuple(tensor.shape)) == (
            f"torch.{here.tensors[name].dtype}",
            here.tensors[name].shape,
        )
    return dict(there.tensors), dict(here.tensors)


def assert_same_bits(merge: Merge) -> None:
    there, here = both(merge)
    for name, array in here.items():
        assert bits(as_array(there[name])) == bits(array), name


def of_dtype(pico: Pico, dtype: torch.dtype, count: int = 3) -> list[Checkpoint]:
    return [pico.source(f"s{number}", dtype=dtype) for number in range(count)]


# --- the same numbers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_sources_of_each_dtype(dtype: torch.dtype, pico: Pico, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resident, "STRETCH", 1001)  # bytes, whatever numbers they belong to
    sources = of_dtype(pico, dtype)
    assert_same_bits(Merge(sources, WEIGHTS))
    assert_same_bits(Merge(sources, WEIGHTS, rows=ROWS))


@pytest.mark.parametrize("dtype", ["F32", "BF16", "F16", "F64"])
def test_what_comes_out_is_rounded_as_the_engine_rounds(dtype: str, pico: Pico) -> None:
    for place, kind in enumerate((torch.float32, torch.float64)):
        sources = [pico.source(f"{place}{number}", dtype=kind) for number in range(3)]
        assert_same_bits(Merge(sources, WEIGHTS, dtype=dtype))


def test_sources_of_different_dtypes(pico: Pico) -> None:
    kinds = (torch.bfloat16, torch.float16, torch.float32)
    sources = [pico.source(f"s{number}", dtype=kind) for number, kind in enumerate(kinds)]
    assert_same_bits(Merge(sources, WEIGHTS))
    assert_same_bits(Merge(sources[:2], WEIGHTS[:2]))


def test_the_order_of_sources_changes_no_bit(sources: list[Checkpoint]) -> None:
    there, _ = both(Merge(sources, WEIGHTS))
    back, _ = both(Merge(sources[::-1], WEIGHTS[::-1]))
    for name, tensor in there.items():
        assert torch.equal(tensor, back[name])


def test_weights_by_tensor_and_by_row(sources: list[Checkpoint]) -> None:
    by_row = np.random.default_rng(0).random((3, 300))

    def weights_of(name: str) -> Any:
        rows = sources[0].tensors[name].shape[0]
        return by_row[:, :rows] if "embeddings" in name or name.endswith("bias") else (0.1, len(name) / 100, 0.0)

    assert_same_bits(Merge(sources, weights_of))
    assert_same_bits(Merge(sources, weights_of, rows=ROWS))


@pytest.mark.parametrize("name", ["a", "s", "z"])
def test_a_base_that_lacks_the_head(name: str, pico: Pico) -> None:
    """Its place in the order of the paths decides when it is added."""
    sources, base = of_dtype(pico, torch.float32), pico.base(name)
    merge = Merge(sources, (0.9, 0.2, -0.4), "task_arithmetic", {"scale": 0.7}, base)
    assert any(work.base is None for work in merging.settle(merge).works)
    assert_same_bits(merge)
    assert_same_bits(dataclasses.replace(merge, rows=ROWS))


def test_integers_scalars_and_tensors_without_elements(pico: Pico) -> None:
    sources = of_dtype(pico, torch.float32)

    def more(tensors: dict[str, torch.Tensor]) -> None:
        tensors["roberta.scale"] = tensors[MASK][5, 5].clone()
        tensors["roberta.nothing"] = torch.zeros(0, 4)
        tensors["roberta.ids"] = torch.arange(9).reshape(1, 9)

    for source in sources:
        rewrite(source.folder, more)
    opened = [Checkpoint(source.folder, source.name) for source in sources]
    assert_same_bits(Merge(opened, WEIGHTS))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize(
    ("method", "options", "count"),
    [
        ("slerp", {"linear_above": 1.0}, 2),
        ("multislerp", {}, 3),
        ("karcher", {}, 3),
        ("model_stock", {"scale": 0.8}, 3),
        ("multislerp_taus", {}, 3),
    ],
)
def test_methods_that_ask_for_products(
    method: str,
    options: dict[str, object],
    count: int,
    dtype: torch.dtype,
    pico: Pico,
    base: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Inner products are added up in another order, so that coefficients differ by some 1e-15: float64 results show it."""
    monkeypatch.setattr(resident, "BLOCK", 77)
    sources = of_dtype(pico, dtype, count)
    weights = [1 / count] * count if method == "model_stock" else (0.6, 0.3, 0.1)[:count]
    merge = Merge(sources, weights, method, options, base if METHODS[method].needs_base else None, dtype="F64")
    there, here = both(merge)
    linear = merging.in_memory([Merge(sources, weights, dtype="F64")])[0].tensors
    assert any(np.abs(here[name] - linear[name]).max() > 1e-3 for name in here), (
        "the method does something else than linear"
    )
    for name, array in here.items():
        np.testing.assert_allclose(there[name].numpy(), array, rtol=1e-12, atol=1e-12 * np.abs(array).max())


def test_rows_do_not_change_what_products_are_taken_of(sources: list[Checkpoint], base: Checkpoint) -> None:
    merge = Merge(sources, [1 / 3] * 3, "model_stock", {}, base)
    (whole,), (some,) = (Resident(CPU).merge([each]) for each in (merge, dataclasses.replace(merge, rows=ROWS)))
    by_token = vocabulary_tensors(sources[0])
    for name, tensor in some.tensors.items():
        assert torch.equal(tensor, whole.tensors[name][ROWS] if name in by_token else whole.tensors[name])


# --- what is taken, held and refused -------------------------------------------------------------------------------------


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Which tensors were loaded."""
    loaded: list[tuple[str, str]] = []
    read = Resident.read

    def listed(self: Resident, source: Checkpoint, name: str) -> torch.Tensor:
        loaded.append((source.name, name))
        return read(self, source, name)

    monkeypatch.setattr(Resident, "read", listed)
    return loaded


def test_each_tensor_is_loaded_once_and_none_that_nobody_asks_for(
    sources: list[Checkpoint], base: Checkpoint, reads: list[tuple[str, str]]
) -> None:
    engine = Resident(CPU)
    merges = [
        Merge(sources, WEIGHTS, "task_arithmetic", {}, base),
        Merge(sources[:2], (1.0, 0.5)),
        Merge(sources[1:], (0.5, 0.5)),
    ]
    list(engine.merge(merges))
    list(engine.merge(merges))
    assert len(reads) == len(set(reads))
    assert {name for source, name in reads if source == base.name} < set(base.tensors), "its own head is not needed"
    assert {name for source, name in reads if source == sources[2].name} == set(sources[2].tensors)


def test_who_writes_to_a_merge_does_not_change_what_is_held(sources: list[Checkpoint]) -> None:
    engine = Resident(CPU)
    for _ in range(2):
        tensors = engine.single(sources[0])
        for name, tensor in tensors.items():
            assert bits(tensor.numpy()) == bits(sources[0].file.read(name) + np.float32(0))
            tensor.zero_()


def test_tensor_methods_and_aligned_vocabularies_are_left_to_the_engine(
    sources: list[Checkpoint], base: Checkpoint, pico: Pico, reads: list[tuple[str, str]]
) -> None:
    other = permuted(pico.source("m"), "other")
    merges = [
        Merge(sources, WEIGHTS, "ties", {"density": 0.5}, base),
        Merge(sources, WEIGHTS),
        Merge([sources[0], other], (0.5, 0.5)),
    ]
    there, here = list(Resident(CPU).merge(merges)), merging.in_memory(merges)
    assert [type(each.tensors[MASK]) for each in there] == [np.ndarray, torch.Tensor, np.ndarray]
    for each, expected in zip(there, here, strict=True):
        for name, array in expected.tensors.items():
            assert bits(np.asarray(each.tensors[name])) == bits(array)
    assert here[2].alignment is not None
    assert "other" not in {source for source, _ in reads}


@pytest.mark.parametrize("number", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_nan_is_named_as_the_engine_names_it(number: float, dtype: torch.dtype, pico: Pico) -> None:
    sources = of_dtype(pico, dtype)

    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors["classifier.dense.weight"][3, 3] = number

    rewrite(sources[1].folder, change)
    sources[1] = Checkpoint(sources[1].folder, "s1")
    merge = Merge(sources, (0.5, 0.0, 0.5))
    with pytest.raises(MixError) as expected:
        merging.in_memory([merge])
    engine = Resident(CPU)
    for _ in range(2):
        with pytest.raises(MixError, match=r"^Tensor classifier\.dense\.weight of s1 holds NaN") as found:
            list(engine.merge([merge]))
        assert str(found.value) == str(expected.value)
    assert len(list(engine.merge([Merge(sources[::2], (0.5, 0.5))]))) == 1, "the others are none the worse"


def test_large_numbers_whose_sum_is_infinite_are_numbers(pico: Pico) -> None:
    sources = of_dtype(pico, torch.float32)

    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors["classifier.dense.weight"].fill_(3e38)

    rewrite(sources[0].folder, change)
    assert_same_bits(Merge([Checkpoint(sources[0].folder, "s0"), *sources[1:]], WEIGHTS))


class Card:
    """Stands for a GPU with so many bytes free."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, free: float) -> None:
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(free), 10**15))


def test_room_is_what_is_held_and_what_works_beside_it(
    sources: list[Checkpoint], base: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = sources[0]
    assert needed(sources, base) == 3 * one.nbytes + base.nbytes + MODELS * 4 * one.parameters + ROOM
    assert needed([*sources, one], None) == needed(sources, None) == needed(sources, base) - base.nbytes
    gpu = torch.device("cuda", 0)
    for free, enough in ((needed(sources, base), True), (needed(sources, base) - 1, False)):
        Card(monkeypatch, free)
        assert fits(sources, base, gpu) is enough
        assert not fits(sources, base, CPU), "files are read as fast as any memory of the same machine"
        merge = Merge(sources, WEIGHTS, "task_arithmetic", {}, base)
        assert (for_merges([merge], gpu) is not None) is enough


def test_52_sources_of_xlm_r_base_find_room_on_a_card_of_80_gb(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = {"nbytes": 1_112_201_056, "parameters": 278_050_000}
    zoo: list[Any] = [SimpleNamespace(folder=Path(str(number)), **shape) for number in range(53)]
    assert 65e9 < needed(zoo[:52], zoo[52]) < 75e9


def test_an_engine_is_made_only_for_merges_that_it_can_take(
    sources: list[Checkpoint], base: Checkpoint, pico: Pico, monkeypatch: pytest.MonkeyPatch
) -> None:
    Card(monkeypatch, 1e15)
    gpu = torch.device("cuda", 0)
    linear, ties = Merge(sources, WEIGHTS), Merge(sources, WEIGHTS, "ties", {"density": 0.5}, base)
    aligned = Merge([sources[0], permuted(pico.source("m"), "other")], (0.5, 0.5))
    assert for_merges([linear], gpu) is not None
    for others in ([linear, ties], [aligned, linear], []):
        assert for_merges(others, gpu) is None
    Card(monkeypatch, needed(sources, None))
    assert for_merges([linear], gpu) is not None
    assert for_merges([linear], gpu, singles=[pico.source("single")]) is None


def test_who_runs_out_of_memory_all_the_same_goes_on_with_files(
    sources: list[Checkpoint], reads: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def none_left(self: Resident, *task: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    engine, merge = Resident(CPU), Merge(sources, WEIGHTS)
    monkeypatch.setattr(Resident, "_made", none_left)
    expected = merging.in_memory([merge])[0].tensors
    for _ in range(2):
        (found,) = engine.merge([merge])
        for name, array in expected.items():
            assert bits(found.tensors[name]) == bits(array)
    assert len(reads) == len(set(reads)), "it was not tried again"
    assert [record.getMessage() for record in caplog.records] == [
        "cpu ran out of memory for the sources: merges are made from their files."
    ]


# --- live models -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", sorted(ENCODERS))
def test_a_live_model_of_tensors_answers_as_the_loaded_one_to_the_last_bit(family: str, tmp_path: Path) -> None:
    source = Encoders(tmp_path, ENCODERS[family]).source("de-DE")
    texts = ["bala dono aska", "counte furi", "leavo"]
    encoded = inference.encode(source.folder, texts)
    loaded = inference.load_classifier(source.folder)
    compact, rows = inference.compact(encoded, inference.fixed_tokens(loaded.config))
    engine = Resident(CPU)
    whole = inference.live_classifier(source.folder, engine.single(source))
    some = inference.live_classifier(source.folder, engine.single(source, rows), vocabulary_rows=rows)
    expected = inference.logits(loaded, encoded)
    assert not whole.training
    assert bits(inference.logits(whole, encoded)) == bits(inference.logits(some, compact)) == bits(expected)


def test_a_live_model_takes_tensors_without_a_copy(sources: list[Checkpoint]) -> None:
    tensors = Resident(CPU).single(sources[0])
    live = inference.live_classifier(sources[1].folder, tensors)
    mine = {tensor.data_ptr() for tensor in tensors.values()}
    assert {parameter.data_ptr() for parameter in live.parameters()} == mine


def test_a_live_model_of_sixteen_bit_tensors_is_fp32(pico: Pico) -> None:
    half = pico.source("half", dtype=torch.bfloat16)
    live = inference.live_classifier(half.folder, Resident(CPU).single(half))
    assert {parameter.dtype for parameter in live.parameters()} == {torch.float32}
    encoded = inference.encode(half.folder, ["bala dono aska"])
    expected = inference.logits(inference.load_classifier(half.folder), encoded)
    assert bits(inference.logits(live, encoded)) == bits(expected)


def test_a_model_whose_layers_are_made_of_several_tensors_takes_the_road_over_the_cpu(
    sources: list[Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if transformers had put copies of what it was given into the model."""
    from transformers import XLMRobertaForSequenceClassification

    built = XLMRobertaForSequenceClassification.from_pretrained

    def copied(name: Any, *, state_dict: dict[str, torch.Tensor], **more: Any) -> Any:
        return built(name, state_dict={key: tensor.clone() for key, tensor in state_dict.items()}, **more)

    monkeypatch.setattr(XLMRobertaForSequenceClassification, "from_pretrained", copied)
    live = inference.live_classifier(sources[0].folder, Resident(CPU).single(sources[0]))
    monkeypatch.undo()
    encoded = inference.encode(sources[0].folder, ["bala dono aska"])
    expected = inference.logits(inference.load_classifier(sources[0].folder), encoded)
    assert bits(inference.logits(live, encoded)) == bits(expected)


# --- experiments -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def with_card(monkeypatch: pytest.MonkeyPatch) -> list[Resident]:
    """The CPU counts as a device with room; returns the engines that were made."""
    made: list[Resident] = []

    class Listed(Resident):
        def __init__(self, device: torch.device) -> None:
            super().__init__(device)
            made.append(self)

    monkeypatch.setattr(resident, "fits", lambda sources, base, device: True)
    monkeypatch.setattr(resident, "Resident", Listed)
    return made


def predictions(folder: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in folder.rglob("predictions*")}


def test_an_experiment_comes_to_the_same_predictions(
    make: Make, quiet: Callable[[str, int, int], None], tmp_path: Path, with_card: list[Resident],  # noqa: F811
    reads: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    there = make(keep_models="none").run(quiet)
    assert len(with_card) == 1, "one engine for all targets"
    assert len(reads) == len(set(reads)) > 0
    found = predictions(tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    monkeypatch.undo()
    here = make(keep_models="none").run(quiet)
    assert (there.failures, len(there.records)) == ([], 9)
    for key, record in here.records.items():
        assert substance(there.records[key]) == substance(record)
    assert found == predictions(tmp_path / "run")
    assert len(found) == 9


def test_nothing_goes_to_the_device_where_models_are_kept_or_all_is_done(
    make: Make,  # noqa: F811
    quiet: Callable[[str, int, int], None],
    with_card: list[Resident],
) -> None:
    make(keep_models="all").run(quiet)
    make(keep_models="none").run(quiet)
    assert with_card == []


def test_a_broken_source_fails_its_own_cells_alone(
    shared_zoo: Zoo, tiny: TinyData, quiet: Callable[[str, int, int], None], tmp_path: Path,  # noqa: F811
    with_card: list[Resident],
) -> None:  # fmt: skip
    from sprachbund.preparing import prepare

    shutil.copytree(Path(shared_zoo.template).parent, tmp_path / "own")
    for locale in ("ro-RO", "de-DE"):
        poison(tmp_path / "own" / locale)
    inputs = Inputs(zoo=Zoo(f"{tmp_path}/own/{{locale}}"), base=None, data=tiny)
    outcome = prepare(config(tmp_path / "run", keep_models="none"), inputs).run(quiet)
    failed = {(failure.locale, failure.variant): failure.reason for failure in outcome.failures}
    assert set(failed) == {("sq-AL", "similarity"), ("sq-AL", "average"), ("de-DE", "baseline")}
    assert all("NaN" in reason for reason in failed.values())
    assert len(with_card) == 1
