"""Adaptation: what comes out of sources and raw text, and that nothing else goes in."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from encoders import permuted
from pico import INTENTS, Pico, TinyData, rows_of, state, tiny_data

from sprachbund import adapt, inference, store
from sprachbund.adapt.auto import _held_out
from sprachbund.adaptation import ADAPTATIONS, Adaptation, CoefficientSettings, DistillationSettings
from sprachbund.checkpoints import Checkpoint, Zoo, open_checkpoint
from sprachbund.cli import run
from sprachbund.config import ExperimentConfig
from sprachbund.data import Row, split
from sprachbund.data.few import draw
from sprachbund.data.unlabelled import shuffled
from sprachbund.errors import DataError, IncompatibleError, MixError, StoreError, UserError
from sprachbund.experiment import Experiment
from sprachbund.inputs import Inputs
from sprachbund.measures import AnswerStore
from sprachbund.preparing import prepare
from sprachbund.store import Record

TARGET = "sq-AL"
SOURCES = ("de-DE", "fr-FR", "ja-JP")
STUDENT = DistillationSettings(epochs=2, learning_rate=0.01)
COEFFICIENTS = CoefficientSettings(steps=5)
Report = Callable[[str, int, int], None]


def quick(name: str) -> Adaptation:
    return ADAPTATIONS[name][0].model_copy(update={"distillation": STUDENT, "coefficients": COEFFICIENTS})


def texts_of(tiny: TinyData, count: int = 72) -> tuple[str, ...]:
    rows = [*tiny.partition(TARGET, "train").texts, *tiny.partition("ro-RO", "train").texts]
    return shuffled(rows[:count])


@pytest.fixture
def material(sources: list[Checkpoint], base: Checkpoint, tiny: TinyData, tmp_path: Path) -> adapt.Material:
    known = {source.name: source for source in sources}
    return adapt.Material(known, texts_of(tiny), AnswerStore(tmp_path / "answers"), base)


def seeing(name: str, material: adapt.Material) -> adapt.Material:
    """What an adaptation may see: a few labels if it says so."""
    few = draw(((text, text, INTENTS[len(text) % 4]) for text in material.texts), quick(name).labels)
    return replace(material, labelled=few) if few else material


def made(name: str, material: adapt.Material, out: Path) -> Any:
    return adapt.adapt(quick(name), TARGET, seeing(name, material), out, mode=name)


def same(one: Path, other: Path) -> bool:
    first, second = state(one), state(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("name", [name for name, (found, _) in ADAPTATIONS.items() if found.kind != "ensemble"])
def test_every_adaptation_makes_a_checkpoint_that_says_how(name: str, material: adapt.Material, tmp_path: Path) -> None:
    details = made(name, material, tmp_path / "out")
    found = open_checkpoint(tmp_path / "out")
    assert found.labels == INTENTS
    assert "unlabelled" in details.uses
    assert sum(source.weight for source in details.sources) == pytest.approx(1)
    assert details.recipe.adaptation == quick(name).model_dump(mode="json")
    assert details.candidate == adapt.candidate(quick(name), seeing(name, material))
    assert ("target-few" in details.uses) == name.startswith("few-")
    assert ADAPTATIONS[name][0].kind in (tmp_path / "out" / "merge_details.txt").read_text(encoding="utf-8")
    if ADAPTATIONS[name][0].kind == "pick":
        (picked,) = details.sources
        assert same(tmp_path / "out", material.sources[picked.locale].folder)


@pytest.mark.parametrize("name", ["auto", "distilled-merge-reliability", "learned-teacher", "merge-reliable"])
def test_the_order_of_the_texts_is_nothing_to_the_bits(name: str, material: adapt.Material, tmp_path: Path) -> None:
    lines = list(material.texts)
    random.Random(5).shuffle(lines)
    made(name, material, tmp_path / "one")
    made(name, replace(material, texts=shuffled(lines)), tmp_path / "two")
    assert same(tmp_path / "one", tmp_path / "two")


def test_other_texts_make_another_model(material: adapt.Material, tmp_path: Path) -> None:
    made("distilled-merge-reliability", material, tmp_path / "one")
    made("distilled-merge-reliability", replace(material, texts=material.texts[1:]), tmp_path / "two")
    assert not same(tmp_path / "one", tmp_path / "two")


def test_the_same_model_is_not_made_again_and_another_is_not_replaced(material: adapt.Material, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = made("merge-reliable", material, out)
    assert made("merge-reliable", material, out) == first
    with pytest.raises(StoreError, match="holds another model"):
        made("merge-overlap", material, out)
    adapt.adapt(quick("merge-overlap"), TARGET, material, out, mode="x", overwrite=True)


@pytest.mark.parametrize("kind", ["merge", "learned", "distilled"])
def test_only_the_most_reliable_sources_take_part(kind: Any, material: adapt.Material, tmp_path: Path) -> None:
    two = Adaptation(kind=kind, num_languages=2, distillation=STUDENT, coefficients=COEFFICIENTS)
    details = adapt.adapt(two, TARGET, material, tmp_path / "out", mode="two")
    scores = adapt.weights_of(Adaptation(kind="merge"), material.evidence(learned=False))
    worst = list(material.sources)[int(scores.argmin())]
    assert {source.locale for source in details.sources} == set(material.sources) - {worst}
    uniform = Adaptation(kind="distilled", num_languages=2, teacher="uniform")
    evidence = material.evidence(learned=False)
    two_of_three = np.sort(adapt.teaching.shares(uniform, adapt.weights_of(uniform, evidence)))
    assert two_of_three == pytest.approx([0, 0.5, 0.5])


def test_auto_gives_its_reasons(material: adapt.Material, tmp_path: Path) -> None:
    details = made("auto", material, tmp_path / "out")
    assert "agreement with the ensemble of all sources on 9 texts" in details.reasons[0]
    assert "The student started as the" in details.reasons[1]
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert details.reasons[0] in card


def test_auto_distils_nothing_from_a_handful_of_texts(material: adapt.Material, tmp_path: Path) -> None:
    details = made("auto", replace(material, texts=material.texts[:10]), tmp_path / "out")
    assert "10 texts are too few" in details.reasons[1]


def test_auto_goes_without_a_student_that_diverged(material: adapt.Material, tmp_path: Path) -> None:
    wild = quick("auto").model_copy(update={"distillation": STUDENT.model_copy(update={"learning_rate": 1e38})})
    details = adapt.adapt(wild, TARGET, material, tmp_path / "out", mode="auto")
    assert not details.reasons[0].startswith("distilled")
    assert "There is no student. The loss of distilling is nan in step" in details.reasons[1]
    assert all(tensor.isfinite().all() for tensor in state(tmp_path / "out").values())
    alone = quick("distilled-merge-reliability").model_copy(update={"distillation": wild.distillation})
    with pytest.raises(
        UserError, match=r"The loss of distilling is nan in step \d+ of \d+: choose a lower learning rate"
    ):
        adapt.adapt(alone, TARGET, material, tmp_path / "alone", mode="distilled")
    assert not (tmp_path / "alone").exists()


def test_texts_that_are_equal_are_held_out_together() -> None:
    """What a student has read must not judge it."""
    texts = [*"abcdefghij", *"jihgfedcba"]
    held = _held_out(texts)
    assert {text for text, out in zip(texts, held, strict=True) if out} == {"a", "i"}
    assert not {text for text, out in zip(texts, held, strict=True) if not out} & {"a", "i"}


def test_a_row_of_the_embedding_belongs_to_those_who_met_its_token(material: adapt.Material, tmp_path: Path) -> None:
    met = np.zeros((3, 300), dtype=np.int64)
    met[0, 10], met[1, 11], met[2, 11] = 5, 2, 6
    for source, counts in zip(material.sources.values(), met, strict=True):
        shutil.copytree(source.folder, tmp_path / source.name)
        np.save(tmp_path / source.name / "token_counts.npy", counts)
    known = {name: open_checkpoint(tmp_path / name) for name in material.sources}
    details = made("merge-vocabulary", replace(material, sources=known), tmp_path / "out")
    weights = np.array([source.weight for source in details.sources])
    name = "roberta.embeddings.word_embeddings.weight"
    rows = np.stack([source.file.read(name).astype(np.float64) for source in known.values()])
    merged = open_checkpoint(tmp_path / "out").file.read(name)
    shares = weights[1:] * [2, 6] / (weights[1:] @ [2, 6])
    assert merged[10] == pytest.approx(rows[0, 10], abs=1e-6)
    assert merged[11] == pytest.approx(shares @ rows[1:, 11], abs=1e-6)
    assert merged[12] == pytest.approx(weights @ rows[:, 12], abs=1e-6)


def test_a_student_of_nothing_but_the_base_needs_it(material: adapt.Material, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs it: name it"):
        made("distilled-base-pick", replace(material, base=None), tmp_path / "out")


def test_another_base_makes_another_model_where_it_matters(
    material: adapt.Material, pico: Pico, tmp_path: Path
) -> None:
    """It starts a student; and it tells which tokens were met, where no counts stand beside a source."""
    other = replace(material, base=pico.base("other", hidden=8))

    def differ(name: str, **changes: Any) -> bool:
        one, two = (adapt.candidate(ADAPTATIONS[name][0], replace(each, **changes)) for each in (material, other))
        return one != two

    assert differ("distilled-base-pick")
    assert differ("merge-overlap")
    assert differ("merge-vocabulary")
    assert not differ("merge-top-3")
    assert not differ("distilled-merge-pick")
    for source in material.sources.values():
        shutil.copytree(source.folder, tmp_path / source.name)
        np.save(tmp_path / source.name / "token_counts.npy", np.ones(300, dtype=np.int64))
    counted = {name: open_checkpoint(tmp_path / source.name) for name, source in material.sources.items()}
    assert not differ("merge-overlap", sources=counted)
    assert differ("distilled-base-pick", sources=counted)


def test_without_a_text_there_is_nothing_to_go_by(material: adapt.Material, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no unlabelled text of sq-AL"):
        made("auto", replace(material, texts=()), tmp_path / "out")


def test_two_sources_are_enough_where_tokens_do_not_count(material: adapt.Material, tmp_path: Path) -> None:
    two = dict(list(material.sources.items())[:2])
    made("auto", replace(material, sources=two, base=None), tmp_path / "out")


@pytest.mark.parametrize("name", [name for name, (found, _) in ADAPTATIONS.items() if found.kind != "ensemble"])
def test_a_source_with_its_tokens_in_another_order_is_the_same_source_or_refused(
    name: str, material: adapt.Material, pico: Pico, tmp_path: Path
) -> None:
    """What goes by numbers of tokens says that it cannot; all else makes a model that answers the same."""
    moved = permuted(pico.source("ja-JP"), "reordered")
    other = replace(material, sources={**material.sources, "ja-JP": moved})
    before = made(name, material, tmp_path / "one")
    found = ADAPTATIONS[name][0]
    if found.kind in ("learned", "few-coefficients") or "overlap" in found.reliability or found.vocabulary:
        with pytest.raises(IncompatibleError, match=r"^de-DE and .*reordered have different vocabularies, and "):
            made(name, other, tmp_path / "other")
        assert not (tmp_path / "other").exists()
        return
    after = made(name, other, tmp_path / "other")
    texts = material.texts[:20]
    one, two = (
        inference.logits(inference.load_classifier(out), inference.tokenise(inference.load_tokenizer(out), texts))
        for out in (tmp_path / "one", tmp_path / "other")
    )
    np.testing.assert_allclose(one, two, atol=1e-3)
    assert [source.weight for source in after.sources] == pytest.approx([source.weight for source in before.sources])
    said = [warning for warning in after.warnings if "aligned by token to that of de-DE" in warning]
    single = found.kind == "pick" or (found.kind == "few-finetuned" and found.start == "pick")
    assert len(said) == (0 if single else 1)


def test_a_source_that_cannot_answer_is_named(material: adapt.Material, pico: Pico, tmp_path: Path) -> None:
    broken = pico.source("broken")
    (broken.folder / "tokenizer.json").unlink()
    with pytest.raises(MixError, match="The source xx cannot be asked"):
        made("auto", replace(material, sources={**material.sources, "xx": broken}), tmp_path / "out")


def test_the_teacher_is_the_ensemble_that_the_settings_say(material: adapt.Material) -> None:
    evidence = material.evidence(learned=False)
    weights = np.array([0.2, 0.5, 0.3])
    plain = Adaptation(kind="distilled", debias=0.0)
    probabilities = evidence.probabilities
    wanted = {
        "reliability": np.einsum("k,knc->nc", weights, probabilities),
        "uniform": probabilities.mean(axis=0),
        "pick": probabilities[1],
    }
    for name, expected in wanted.items():
        found = adapt.teacher(plain.model_copy(update={"teacher": name}), evidence, weights)
        assert found == pytest.approx(expected, abs=1e-6)


# --- leaks: in the experiment, as users run it ----------------------------------------------------------------------------


def unequal(locale: str) -> Iterable[Row]:
    """More train rows than usual, so that enough of them are set aside."""
    rows = list(rows_of(locale))
    yield from rows
    for number in range(400):
        row = rows[number % 40]
        lot = random.Random(f"{locale} more {number}")
        yield replace(row, id=f"more {number}", partition="train", utt=f"{row.utt} {lot.choice('abcdefgh')}{number}")


def garbled(locale: str) -> Iterable[Row]:
    """The same texts in the train split, of the target in another order, with other labels and other ids in each half."""
    rows = list(unequal(locale))
    lot = random.Random(7)
    train = [row for row in rows if row.partition == "train"]
    for half in ([r for r in train if split.is_unlabelled(r.id)], [r for r in train if not split.is_unlabelled(r.id)]):
        ids = [row.id for row in half]
        lot.shuffle(half)
        yield from (replace(row, id=id_, intent=lot.choice(INTENTS)) for row, id_ in zip(half, ids, strict=True))
    for row in rows:
        if row.partition != "train":
            yield replace(row, intent=lot.choice(INTENTS))


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    return Pico(tmp_path_factory.mktemp("adapt")).zoo((TARGET, *SOURCES))


def experiment(
    zoo: Zoo, out: Path, monkeypatch: pytest.MonkeyPatch, rows: Callable[[str], Iterable[Row]], **settings: Any
) -> Experiment:
    monkeypatch.setattr(split, "load_data", lambda argument: tiny_data(source=rows))
    data = split.load("tiny")
    config = ExperimentConfig(
        **{"output_dir": out, "locales": (TARGET,), "sources": SOURCES, "variants": ("auto",), "jobs": 1, **settings}
    )
    return prepare(config, Inputs(zoo=zoo, data=data, base=None))


def test_labels_ids_and_order_of_the_target_reach_no_model(
    zoo: Zoo, quiet: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = ("auto", "merge-reliable", "learned-infomax", "zero-shot-agreement")
    for name, rows in (("true", unequal), ("garbled", garbled)):
        outcome = experiment(zoo, tmp_path / name, monkeypatch, rows, variants=wanted).run(quiet)
        assert not outcome.failures
    for variant in wanted:
        folders = [tmp_path / name / "merged_models" / f"{variant}_merge_{TARGET}" for name in ("true", "garbled")]
        assert same(*folders), variant


def test_labels_of_other_targets_reach_no_model(
    zoo: Zoo, quiet: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def others_garbled(locale: str) -> Iterable[Row]:
        return unequal(locale) if locale == TARGET else garbled(locale)

    for name, rows in (("true", unequal), ("garbled", others_garbled)):
        both = ("de-DE", TARGET)
        assert not experiment(zoo, tmp_path / name, monkeypatch, rows, locales=both).run(quiet).failures
    folders = [tmp_path / name / "merged_models" / f"auto_merge_{TARGET}" for name in ("true", "garbled")]
    assert same(*folders)


def test_ensembles_and_adaptations_are_recorded_and_not_done_again(
    zoo: Zoo, quiet: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = ("baseline", "ensemble-debiased", "ensemble-majority", "auto", "pick-overlap")
    first = experiment(zoo, tmp_path, monkeypatch, unequal, variants=wanted, keep_models="none").run(quiet)
    assert not first.failures
    assert {variant for _, variant in first.records} == set(wanted)
    together = first.records[TARGET, "ensemble-debiased"]
    assert together.evaluation_info.uses == ("unlabelled",)
    assert together.model_info.model == "ensemble-debiased of 3 sources"
    assert together.model_info.parameters == 3 * first.records[TARGET, "auto"].model_info.parameters
    assert_probabilities_are_shares_of_votes(zoo, first.records[TARGET, "ensemble-majority"], tmp_path)
    again = experiment(zoo, tmp_path, monkeypatch, unequal, variants=wanted, keep_models="none").run(quiet)
    assert again.reused == len(wanted)
    assert again.records == first.records


def assert_probabilities_are_shares_of_votes(zoo: Zoo, record: Record, run: Path) -> None:
    """Nobody's vote is the probability 0, not a small one."""
    rows = store.read_predictions(run / "results" / f"ensemble-majority_{TARGET}")
    texts = {row.id: row.utt for row in unequal(TARGET)}
    votes = [
        logits_of(zoo.checkpoint(source).folder, [texts[row.id] for row in rows]).argmax(axis=1) for source in SOURCES
    ]
    shares = [sum(INTENTS[vote[place]] == row.gold for vote in votes) / len(SOURCES) for place, row in enumerate(rows)]
    assert [row.gold_probability for row in rows] == pytest.approx(shares, rel=1e-5)
    assert 0 in shares
    nll = -np.mean(np.log(np.maximum(shares, 2.0**-52)))
    assert record.performance.nll == pytest.approx(nll, rel=1e-5)


