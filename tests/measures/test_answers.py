"""Answers are asked for once, kept whole or not at all, and known by what was asked of whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from pico import FILLERS, INTENTS, Pico, poison, rewrite

from sprachbund import inference, parallel
from sprachbund.checkpoints import Checkpoint
from sprachbund.errors import CheckpointError
from sprachbund.measures import AnswerStore
from sprachbund.parallel import Report

TEXTS = [f"{first} {second}" for first in FILLERS[:4] for second in FILLERS[4:7]]
OTHERS = TEXTS[::-1]
LARGEST = 65_504
"""Of half precision."""


@pytest.fixture
def store(tmp_path: Path) -> AnswerStore:
    return AnswerStore(tmp_path / "answers")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by a number of texts whenever a model is asked in this process."""
    numbers: list[int] = []
    true = inference.logits

    def counted(model: torch.nn.Module, encoded: inference.Encoded) -> np.ndarray:
        numbers.append(len(encoded))
        return true(model, encoded)

    monkeypatch.setattr(inference, "logits", counted)
    return numbers


def named(sources: list[Checkpoint]) -> dict[str, Checkpoint]:
    return {source.name: source for source in sources}


def logits_of(source: Checkpoint, texts: list[str]) -> np.ndarray:
    model, tokenizer = inference.load_classifier(source.folder), inference.load_tokenizer(source.folder)
    return inference.logits(model, inference.tokenise(tokenizer, texts))


def known(store: AnswerStore, source: Checkpoint, texts: list[str]) -> np.ndarray:
    answers = store.read(source, texts)
    assert answers is not None
    return answers


def only_file(store: AnswerStore) -> Path:
    (path,) = store.root.rglob("*.npy")
    return path


@pytest.mark.usefixtures("forked_workers")
@pytest.mark.parametrize("jobs", [1, 2])
def test_answers_are_the_logits_in_half_precision(
    jobs: int, sources: list[Checkpoint], store: AnswerStore, quiet: Report
) -> None:
    assert store.collect(named(sources), [TEXTS, OTHERS], jobs=jobs, report=quiet) == {}
    for source in sources:
        for texts in (TEXTS, OTHERS):
            answers = known(store, source, texts)
            assert answers.dtype == np.float16
            assert answers.shape == (len(TEXTS), len(INTENTS))
            np.testing.assert_allclose(answers, logits_of(source, texts), rtol=2**-11, atol=1e-5)


@pytest.mark.parametrize(("device", "processes"), [("cpu", 3), ("cuda", 1)])
def test_processes_are_as_many_as_cores_and_one_where_all_would_share_a_gpu(
    device: str,
    processes: int,
    sources: list[Checkpoint],
    store: AnswerStore,
    quiet: Report,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []
    monkeypatch.setattr(inference, "chosen", lambda: torch.device(device))
    monkeypatch.setattr(parallel, "cores", lambda: 3)
    monkeypatch.setattr(parallel, "attempts", lambda work, tasks, jobs: seen.append(jobs) or ())
    store.collect(named(sources), [TEXTS], jobs=0, report=quiet)
    store.collect(named(sources), [TEXTS], jobs=2, report=quiet)
    assert seen == [processes, 2]


def test_what_is_known_is_not_asked_again(
    sources: list[Checkpoint], store: AnswerStore, quiet: Report, asked: list[int]
) -> None:
    store.collect(named(sources[:2]), [TEXTS], jobs=1, report=quiet)
    assert asked == [12, 12]
    store.collect(named(sources[:2]), [TEXTS], jobs=1, report=quiet)
    assert asked == [12, 12]
    store.collect(named(sources), [TEXTS, TEXTS[:5]], jobs=1, report=quiet)
    assert asked == [12, 12, 5, 5, 12, 5], "nobody is asked more than is missing of him"


def test_who_is_asked_is_known_by_content_and_not_by_name(
    sources: list[Checkpoint], store: AnswerStore, quiet: Report
) -> None:
    store.collect({"a name": sources[0]}, [TEXTS], jobs=1, report=quiet)
    assert store.read(Checkpoint(sources[0].folder, "another name"), TEXTS) is not None
    assert store.read(sources[1], TEXTS) is None


@pytest.mark.parametrize("other", [TEXTS[::-1], TEXTS[:-1], [*TEXTS[:-1], "mirë"], ["".join(TEXTS)]])
def test_other_texts_or_another_order_are_another_question(
    other: list[str], sources: list[Checkpoint], store: AnswerStore, quiet: Report
) -> None:
    store.collect(named(sources[:1]), [TEXTS], jobs=1, report=quiet)
    assert store.read(sources[0], other) is None
    assert store.read(sources[0], tuple(TEXTS)) is not None, "in whatever they stand"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes()[:50]),
        lambda path: path.write_bytes(bytes(200)),
        lambda path: np.save(path, np.zeros((len(TEXTS) - 1, len(INTENTS)), np.float16)),
        lambda path: np.save(path, np.float16(1)),
    ],
    ids=["empty", "cut off", "cut off in its header", "zeros", "of fewer texts", "a number"],
)
def test_a_broken_file_is_asked_for_again(
    spoil: Callable[[Path], None], sources: list[Checkpoint], store: AnswerStore, quiet: Report, asked: list[int]
) -> None:
    store.collect(named(sources[:1]), [TEXTS], jobs=1, report=quiet)
    whole = only_file(store).read_bytes()
    spoil(only_file(store))
    assert store.read(sources[0], TEXTS) is None
    assert store.collect(named(sources[:1]), [TEXTS], jobs=1, report=quiet) == {}
    assert only_file(store).read_bytes() == whole
    assert asked == [12, 12]


