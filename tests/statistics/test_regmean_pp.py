"""RegMean++ against a float64 re-implementation that runs XLM-R's own layers, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from encoders import ENCODERS, Encoders
from pico import FILLERS, INTENTS, Pico, markers, tokenizer

from sprachbund import inference
from sprachbund.checkpoints import Checkpoint, TensorFile
from sprachbund.errors import CheckpointError, DataError, IncompatibleError, MixError
from sprachbund.merging import merged_tensors
from sprachbund.statistics import gram_file, layerwise_gram_files

WEIGHTS = (0.5, 0.3, 0.2)
ALPHA = 0.7
TEXTS = [
    [f"{marker} " + " ".join(FILLERS[source + n : source + 2 * n]) for n in range(4) for marker in markers(intent)]
    for source, intent in enumerate(INTENTS[:3])
]
"""Each source has texts of its own, of many lengths."""

Tensors = dict[str, torch.Tensor]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPRACHBUND_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def deep(pico: Pico) -> list[Checkpoint]:
    """Three sources of three layers in float64, far enough from each other that it matters what lies below."""
    return [pico.source(name, layers=3, change=0.3, dtype=torch.float64) for name in ("de-DE", "fr-FR", "ja-JP")]


def regmean_of(thetas: Sequence[torch.Tensor], grams: Sequence[torch.Tensor]) -> torch.Tensor:
    left, right = torch.zeros_like(thetas[0]), torch.zeros_like(grams[0])
    for weight, theta, gram in zip(WEIGHTS, thetas, grams, strict=True):
        reduced = weight * (ALPHA * gram + (1 - ALPHA) * torch.diag(gram.diag()))
        left, right = left + theta @ reduced, right + reduced
    ridge = 1e-6 * torch.diag(right.diag() + right.diag().mean())  # towards the mean, as regmean has it
    return (left + mean_of(thetas) @ ridge) @ torch.linalg.inv(right + ridge)


def mean_of(thetas: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.stack([weight * theta for weight, theta in zip(WEIGHTS, thetas, strict=True)]).sum(dim=0)


def grams_of(part: torch.nn.Module, inputs: list[dict[str, torch.Tensor]]) -> Tensors:
    rows: dict[str, list[torch.Tensor]] = {}
    for name, module in part.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(
                lambda _, x, name=name: rows.setdefault(f"{name}.weight", []).append(x[0].flatten(0, -2))
            )
    for each in inputs:
        part(**each)
    together = {name: torch.cat(some) for name, some in rows.items()}
    return {name: x.T @ x / len(x) for name, x in together.items()}


def merge_part(parts: Sequence[torch.nn.Module], inputs: Sequence[list[dict[str, torch.Tensor]]]) -> Tensors:
    """Merge a part of the sources' models: each runs on what is handed to it, which gives its Gram matrices."""
    grams = [grams_of(part, given) for part, given in zip(parts, inputs, strict=True)]
    states = [part.state_dict() for part in parts]
    return {
        name: regmean_of([s[name] for s in states], [g[name] for g in grams])
        if name in grams[0]
        else mean_of([s[name] for s in states])
        for name in states[0]
    }


@torch.no_grad()
def by_the_book(sources: Sequence[Checkpoint]) -> Tensors:
    """Embeddings, then layer by layer, then the head; each text runs alone, through copies of XLM-R's own modules."""
    models = [inference.load_classifier(source.folder).double() for source in sources]
    merged = inference.load_classifier(sources[0].folder).double()
    embeddings = {
        n: mean_of([m.roberta.embeddings.state_dict()[n] for m in models])
        for n in models[0].roberta.embeddings.state_dict()
    }
    merged.roberta.embeddings.load_state_dict(embeddings)
    states = [
        [
            merged.roberta.embeddings(input_ids=torch.tensor([text]))
            for text in inference.tokenise(inference.load_tokenizer(source.folder), texts)
        ]
        for source, texts in zip(sources, TEXTS, strict=True)
    ]
    for place, layer in enumerate(merged.roberta.encoder.layer):
        parts = [model.roberta.encoder.layer[place] for model in models]
        layer.load_state_dict(merge_part(parts, [[{"hidden_states": x} for x in own] for own in states]))
        states = [[layer(x) for x in own] for own in states]
    merged.classifier.load_state_dict(
        merge_part([model.classifier for model in models], [[{"features": x} for x in own] for own in states])
    )
    return dict(merged.state_dict())