def logits_of(folder: Path, texts: list[str]) -> np.ndarray:
    return inference.logits(inference.load_classifier(folder), inference.encode(folder, texts))


def test_the_target_s_own_source_is_never_asked_or_used(
    zoo: Zoo, quiet: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = experiment(zoo, tmp_path, monkeypatch, unequal, sources=(*SOURCES, TARGET))
    assert set(prepared.materials[TARGET].sources) == set(SOURCES)
    record = prepared.run(quiet).records[TARGET, "auto"]
    assert TARGET not in {source.locale for source in record.model_info.sources}


def test_a_merge_of_the_target_s_own_source_is_no_source_for_it(
    zoo: Zoo, sources: list[Checkpoint], quiet: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the command: whatever it stands there for."""
    plain = experiment(zoo, tmp_path, monkeypatch, unequal, variants=("average",), num_languages=3)
    plain.run(quiet)
    merge = tmp_path / "merged_models" / "average_merge_sq-AL"
    folder = zoo.checkpoint("fr-FR").folder  # now an average for Albanian, which German's own source is part of
    shutil.rmtree(folder)
    shutil.copytree(merge, folder)
    with pytest.raises(UserError, match="The source fr-FR is made of the source of de-DE among others"):
        experiment(zoo, tmp_path / "again", monkeypatch, unequal, locales=("de-DE",))


def test_what_a_source_has_met_is_known_however_often_it_was_merged(
    sources: list[Checkpoint], base: Checkpoint, material: adapt.Material, tmp_path: Path
) -> None:
    """A merge of a merge, and a blend of that; the target is in none of their names, nor are joint models' locales."""
    german = sources[0].folder
    (german / "training.json").write_text('{"locale": "de-DE+sq-AL", "data": "mine"}', encoding="utf-8")
    first = adapt.adapt(quick("merge-reliable"), "it-IT", material, tmp_path / "merge", mode="merge")
    assert {"de-DE": ("de-DE", TARGET)}.items() <= {source.locale: source.met for source in first.sources}.items()
    (german / "training.json").unlink()
    merge = open_checkpoint(tmp_path / "merge")
    again = replace(material, sources={"it-IT": merge, "fr-FR": sources[1]})
    adapt.adapt(quick("merge-reliable"), "ro-RO", again, tmp_path / "again", mode="merge")
    blend = ("merge", "--source", str(tmp_path / "again"), str(sources[1].folder), "--out", str(tmp_path / "blend"))
    assert run(blend) == 0
    for folder in ("merge", "again", "blend"):
        found = open_checkpoint(tmp_path / folder)
        with pytest.raises(UserError, match=f"The source x is made of what has met labels of {TARGET}"):
            adapt.check_unseen({"x": found}, [TARGET])
        adapt.check_unseen({"x": found}, ["pt-PT"])


def test_what_cannot_be_adapted_is_refused_before_work(
    zoo: Zoo, tiny: TinyData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="leave out --include-target"):
        experiment(zoo, tmp_path, monkeypatch, unequal, include_target=True)
    with pytest.raises(MixError, match="No source is left for de-DE"):
        experiment(zoo, tmp_path, monkeypatch, unequal, locales=("de-DE",), sources=("de-DE",))
    config = ExperimentConfig(output_dir=tmp_path, locales=(TARGET,), sources=SOURCES, variants=("auto",))
    with pytest.raises(DataError, match="sets no unlabelled text"):
        prepare(config, Inputs(zoo=zoo, data=tiny, base=None))
