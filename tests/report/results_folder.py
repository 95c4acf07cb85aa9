"""A results folder with made-up numbers, written through the store like a real one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sprachbund import store
from sprachbund.report import Analysis, Results, Summary, analysis_of, load, summarise

ZOO = "embedded-xlmr 1a2b3c"
USES = {"baseline": ("target-train",)}
INTENTS = ("alarm", "music", "news", "play", "weather")
DEFAULT_SOURCES = {"nl-NL": 0.5, "de-DE": 0.3, "sv-SE": 0.2}


@dataclass
class ResultsFolder:
    """Writes records, failures and transfers with as little as a test has to say."""

    root: Path
    demonstration: bool = True

    def record(
        self,
        variant: str,
        locale: str,
        correct: int,
        *,
        total: int = 100,
        data: str = "cldr",
        revision: str = "CLDR 47, seed 0",
        zoo: str = ZOO,
        split: str = "test",
        rows: str = "",
        sources: Mapping[str, float] | None = None,
        source_digest: str = "e" * 64,
        licences: Mapping[str, str] | None = None,
        scores: Mapping[str, float] | None = None,
        recipe: Mapping[str, Any] | None = None,
        head_agreement: float | None = None,
        uses: tuple[str, ...] | None = None,
        folder: str | None = None,
        adaptation: str | None = None,
        nll: float | None = None,
        ece: float | None = None,
        threads: int | None = 1,
        predictions: Sequence[store.Prediction] = (store.Prediction(id="1", gold="a", predicted="b", confidence=0.25),),
    ) -> store.Record:
        """Write one record; ``rows`` stands for the content of the data, and nobody checks figures against predictions."""
        if sources is None:
            sources = {locale: 1.0} if variant == "baseline" else DEFAULT_SOURCES
        record = store.Record(
            identity=f"{variant}-{locale}-{data}-{zoo}-{folder}",
            evaluation_info=store.EvaluationInfo(
                variant=variant,
                locale=locale,
                split=split,
                uses=uses or USES.get(variant, ("nothing",)),
                timestamp="2026-11-23T20:00:00+00:00",
                seconds=1.5,
                precision="fp32",
                threads=threads,
                versions={"sprachbund": "0.1.0", "torch": "2.13.0"},
            ),
            model_info=store.ModelInfo(
                model=f"merged_models/{variant}_merge_{locale}",
                zoo=zoo,
                digest="d" * 64,
                sources=tuple(
                    store.SourceInfo(
                        locale=name,
                        weight=weight,
                        digest=source_digest,
                        score=(scores or {}).get(name),
                        licence=(licences or {}).get(name),
                    )
                    for name, weight in sources.items()
                ),
                recipe={"adaptation": {"kind": adaptation}} if adaptation else recipe and dict(recipe),
                effective_sources=1 / sum(weight**2 for weight in sources.values()),
                head_agreement=head_agreement,
                architecture="XLMRobertaForSequenceClassification",
                parameters=1000,
            ),
            dataset_info=store.DatasetInfo(
                name=data,
                revision=revision,
                digest=rows or data_digest(locale),
                licence="Unicode-3.0",
                notice="Names of Unicode CLDR through Babel.",
                demonstration=self.demonstration,
                examples=total,
                intents=20,
            ),
            performance=store.Performance(
                accuracy=correct / total,
                correct=correct,
                total=total,
                macro_f1=correct / total / 2,
                macro_f1_intents=20,
                mean_confidence=0.5,
                majority_rate=0.08,
                nll=nll,
                ece=ece,
            ),
            examples=(),
        )
        path = self.root / folder if folder else store.RunStore(self.root).folder(variant, locale)
        return store.write_record(path, record, predictions)

    def answers(
        self, variant: str, locale: str, ids: Sequence[str], right: Sequence[bool], **asked: Any
    ) -> store.Record:
        """Write a record that answers those ids, rightly or not; what is right is the same for an id everywhere."""
        gold = [INTENTS[int(id_) % len(INTENTS)] for id_ in ids]
        wrong = [INTENTS[(int(id_) + 1) % len(INTENTS)] for id_ in ids]
        rows = [
            store.Prediction(id=id_, gold=intent, predicted=intent if hit else other, confidence=0.5)
            for id_, intent, other, hit in zip(ids, gold, wrong, right, strict=True)
        ]
        return self.record(variant, locale, sum(right), total=len(ids), predictions=rows, **asked)

    def failure(self, variant: str, locale: str, reason: str, *, zoo: str = ZOO) -> store.Failure:
        """Write one failure."""
        folder = store.RunStore(self.root).folder(variant, locale)
        failure = store.failure_of(
            ValueError(reason),
            variant=variant,
            locale=locale,
            dataset="cldr",
            split="test",
            zoo=zoo,
            identity="",
        )
        return store.write_failure(folder, failure)

    def transfer(
        self,
        source: str,
        correct: Mapping[str, int],
        *,
        data: str = "cldr",
        zoo: str = ZOO,
        split: str = "test",
        rows: Mapping[str, str] | None = None,
        answers: Mapping[str, store.Columns] | None = None,
    ) -> None:
        """Write what a source reaches, out of 100, in each locale, and what it answers, which nobody counts."""
        digests = {target: columns.digest() for target, columns in (answers or {}).items()}
        cells = {
            target: store.TransferCell(
                data_digest=(rows or {}).get(target) or data_digest(target),
                correct=number,
                total=100,
                majority_rate=0.08,
                predictions_digest=digests.get(target, ""),
            )
            for target, number in correct.items()
        }
        row = store.Transfer(source=source, digest="f" * 64, zoo=zoo, split=split, dataset=data, cells=cells)
        store.RunStore(self.root).write_transfer(row, answers)

    def load(self, **filters: str) -> Results:
        """Read it back."""
        return load(self.root, **filters)

    def analysis(self, **asked: int) -> Analysis:
        """Read it back with its predictions, and test what it says."""
        return analysis_of(self.root, self.load(), **{"macro_f1_resamples": 50, **asked})

    def summary(self) -> Summary:
        """Read it back and summarise it."""
        return summarise(self.load())


def data_digest(locale: str) -> str:
    """Return the digest that all made-up data of a locale has unless a test says otherwise."""
    return f"rows-of-{locale}"
