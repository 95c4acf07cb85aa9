"""Gram matrices against what a plain float64 run of one text after the other hands to each layer."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from encoders import ENCODERS, Encoders
from pico import FILLERS, Pico, poison

from sprachbund import inference
from sprachbund.checkpoints import Checkpoint, open_checkpoint
from sprachbund.errors import CheckpointError, DataError
from sprachbund.merging import merged_tensors
from sprachbund.statistics import gram_file

TEXTS = [" ".join(FILLERS[: 1 + number % 4]) + f" {FILLERS[number]}" for number in range(9)] + [" ".join(FILLERS)]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPRACHBUND_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def inputs_of(source: Checkpoint, texts: list[str] = TEXTS) -> dict[str, np.ndarray]:
    """What came into each linear layer, [rows, in]: one text at a time, so that there is no padding."""
    model = inference.load_classifier(source.folder).double()
    seen: dict[str, list[np.ndarray]] = {}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(
                lambda _, given, name=name: seen.setdefault(name, []).append(given[0].detach().numpy())
            )
    for text in inference.tokenise(inference.load_tokenizer(source.folder), texts):
        with torch.inference_mode():
            model(input_ids=torch.tensor([text]))
    # DeBERTa sends its table of relative positions, [1, 16, hidden], through the same layers: those are no tokens.
    tokens = {len(text) for text in inference.tokenise(inference.load_tokenizer(source.folder), texts)}
    assert 16 not in tokens
    return {
        f"{name}.weight": np.concatenate(
            [part.reshape(-1, part.shape[-1]) for part in parts if part.shape[-2:-1] != (16,)]
        )
        for name, parts in seen.items()
    }


@pytest.mark.parametrize("family", ENCODERS)
def test_it_is_the_mean_of_the_outer_products(family: str, tmp_path: Path) -> None:
    source = Encoders(tmp_path, ENCODERS[family]).source("m")
    expected, found = inputs_of(source), gram_file(source, TEXTS)
    assert found.tensors.keys() == expected.keys() & source.tensors.keys()
    assert len(found.tensors) > 4
    for name in found.tensors:
        rows = expected[name]
        width = source.tensors[name].shape[1]
        assert found.tensors[name].shape == (width, width)
        gram = rows.T @ rows / len(rows)
        np.testing.assert_allclose(found.read(name), gram, rtol=1e-3, atol=1e-4 * np.abs(gram).max(), err_msg=name)


def test_a_text_alone_counts_as_much_as_one_of_many(sources: list[Checkpoint]) -> None:
    """One of a length, then three of one length: rows are the same, however they come."""
    expected = inputs_of(sources[0], TEXTS[:1] * 3 + TEXTS[-1:])["classifier.dense.weight"]
    assert len(expected) == 4
    found = gram_file(sources[0], TEXTS[:1] * 3 + TEXTS[-1:]).read("classifier.dense.weight")
    np.testing.assert_allclose(found, expected.T @ expected / 4, rtol=1e-3, atol=1e-4)


def test_the_order_of_texts_is_no_matter(sources: list[Checkpoint]) -> None:
    one, other = gram_file(sources[0], TEXTS), gram_file(sources[0], TEXTS[::-1])
    for name in one.tensors:
        np.testing.assert_allclose(one.read(name), other.read(name), rtol=1e-4, atol=1e-4)


def test_a_table_of_positions_as_long_as_a_text_is_no_text(tmp_path: Path) -> None:
    """DeBERTa's table has 16 rows here; a single text of 16 tokens must not make it look like tokens."""
    source = Encoders(tmp_path, ENCODERS["deberta-v2"]).source("m")
    tokenizer = inference.load_tokenizer(source.folder)
    lot = random.Random(0)
    drawn = (" ".join(lot.choices(FILLERS, k=lot.randrange(1, 12))) for _ in range(1000))
    text = next(text for text in drawn if len(inference.tokenise(tokenizer, [text])[0]) == 16)
    model = inference.load_classifier(source.folder)
    seen: list[torch.Tensor] = []
    layer = model.get_submodule("deberta.encoder.layer.0.attention.self.key_proj")
    layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.inference_mode():
        model(input_ids=torch.tensor(inference.tokenise(tokenizer, [text])))
    assert [tuple(given.shape) for given in seen] == [(1, 16, 16), (1, 16, 16)], "states, and the table"
    rows = seen[0][0].double().numpy()
    found = gram_file(source, [text]).read("deberta.encoder.layer.0.attention.self.key_proj.weight")
    np.testing.assert_allclose(found, rows.T @ rows / 16, rtol=1e-3, atol=1e-4)


def test_what_is_known_is_found(sources: list[Checkpoint], own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = gram_file(sources[0], TEXTS)
    assert first.path.is_relative_to(own_cache / "statistics")
    monkeypatch.setattr("sprachbund.statistics.classifiers.load_classifier", None)
    assert gram_file(sources[0], TEXTS).path == first.path
    with pytest.raises(TypeError):
        gram_file(sources[0], TEXTS[1:])
    with pytest.raises(TypeError):
        gram_file(sources[1], TEXTS)


def test_what_cannot_be_asked(sources: list[Checkpoint], base: Checkpoint, pico: Pico) -> None:
    with pytest.raises(DataError, match="There are no texts to find out the statistics of de-DE on"):
        gram_file(sources[0], [])
    with pytest.raises(CheckpointError, match="holds no classifier"):
        gram_file(base, TEXTS)
    broken = pico.source("de-DE")
    poison(broken.folder, "roberta.encoder.layer.0.attention.self.query.weight")
    with pytest.raises(CheckpointError, match="The statistics of de-DE for tensor .* are NaN or infinite"):
        gram_file(open_checkpoint(broken.folder, "de-DE"), TEXTS)


def test_the_engine_merges_by_it(sources: list[Checkpoint]) -> None:
    """The linear layers by regression, everything else as a weighted mean."""
    weights = (0.5, 0.3, 0.2)
    files = [gram_file(source, TEXTS[place:]) for place, source in enumerate(sources)]
    merged = merged_tensors(sources, weights, method="regmean", options={"alpha": 0.5}, statistics={"gram": files})
    by_regression = 0
    for name, found in merged.items():
        thetas = [source.file.read(name).astype(float) for source in sources]
        expected = sum(w * theta for w, theta in zip(weights, thetas, strict=True))
        if name in files[0].tensors:
            by_regression += 1
            grams = [file.read(name).astype(float) for file in files]
            reduced = [
                w * np.where(np.eye(len(g), dtype=bool), g, 0.5 * g) for w, g in zip(weights, grams, strict=True)
            ]
            left = sum(theta @ g for theta, g in zip(thetas, reduced, strict=True))
            expected = left @ np.linalg.inv(sum(reduced))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5, err_msg=name)
    assert by_regression == 8  # query, key, value, dense; intermediate, output; dense and out_proj of the head
