"""The Fisher diagonal against a plain loop over texts and labels, in float64."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from encoders import ENCODERS, Encoders
from pico import FILLERS, INTENTS, Pico, poison, rewrite, state

from sprachbund import inference
from sprachbund.checkpoints import Checkpoint, open_checkpoint
from sprachbund.errors import CheckpointError, DataError
from sprachbund.merging import merged_tensors
from sprachbund.statistics import fisher, fisher_file
from sprachbund.statistics.classifiers import saved_names

TEXTS = [f"{one} {two} {one}"[: 8 + number] for number, (one, two) in enumerate(pairwise(FILLERS))]
LABELS = [INTENTS[number % 3] for number in range(len(TEXTS))]
EMBEDDING = "roberta.embeddings.word_embeddings.weight"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPRACHBUND_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def model_and_tokens(source: Checkpoint) -> tuple[torch.nn.Module, inference.Encoded]:
    model = inference.load_classifier(source.folder).double()
    return model, inference.tokenise(inference.load_tokenizer(source.folder), TEXTS)


def by_the_book(source: Checkpoint, gold: Sequence[int] | None = None) -> dict[str, np.ndarray]:
    """1/N Σₓ Σ_c p(c) (∂ log p(c))², or with a label its own (∂ log p)²: one gradient after the other, of everything."""
    model, encoded = model_and_tokens(source)
    model.requires_grad_(True)
    parameters = dict(model.named_parameters())
    total = {name: torch.zeros_like(each) for name, each in parameters.items()}
    for number, text in enumerate(encoded):
        log_p = torch.log_softmax(model(input_ids=torch.tensor([text])).logits[0], dim=0)
        for label in range(len(log_p)) if gold is None else [gold[number]]:
            gradients = torch.autograd.grad(log_p[label], parameters.values(), retain_graph=True, allow_unused=True)
            share = log_p[label].exp().item() if gold is None else 1.0
            for name, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None:
                    total[name] += share * gradient**2
    return {name: (each / len(encoded)).detach().numpy() for name, each in total.items()}


def ours(source: Checkpoint, gold: Sequence[int] | None = None, **settings: int) -> dict[str, np.ndarray]:
    """What the module makes of the same model in float64, the rows of the embeddings put where they belong."""
    model, encoded = model_and_tokens(source)
    found = fisher.diagonal_fisher(model.requires_grad_(False), encoded, gold, **settings)
    table = torch.zeros_like(found.embedding.weight)
    table[found.tokens] = found.rows
    named = dict(model.named_parameters())
    return {name: (table if p is found.embedding.weight else found.dense[p]).numpy() for name, p in named.items()}


def close(found: np.ndarray, expected: dict[str, np.ndarray], name: str) -> None:
    """Compare what float32 came to. It can't tell from 0 what is rounding: nothing depends on the biases of keys, say."""
    largest = max(numbers.max() for numbers in expected.values())
    np.testing.assert_allclose(found, expected[name], rtol=1e-2, atol=1e-9 * largest, err_msg=name)


def test_labelled_it_is_the_mean_of_squared_gradients(sources: list[Checkpoint]) -> None:
    gold = [INTENTS.index(label) for label in LABELS]
    expected = by_the_book(sources[0], gold)
    for name, found in ours(sources[0], gold).items():
        np.testing.assert_allclose(found, expected[name], rtol=1e-9, atol=1e-20, err_msg=name)
    assert expected["classifier.dense.weight"].max() > 1e-6


def test_unlabelled_it_is_the_sum_over_labels(sources: list[Checkpoint]) -> None:
    expected = by_the_book(sources[0])
    for name, found in ours(sources[0], passes=4).items():
        np.testing.assert_allclose(found, expected[name], rtol=1e-9, atol=1e-20, err_msg=name)


