"""Measured similarities: each against its definition by loops and scipy, what it may look at, and that it is kept."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from pico import FILLERS, Pico, TinyData, markers, poison, rewrite, rows_of, state, tiny_data
from scipy.spatial.distance import cosine
from scipy.special import softmax
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from sprachbund.checkpoints import Checkpoint
from sprachbund.data import Row
from sprachbund.data.split import SplitData
from sprachbund.errors import IncompatibleError, MixError, UserError
from sprachbund.measures import MEASURES, AnswerStore, Context, measure
from sprachbund.measures.similarities import Measure
from sprachbund.similarity import MEASURED
from sprachbund.store import Transfer, TransferCell

SOURCES = ("de-DE", "fr-FR", "ja-JP")
TARGETS = ("sq-AL", "fr-FR")
"""One without a column of its own, one with."""


def with_words_of_its_own(locale: str) -> Iterable[Row]:
    """Like the made-up data, but each locale has only some of the fillers."""
    own = {filler for number, filler in enumerate(FILLERS) if (number + len(locale) + ord(locale[0])) % 3}
    for row in rows_of(locale):
        kept = [word for word in row.utt.split() if word in own or word not in FILLERS]
        yield dataclasses.replace(row, utt=" ".join(kept))


def no_transfers(sources: Sequence[str], targets: Sequence[str]) -> Sequence[Transfer]:
    raise AssertionError("only transfer needs them")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPRACHBUND_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def zoo(pico: Pico) -> Mapping[str, Checkpoint]:
    return {name: pico.source(name) for name in (*SOURCES, "sq-AL")}


@pytest.fixture
def make(zoo: Mapping[str, Checkpoint], base: Checkpoint, tmp_path: Path) -> Callable[..., Context]:
    """Makes a context of pico sources, of which sq-AL is no column."""

    def context(**changes: object) -> Context:
        made = Context(
            targets=TARGETS,
            sources={name: zoo[name] for name in SOURCES},
            own=zoo.__getitem__,
            data=tiny_data(source=with_words_of_its_own),
            base=base,
            answers=AnswerStore(tmp_path / "answers"),
            transfers=no_transfers,
        )
        return dataclasses.replace(made, **changes)  # type: ignore[arg-type]

    return context


Make = Callable[..., Context]


def texts(context: Context, locale: str) -> tuple[str, ...]:
    return context.data.texts(locale)


# --- texts -------------------------------------------------------------------------------------------------------------


def test_texts_are_those_of_train_in_an_order_that_says_nothing(tiny: TinyData) -> None:
    found, train = tiny.texts("de-DE"), tiny.partition("de-DE", "train").texts
    assert Counter(found) == Counter(train)
    assert found != train


def test_texts_are_those_set_aside_where_some_are(tiny: TinyData) -> None:
    split = SplitData("split:tiny", "1", "none", "made up", True, tiny.intents, tiny.locales, whole=tiny)
    assert split.texts("de-DE") == split.unlabelled("de-DE")
    assert 0 < len(split.texts("de-DE")) < len(tiny.texts("de-DE"))


# --- what each measures ------------------------------------------------------------------------------------------------


def test_overlap_is_the_share_of_running_subwords_that_occur_in_the_source(make: Make) -> None:
    context = make()
    matrix = measure("overlap", context)
    words = AutoTokenizer.from_pretrained(str(context.sources["de-DE"].folder))

    def pieces(locale: str) -> list[int]:
        return [
            piece for text in texts(context, locale) for piece in words(text, add_special_tokens=False)["input_ids"]
        ]

    for target in TARGETS:
        running = pieces(target)
        for source in SOURCES:
            known = set(pieces(source))
            assert matrix.score(target, source) == pytest.approx(sum(p in known for p in running) / len(running))
    assert matrix.score("fr-FR", "fr-FR") == 1
    assert len(set(matrix.values.ravel().tolist())) > 2, "the data should tell sources apart"


def test_overlap_opens_no_source_but_for_its_tokenizer(make: Make) -> None:
    context = make()
    for source in context.sources.values():
        poison(source.folder)
    assert measure("overlap", context).uses == {"unlabelled"}


def test_embedding_is_the_centred_cosine_of_mean_states(make: Make, base: Checkpoint) -> None:
    context = make()
    matrix = measure("embedding", context)
    encoder = AutoModelForSequenceClassification.from_pretrained(str(base.folder)).roberta.eval()
    words = AutoTokenizer.from_pretrained(str(base.folder))

    @torch.inference_mode()
    def mean_state(locale: str) -> np.ndarray:
        states = [
            encoder(**words(text, return_tensors="pt")).last_hidden_state[0].mean(0) for text in texts(context, locale)
        ]
        return torch.stack(states).double().mean(0).numpy()

    means = {name: mean_state(name) for name in {*TARGETS, *SOURCES}}
    centre = np.mean([means[source] for source in SOURCES], axis=0)
    for target in TARGETS:
        for source in SOURCES:
            expected = 1 - cosine(means[target] - centre, means[source] - centre)
            assert matrix.score(target, source) == pytest.approx(expected, abs=1e-4)
    assert matrix.score("fr-FR", "fr-FR") == pytest.approx(1)


def test_task_vectors_are_compared_over_the_body(
    make: Make, zoo: Mapping[str, Checkpoint], base: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sprachbund.measures.task_vector.ELEMENTS_PER_CHUNK", 100)
    matrix = measure("task-vector", make())
    start = state(base)

    def tau(source: Checkpoint) -> np.ndarray:
        moved = [
            tensor.double() - start[name].double()
            for name, tensor in state(source).items()
            if name in start and tensor.is_floating_point()
        ]
        return torch.cat([tensor.ravel() for tensor in moved]).numpy()

    for target in TARGETS:
        for source in SOURCES:
            expected = 1 - cosine(tau(zoo[target]), tau(zoo[source]))
            assert matrix.score(target, source) == pytest.approx(expected, abs=1e-12)
    assert matrix.score("fr-FR", "fr-FR") == pytest.approx(1)
    assert matrix.uses == {"target-train"}


def test_agreement_is_with_the_consensus_of_the_other_foreign_sources(make: Make) -> None:
    context = make()
    matrix = measure("agreement", context)

    def probabilities(source: str, locale: str) -> np.ndarray:
        folder = str(context.sources[source].folder)
        model, words = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
        with torch.inference_mode():
            logits = [model(**words(text, return_tensors="pt")).logits[0].numpy() for text in texts(context, locale)]
        return np.asarray(softmax(np.stack(logits).astype(np.float16).astype(np.float64), axis=1))

    for target in TARGETS:
        answers = {source: probabilities(source, target) for source in SOURCES}
        for source in SOURCES:
            others = [each for name, each in answers.items() if name not in (source, target)]
            same = np.mean(others, axis=0).argmax(axis=1) == answers[source].argmax(axis=1)
            assert matrix.score(target, source) == pytest.approx(
                same.mean(), abs=0.03
            )  # half precision may break a tie
    assert 0 < matrix.values.min() < matrix.values.max()


def test_the_target_s_own_source_has_no_voice_in_what_foreign_ones_are_judged_by(make: Make, pico: Pico) -> None:
    before = measure("agreement", make())

    def answer_one_thing(tensors: dict[str, torch.Tensor]) -> None:
        tensors["classifier.out_proj.bias"] += torch.tensor([100.0, 0, 0, 0])

    rewrite(pico.root / "fr-FR", answer_one_thing)
    changed = {name: Checkpoint(pico.root / name, name) for name in SOURCES}
    after = measure("agreement", make(sources=changed))
    assert [after.score("fr-FR", s) for s in ("de-DE", "ja-JP")] == [
        before.score("fr-FR", s) for s in ("de-DE", "ja-JP")
    ]
    assert after.score("fr-FR", "fr-FR") != before.score("fr-FR", "fr-FR")
    assert after.score("sq-AL", "de-DE") != before.score("sq-AL", "de-DE")


def test_transfer_is_accuracy_on_dev_read_by_column(make: Make) -> None:
    correct = {"de-DE": (3, 9), "fr-FR": (5, 10), "ja-JP": (8, 2)}

    def rows(sources: Sequence[str], targets: Sequence[str]) -> Sequence[Transfer]:
        return [
            Transfer(
                source=source,
                digest="x",
                zoo="z",
                split="dev",
                dataset="tiny",
                cells={
                    target: TransferCell(data_digest="d", correct=number, total=10, majority_rate=0.1)
                    for target, number in zip(targets, correct[source], strict=True)
                },
            )
            for source in sources
        ]

    matrix = measure("transfer", make(transfers=rows))
    assert matrix.row("sq-AL") == {"de-DE": 0.3, "fr-FR": 0.5, "ja-JP": 0.8}
    assert matrix.row("fr-FR") == {"de-DE": 0.9, "fr-FR": 1.0, "ja-JP": 0.2}
    assert matrix.uses == {"target-dev"}


# --- what all of them promise ------------------------------------------------------------------------------------------

MEASURED_HERE = sorted(set(MEASURED) - {"transfer"})


@pytest.mark.parametrize("name", MEASURED_HERE)
def test_a_row_does_not_hang_on_which_targets_one_asks_for(name: str, make: Make) -> None:
    both, one = measure(name, make()), measure(name, make(targets=("sq-AL",)))
    np.testing.assert_allclose(both.part(("sq-AL",), SOURCES), one.values, rtol=0, atol=1e-12)
    assert (one.targets, one.locales) == (("sq-AL",), SOURCES)


@pytest.mark.parametrize("name", MEASURED_HERE)
def test_it_says_what_it_is_and_what_it_has_seen(name: str, make: Make, pico: Pico) -> None:
    matrix = measure(name, make())
    assert matrix.name == name
    assert matrix.uses == set(MEASURED[name].uses)
    assert MEASURED[name].description in matrix.provenance
    for need in MEASURED[name].needs:
        said = {"texts": "up to 2000 texts of each locale of tiny", "base": "base", "sources": "sources"}.get(need, "")
        assert said in matrix.provenance


def test_what_the_sources_have_seen_is_seen_by_what_is_measured_on_them(make: Make, pico: Pico) -> None:
    (pico.root / "zoo.json").write_text('{"name": "mine", "uses": ["source-dev"]}')
    assert measure("agreement", make()).uses == {"source-dev", "unlabelled"}


@pytest.mark.parametrize("name", MEASURED_HERE)
def test_what_was_measured_is_kept_and_found(
    name: str, make: Make, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = measure(name, make())
    (kept,) = (own_cache / "similarities").iterdir()
    forbidden = Measure(lambda context: pytest.fail("measured again"), MEASURES[name].hangs_on)
    with monkeypatch.context() as patch:
        patch.setitem(MEASURES._entries, name, forbidden)
        again = measure(name, make())
    assert np.array_equal(first.values, again.values)
    assert (again.provenance, again.uses) == (first.provenance, first.uses)
    kept.write_text("spoiled")
    assert np.array_equal(measure(name, make()).values, first.values)


@pytest.mark.parametrize("name", ["overlap", "embedding", "agreement"])
def test_other_texts_are_measured_anew_and_so_is_another_number_of_them(name: str, make: Make) -> None:
    first = measure(name, make())
    other = measure(name, make(data=tiny_data(source=shouted)))
    fewer = measure(f"{name}:5", make())
    assert not np.array_equal(first.values, other.values)
    assert not np.array_equal(first.values, fewer.values)
    assert "up to 5 texts" in fewer.provenance
    assert fewer.name == f"{name}:5"


def shouted(locale: str) -> Iterator[Row]:
    """Other fillers than with_words_of_its_own leaves."""
    for row in rows_of(locale):
        yield dataclasses.replace(row, utt=f"{row.utt} {markers('ask')[len(locale) % 3]} {locale[0]}{locale}")


@pytest.mark.parametrize("name", ["embedding", "task-vector"])
def test_without_the_base_it_says_how_to_name_it(name: str, make: Make) -> None:
    with pytest.raises(UserError, match=r"name it \(--base FOLDER\)"):
        measure(name, make(base=None))


def test_embedding_needs_two_sources_to_centre_over(make: Make, zoo: Mapping[str, Checkpoint]) -> None:
    with pytest.raises(MixError, match="2 or more"):
        measure("embedding", make(sources={"de-DE": zoo["de-DE"]}))


def test_a_base_that_is_none_is_refused(make: Make, pico: Pico) -> None:
    with pytest.raises(IncompatibleError, match="is not the base of"):
        measure("task-vector", make(base=pico.base("other", hidden=8)))


def test_a_source_that_did_not_move_has_no_task_vector(make: Make, pico: Pico, zoo: Mapping[str, Checkpoint]) -> None:
    still = pico.source("still", change=0)
    with pytest.raises(MixError, match="source still is that of the base"):
        measure("task-vector", make(sources={"de-DE": zoo["de-DE"], "still": still}))


def test_a_poisoned_source_is_named(make: Make, pico: Pico) -> None:
    poison(pico.root / "de-DE", "roberta.embeddings.word_embeddings.weight")
    with pytest.raises(MixError, match=r"word_embeddings.weight of de-DE.*NaN"):
        measure("task-vector", make())
    with pytest.raises(MixError, match=r"source de-DE cannot be measured.*leave it out"):
        measure("agreement", make())