def merged_by(files: Sequence[TensorFile], sources: Sequence[Checkpoint]) -> dict[str, np.ndarray]:
    statistics, options = {"gram": files}, {"alpha": ALPHA}
    return dict(merged_tensors(sources, WEIGHTS, method="regmean", options=options, statistics=statistics))


def test_regmean_with_these_grams_is_regmean_pp(deep: list[Checkpoint], monkeypatch: pytest.MonkeyPatch) -> None:
    true = inference.load_classifier
    monkeypatch.setattr("sprachbund.statistics.classifiers.load_classifier", lambda folder: true(folder).double())
    files = layerwise_gram_files(deep, WEIGHTS, TEXTS, options={"alpha": ALPHA})
    expected, found = by_the_book(deep), merged_by(files, deep)
    for name, numbers in found.items():
        np.testing.assert_allclose(numbers, expected[name], rtol=1e-4, atol=1e-4, err_msg=name)
    plain = merged_by([gram_file(source, own) for source, own in zip(deep, TEXTS, strict=True)], deep)
    first = "roberta.encoder.layer.0.attention.self.query.weight"
    last = "roberta.encoder.layer.2.output.dense.weight"
    assert np.abs(plain[last] - expected[last].numpy()).max() > 0.5, "RegMean itself is something else"
    assert np.abs(plain[first] - found[first]).max() < np.abs(plain[last] - found[last]).max()


def test_what_is_below_is_the_merge(deep: list[Checkpoint]) -> None:
    """Sources that have nothing but their first layer in common see the same inputs from there on, and of one text: G alike."""
    files = layerwise_gram_files(deep, WEIGHTS, [TEXTS[0]] * 3, options={"alpha": ALPHA})
    into = "roberta.encoder.layer.{}.attention.self.query.weight"
    for layer in range(3):
        grams = [file.read(into.format(layer)) for file in files]
        np.testing.assert_allclose(grams[1], grams[0], rtol=1e-4, atol=1e-4)
    apart = [file.read("roberta.encoder.layer.1.output.dense.weight") for file in files]
    assert np.abs(apart[1] - apart[0]).max() > 0.01, "within a layer it is the source's own"


@pytest.mark.parametrize("family", [name for name in ENCODERS if name != "albert"])
def test_sources_that_agree_have_the_grams_of_regmean(family: str, tmp_path: Path) -> None:
    """Whatever lies between and around the layers: with one source thrice, to merge what is below changes nothing."""
    source = Encoders(tmp_path, ENCODERS[family]).source("m")
    texts = TEXTS[0] + TEXTS[1]
    files = layerwise_gram_files([source] * 3, WEIGHTS, [texts] * 3)
    expected = gram_file(source, texts)
    assert files[0].tensors.keys() == expected.tensors.keys()
    for name in expected.tensors:
        gram = expected.read(name)
        for file in files:
            np.testing.assert_allclose(file.read(name), gram, rtol=1e-3, atol=1e-4 * np.abs(gram).max(), err_msg=name)


@pytest.mark.parametrize("family", [name for name in ENCODERS if name != "albert"])
def test_other_encoders_see_what_the_merge_lets_through(family: str, tmp_path: Path) -> None:
    """What comes into the head is what comes out of a model whose body is the merge, by transformers' own forward."""
    made = Encoders(tmp_path, ENCODERS[family])
    sources, weights = [made.source(name, change=0.2) for name in ("a", "b")], (0.6, 0.4)
    files = layerwise_gram_files(sources, weights, TEXTS[:2])
    merged = merged_tensors(sources, weights, method="regmean", statistics={"gram": files})
    after = {name for name in merged if name.startswith(("head.", "bert.pooler.", "model.final_norm."))}
    after |= ENCODERS[family].head
    for source, texts, file in zip(sources, TEXTS, files, strict=False):
        model = inference.load_classifier(source.folder)
        body = {name: torch.from_numpy(numbers) for name, numbers in merged.items() if name not in after}
        assert not model.load_state_dict(body, strict=False).unexpected_keys
        seen = [name for name in file.tensors if name in after]
        assert seen
        for name in seen:
            gram = gram_with(model, source, texts, name)
            np.testing.assert_allclose(file.read(name), gram, rtol=1e-3, atol=1e-3 * np.abs(gram).max(), err_msg=name)