@pytest.mark.parametrize("family", ENCODERS)
def test_it_is_the_same_for_other_encoders(family: str, tmp_path: Path) -> None:
    """Layers that are shared (ALBERT), tables that are never called (DeBERTa), embeddings of another width (ELECTRA)."""
    source = Encoders(tmp_path, ENCODERS[family]).source("m")
    expected = by_the_book(source)
    found, largest = ours(source), max(numbers.max() for numbers in expected.values())
    assert found.keys() == expected.keys()
    for name in expected:
        # ModernBERT turns positions in float32, whatever it is.
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6, atol=1e-8 * largest, err_msg=name)
    written = fisher_file(source, TEXTS)
    assert written.tensors.keys() == source.tensors.keys()
    for name in expected:
        close(written.read(name), expected, name)


def test_the_square_of_a_mean_gradient_would_be_noticed(sources: list[Checkpoint]) -> None:
    gold = [INTENTS.index(label) for label in LABELS]
    model, encoded = model_and_tokens(sources[0])
    weight = model.get_parameter("classifier.out_proj.weight")
    answers = [torch.log_softmax(model(input_ids=torch.tensor([text])).logits[0], 0) for text in encoded]
    losses = [log_p[label] for log_p, label in zip(answers, gold, strict=True)]
    (gradient,) = torch.autograd.grad(torch.stack(losses).mean(), weight)
    assert not np.allclose(gradient**2, ours(sources[0], gold)["classifier.out_proj.weight"], rtol=0.1)


def test_random_signs_are_right_on_average(pico: Pico) -> None:
    """Twenty labels in fewer passes: the mean over many draws comes to the sum over labels, without cross terms."""
    source, name = pico.source("many", labels=[f"label {number}" for number in range(20)]), "classifier.out_proj.weight"
    exact = by_the_book(source)[name]
    np.testing.assert_allclose(ours(source, passes=20)[name], exact, rtol=1e-9)
    mean = np.mean([ours(source, passes=19, seed=seed)[name] for seed in range(3)], axis=0)
    # 9 texts × 19 passes × 3 seeds, each of relative variance 2 at most: 6 % at one standard error, for every number.
    np.testing.assert_allclose(mean, exact, rtol=0.3)
    assert mean.sum() == pytest.approx(exact.sum(), rel=0.05)
    assert abs(square_of_the_sum(source, name).sum() / exact.sum() - 1) > 0.1


def square_of_the_sum(source: Checkpoint, name: str) -> np.ndarray:
    """What comes of leaving out the signs."""
    model, encoded = model_and_tokens(source)
    total = torch.zeros_like(model.get_parameter(name))
    for text in encoded:
        log_p = torch.log_softmax(model(input_ids=torch.tensor([text])).logits[0], dim=0)
        (gradient,) = torch.autograd.grad((log_p.detach().mul(0.5).exp() * log_p).sum(), model.get_parameter(name))
        total += gradient**2
    return (total / len(encoded)).detach().numpy()