@pytest.mark.usefixtures("forked_workers")
@pytest.mark.parametrize("jobs", [1, 2])
def test_who_fails_is_named_and_the_others_answer(jobs: int, pico: Pico, store: AnswerStore, quiet: Report) -> None:
    sources = [pico.source(name) for name in ("de-DE", "fr-FR", "ja-JP")]
    poison(sources[1].folder)
    failures = store.collect(named(sources), [TEXTS], jobs=jobs, report=quiet)
    assert set(failures) == {"fr-FR"}
    assert "answers with NaN or infinite numbers" in failures["fr-FR"]
    assert [store.read(source, TEXTS) is None for source in sources] == [False, True, False]


def test_progress_begins_with_what_is_known_and_ends_with_all(pico: Pico, store: AnswerStore, quiet: Report) -> None:
    sources = [pico.source(name) for name in ("de-DE", "fr-FR", "ja-JP")]
    poison(sources[2].folder)
    store.collect(named(sources[:1]), [TEXTS], jobs=1, report=quiet)
    reported: list[tuple[str, int, int]] = []
    store.collect(named(sources), [TEXTS], jobs=1, report=lambda *told: reported.append(told))
    assert reported == [("answers", done, 3) for done in (1, 2, 3)]


def test_no_job_means_all_cores(
    sources: list[Checkpoint], store: AnswerStore, quiet: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sprachbund import parallel

    used: list[int] = []

    def attempts(work: object, tasks: object, jobs: int) -> Iterator[tuple[object, object]]:
        used.append(jobs)
        return iter(())

    monkeypatch.setattr(parallel, "attempts", attempts)
    monkeypatch.setattr(parallel, "cores", lambda: 7)
    store.collect(named(sources), [TEXTS], jobs=0, report=quiet)
    store.collect(named(sources), [TEXTS], jobs=3, report=quiet)
    assert used == [7, 3]


def test_what_a_source_answers_that_changes_meanwhile_is_not_kept(
    pico: Pico, store: AnswerStore, quiet: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = pico.source("m")
    true = inference.logits

    def answer(model: torch.nn.Module, encoded: inference.Encoded) -> np.ndarray:
        rewrite(source.folder, lambda tensors: tensors["classifier.dense.bias"].add_(1))
        return true(model, encoded)

    monkeypatch.setattr(inference, "logits", answer)
    failures = store.collect({"m": source}, [TEXTS], jobs=1, report=quiet)
    assert failures["m"].startswith("m has changed while this run was at work")
    assert not list(store.root.rglob("*.npy"))


def test_half_precision_ends_somewhere(sources: list[Checkpoint], store: AnswerStore) -> None:
    logits = np.array([[LARGEST, 0.5], [-LARGEST, 0.1]], dtype=np.float32)
    store.write(sources[0], ["a", "b"], logits)
    assert known(store, sources[0], ["a", "b"]).tolist() == logits.astype(np.float16).tolist()
    for sign in (1, -1):
        with pytest.raises(CheckpointError, match="de-DE answers with numbers above 65,504"):
            store.write(sources[0], ["c", "d"], sign * (logits + 16))
    assert store.read(sources[0], ["c", "d"]) is None


def test_a_model_that_answers_beyond_it_fails_alone(pico: Pico, store: AnswerStore, quiet: Report) -> None:
    sources = [pico.source(name) for name in ("de-DE", "fr-FR")]

    def inflate(tensors: dict[str, torch.Tensor]) -> None:
        tensors["classifier.out_proj.bias"] += 1e5

    rewrite(sources[0].folder, inflate)
    failures = store.collect(named(sources), [TEXTS], jobs=1, report=quiet)
    assert failures == {"de-DE": "de-DE answers with numbers above 65,504: it cannot be a useful model."}