def gram_with(model: torch.nn.Module, source: Checkpoint, texts: Sequence[str], name: str) -> np.ndarray:
    rows: list[torch.Tensor] = []
    layer = model.get_submodule(name.removesuffix(".weight"))
    handle = layer.register_forward_pre_hook(lambda _, given: rows.append(given[0].flatten(0, -2)))
    for text in inference.tokenise(inference.load_tokenizer(source.folder), texts):
        with torch.no_grad():
            model(input_ids=torch.tensor([text]))
    handle.remove()
    x = torch.cat(rows).double()
    gram: np.ndarray = (x.T @ x / len(x)).numpy()
    return gram


def test_every_block_runs_twice_a_text(deep: list[Checkpoint], monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    true = inference.load_classifier

    def counted(folder: Path) -> torch.nn.Module:
        model = true(folder)
        for place, layer in enumerate(model.roberta.encoder.layer):
            layer.attention.register_forward_pre_hook(
                lambda _, given, place=place: runs.extend([place] * len(given[0]))
            )
        return model

    monkeypatch.setattr("sprachbund.statistics.classifiers.load_classifier", counted)
    texts = [[text, text] for text, *_ in TEXTS]  # two of one length: none runs twice for being alone
    layerwise_gram_files(deep, WEIGHTS, texts)
    shown = 2  # by which the steps are found
    assert [runs.count(place) for place in range(3)] == [2 * 6 + shown] * 3


def test_what_is_known_is_found(deep: list[Checkpoint], own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[int, int]] = []
    first = layerwise_gram_files(deep, WEIGHTS, TEXTS, report=lambda stage, done, total: said.append((done, total)))
    assert said == [(done, 5) for done in range(6)]
    assert all(file.path.is_relative_to(own_cache / "statistics") for file in first)
    monkeypatch.setattr("sprachbund.statistics.classifiers.load_classifier", None)
    again = layerwise_gram_files(deep, WEIGHTS, TEXTS)
    assert [file.path for file in again] == [file.path for file in first]
    for changed in (
        {"weights": (0.5, 0.2, 0.3)},
        {"texts": TEXTS[::-1]},
        {"options": {"alpha": 0.5}},
        {"sources": deep[::-1]},
    ):
        asked = {"sources": deep, "weights": WEIGHTS, "texts": TEXTS, "options": None} | changed
        with pytest.raises(TypeError, match="not callable"):
            layerwise_gram_files(asked["sources"], asked["weights"], asked["texts"], options=asked["options"])


def test_what_cannot_be_walked(deep: list[Checkpoint], pico: Pico, tmp_path: Path) -> None:
    shared = Encoders(tmp_path, ENCODERS["albert"]).source("m")
    with pytest.raises(CheckpointError, match="has not its 2 layers one after the other, as RegMean.. needs them"):
        layerwise_gram_files([shared] * 3, WEIGHTS, TEXTS)
    with pytest.raises(DataError, match="no texts to find out the statistics of fr-FR"):
        layerwise_gram_files(deep, WEIGHTS, [TEXTS[0], [], TEXTS[2]])
    with pytest.raises(MixError, match="The option alpha of the method regmean cannot be 2"):
        layerwise_gram_files(deep, WEIGHTS, TEXTS, options={"alpha": 2})
    other = pico.source("other", words=tokenizer("x"), layers=3)
    with pytest.raises(IncompatibleError, match=r"different vocabularies, and RegMean\+\+ takes one for all"):
        layerwise_gram_files([*deep[:2], other], WEIGHTS, TEXTS)