def test_signs_come_from_the_seed(sources: list[Checkpoint]) -> None:
    first, again, other = (ours(sources[0], passes=1, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first[EMBEDDING], again[EMBEDDING])
    assert not np.allclose(first[EMBEDDING], other[EMBEDDING])


def test_only_tokens_that_occur_have_rows(sources: list[Checkpoint]) -> None:
    written = fisher_file(sources[0], TEXTS).read(EMBEDDING)
    _, encoded = model_and_tokens(sources[0])
    occurring = sorted({token for text in encoded for token in text})
    assert np.flatnonzero(written.any(axis=1)).tolist() == occurring


def test_it_is_written_under_the_checkpoints_names(sources: list[Checkpoint]) -> None:
    written, expected = (
        fisher_file(sources[0], TEXTS, LABELS),
        by_the_book(sources[0], [INTENTS.index(x) for x in LABELS]),
    )
    assert {n: i.shape for n, i in written.tensors.items()} == {n: i.shape for n, i in sources[0].tensors.items()}
    for name, numbers in expected.items():
        assert numbers.shape == written.read(name).shape
        close(written.read(name), expected, name)


def test_old_names_and_what_is_left_of_another_head(tmp_path: Path) -> None:
    made = Encoders(tmp_path, ENCODERS["bert"])
    source = made.source("old")
    expected = by_the_book(source)

    def as_of_old(tensors: dict[str, torch.Tensor]) -> None:
        for name in list(tensors):
            old = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
            tensors[old] = tensors.pop(name)
        tensors["cls.predictions.bias"] = torch.ones(7)

    rewrite(source.folder, as_of_old)
    old = open_checkpoint(source.folder)
    written = fisher_file(old, TEXTS)
    name = "bert.encoder.layer.0.output.LayerNorm"
    np.testing.assert_allclose(written.read(f"{name}.gamma"), expected[f"{name}.weight"], rtol=1e-3)
    assert not written.read("cls.predictions.bias").any()


def test_integers_have_none(pico: Pico) -> None:
    source = pico.source("positions")
    rewrite(source.folder, lambda tensors: tensors.update({"roberta.embeddings.position_ids": torch.arange(34)[None]}))
    source = open_checkpoint(source.folder)
    assert source.tensors.keys() - fisher_file(source, TEXTS).tensors.keys() == {"roberta.embeddings.position_ids"}


def test_what_is_known_is_found(sources: list[Checkpoint], own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fisher_file(sources[0], TEXTS, LABELS)
    assert first.path.is_relative_to(own_cache / "statistics")
    loads: list[Path] = []
    true = inference.load_classifier
    monkeypatch.setattr(
        "sprachbund.statistics.classifiers.load_classifier", lambda folder: loads.append(folder) or true(folder)
    )
    assert fisher_file(sources[0], TEXTS, LABELS).path == first.path
    assert not loads
    others = [
        fisher_file(sources[0], TEXTS),
        fisher_file(sources[0], TEXTS, LABELS[::-1]),
        fisher_file(sources[0], TEXTS[::-1], LABELS),
        fisher_file(sources[1], TEXTS, LABELS),
        fisher_file(sources[0], TEXTS, passes=1),
        fisher_file(sources[0], TEXTS, passes=1, seed=1),
    ]
    assert len({first.path, *(each.path for each in others)}) == len(loads) + 1 == 7
    fisher_file(sources[0], TEXTS, seed=5, passes=9)  # exact with fewer passes as well, and then no seed counts
    assert len(loads) == 6


def test_what_fails_leaves_nothing(pico: Pico, own_cache: Path) -> None:
    source = pico.source("de-DE")
    poison(source.folder, "classifier.dense.weight")
    source = open_checkpoint(source.folder, "de-DE")
    with pytest.raises(CheckpointError, match="The statistics of de-DE for tensor .* are NaN or infinite: leave"):
        fisher_file(source, TEXTS)
    assert not list((own_cache / "statistics").glob("[!.]*"))


def test_labels_must_be_those_of_the_texts(sources: list[Checkpoint]) -> None:
    with pytest.raises(DataError, match="de-DE: got 9 texts and 8 labels"):
        fisher_file(sources[0], TEXTS, LABELS[:-1])
    with pytest.raises(DataError, match="de-DE has no label 'sing'"):
        fisher_file(sources[0], TEXTS, ["sing", *LABELS[1:]])
    with pytest.raises(DataError, match="There are no texts to find out the statistics of de-DE on"):
        fisher_file(sources[0], [])


def test_the_engine_merges_by_it(sources: list[Checkpoint]) -> None:
    files = [fisher_file(source, TEXTS) for source in sources]
    weights = (0.5, 0.3, 0.2)
    merged = merged_tensors(sources, weights, method="fisher", statistics={"fisher": files})
    states = [state(source) for source in sources]
    for name, found in merged.items():
        thetas = np.stack([each[name].double().numpy() for each in states])
        precision = np.stack([w * file.read(name).astype(float) for w, file in zip(weights, files, strict=True)])
        expected = np.average(thetas, axis=0, weights=weights)
        known = precision.sum(axis=0) > 0
        expected[known] = ((precision * thetas).sum(axis=0)[known]) / precision.sum(axis=0)[known]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6, err_msg=name)


def test_names_of_a_model_are_those_of_its_file(sources: list[Checkpoint]) -> None:
    model = inference.load_classifier(sources[0].folder)
    assert saved_names(model, sources[0]).keys() == sources[0].tensors.keys()
