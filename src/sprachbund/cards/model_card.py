"""The model card: front matter for the hub, then what the model is, how good, what for, and how to make it again.

Its figures come from records of this very model, told by the digest of its content; where there is none, it says so. Names that
others chose (of models, labels, data) are shown as code, and no path of this machine is in it.

The front matter is YAML as ``huggingface_hub`` writes it, whose ``ModelCardData`` reads it back word for word; written here, as
its client is heavy and a merge needs no hub.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from sprachbund import digests
from sprachbund.cards.details import BLEND, CARD, DETAILS, BlendDetails, Details, MergeDetails, model_digest
from sprachbund.cards.marking import write_marked
from sprachbund.cards.origins import MASSIVE, ON_HUB, dataset_id, licence_of_all
from sprachbund.cards.reproducing import LABELS, RECIPE, TEXTS, command_of
from sprachbund.cards.text import language_of, or_dash, score_of, title_of
from sprachbund.cards.why import adapted_to, why_so
from sprachbund.checkpoints import CONFIG, EMBEDDED_ZOO, WIDE_HEAD, open_checkpoint
from sprachbund.public import code, is_published, one_line, plain, public_name, public_text, row
from sprachbund.recipe import single
from sprachbund.store import Record, RunStore
from sprachbund.uses import TARGET_FEW, TARGET_TRAIN, UNLABELLED

__all__ = ["lacks_results", "model_card", "records_of", "write_card"]

_INDEX = "model-index"
_NO_SCORE = "This card reports no score"
_TASK = {"type": "text-classification", "name": "Intent classification"}
_SEEN = {
    UNLABELLED: "text of it, without labels",
    "source-dev": "labelled dev data of other languages, which has chosen something",
    "source-labels": "labels of other languages, which have chosen something",
    TARGET_FEW: "a few of its labels",
    TARGET_TRAIN: "its labelled train data",
    "target-dev": "its labelled dev data",
    "target-test": "its labelled test data, so that figures on that are no test",
}


def write_card(folder: Path, details: Details, records: Sequence[Record] = ()) -> str:
    """Write the card of the model in a folder, with what was measured of it, over whatever card is there; return the card."""
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    intents = list((config.get("id2label") or {}).values())
    return write_marked(folder, model_card(details, intents, records, custom=WIDE_HEAD in config))


def records_of(folder: Path, details: Details, results: RunStore) -> list[Record]:
    """Return the records of a model in a results folder: those whose model has its content, whatever it was called.

    A blend is evaluated as the checkpoint that it is.
    """
    known = {model_digest(details)}
    if isinstance(details, BlendDetails):
        known.add(digests.of_value(single(open_checkpoint(folder).digest)))
    found = [record for record in results.records() if record.model_info.digest in known]
    return sorted(found, key=lambda record: (record.evaluation_info.locale, record.evaluation_info.split))


def lacks_results(folder: Path) -> bool:
    """Return whether the model in a folder has a card of ours that tells of no result; a cheap question."""
    card = folder / CARD
    return card.is_file() and _NO_SCORE in card.read_text(encoding="utf-8", errors="replace")


def model_card(
    details: Details, intents: Sequence[str], records: Sequence[Record] = (), *, custom: bool = False
) -> str:
    """Return the card; ``custom`` says that transformers needs the code beside the model to load it."""
    data = sorted({dataset_id(name) for source in details.sources for name in source.datasets})
    measured_on = sorted({dataset_id(record.dataset_info.name) for record in records})
    sections = [
        _opening(details, intents),
        _made_of(details),
        _evaluation(records),
        _limits(details, intents, [*data, *measured_on], records),
        _use(custom=custom),
        _again(details, records),
        "## Licence\n\n" + plain(licence_of_all(_licences(details)).sentence),
    ]
    front = yaml.dump(_front(details, records), sort_keys=False, allow_unicode=True).strip()
    return f"---\n{front}\n---\n\n" + "\n\n".join(sections) + "\n"


# --- for programs ------------------------------------------------------------------------------------------------------


def _front(details: Details, records: Sequence[Record]) -> dict[str, Any]:
    repositories = (source.model.partition("@")[0] for source in details.sources if is_published(source.model))
    published = list(dict.fromkeys(repositories))  # two sources may lie in one
    relation = _relation(details)
    datasets = {*(name for source in details.sources for name in source.datasets)}
    datasets |= {dataset_id(record.dataset_info.name) for record in records}
    known = {
        "base_model": published or None,
        "datasets": sorted(name for name in datasets if ON_HUB.fullmatch(name)) or None,
        "language": _languages(details, records) or None,
        "library_name": "transformers",
        **licence_of_all(_licences(details)).front,
        "pipeline_tag": "text-classification",
        "tags": [*(["merge"] if relation == "merge" else []), "sprachbund"],
        # The hub draws its family trees by this; its words are adapter, finetune, merge and quantized.
        "base_model_relation": relation if published else None,
        _INDEX: [{"name": _name(details), "results": [_measured(record) for record in records]}] if records else None,
    }
    return {key: value for key, value in known.items() if value is not None}


def _relation(details: Details) -> str | None:
    """Return what the model is to its sources, in the hub's words; None for what is one of them, unchanged."""
    if isinstance(details, MergeDetails) and details.is_trained:
        return "finetune"
    return "merge" if len(details.sources) > 1 else None


def _languages(details: Details, records: Sequence[Record]) -> list[str]:
    """Return the codes of all languages that the model has to do with, where they have one: ISO 639-1, else 639-3."""
    named = [record.evaluation_info.locale for record in records]
    named += [name for source in details.sources for name in source.met]
    if isinstance(details, MergeDetails):
        named += [details.recipe.target, *(source.locale for source in details.sources)]
    return sorted({found for name in named if re.fullmatch("[a-z]{2,3}", found := name.split("-")[0])})


def _name(details: Details) -> str:
    if isinstance(details, BlendDetails):
        return f"{details.method} of {len(details.sources)}"
    return f"{details.mode}_merge_{details.recipe.target}"


def _measured(record: Record) -> dict[str, Any]:
    found, data = record.performance, record.dataset_info
    return {
        "task": dict(_TASK),
        "dataset": {
            "name": one_line(data.name),
            "type": one_line(dataset_id(data.name)),
            "config": one_line(record.evaluation_info.locale),
            "split": record.evaluation_info.split,
            "revision": one_line(data.revision),
        },
        "metrics": [
            {"type": "accuracy", "value": round(found.accuracy, 6), "name": "Accuracy"},
            {"type": "f1", "value": round(found.macro_f1, 6), "name": "Macro-F1", "args": {"average": "macro"}},
        ],
    }


def _licences(details: Details) -> list[tuple[str, str | None]]:
    """Return who has which: the sources, and a base that has a part in the model."""
    models = [*details.sources, *([details.base] if details.base else [])]
    return [(public_name(model.model), model.licence) for model in models]


# --- for people --------------------------------------------------------------------------------------------------------


def _opening(details: Details, intents: Sequence[str]) -> str:
    count = f"{len(details.sources)} fine-tuned checkpoint{'s' if len(details.sources) > 1 else ''}"
    made = f"made of {count} by sprachbund {plain(details.version)}"
    if isinstance(details, BlendDetails):
        return f"# Merged model\n\nA classifier of {len(intents)} intents, {made}: method {code(details.method)}."
    recipe = details.recipe
    what = "" if recipe.adaptation is None else f" Adapted to {adapted_to(recipe)} of the target: {code(details.mode)}."
    seen = "; ".join(_SEEN[use] for use in details.uses if use in _SEEN)
    return "\n\n".join(
        [
            f"# {title_of(recipe)} for {plain(language_of(recipe.target))}",
            f"A classifier of {len(intents)} intents, {made}: method {code(recipe.method)}.{what}",
            f"Of the target it has seen: {', '.join(details.uses)}." + (f" That is: {seen}." if seen else ""),
        ]
    )


def _made_of(details: Details) -> str:
    known = [details.zoo] if isinstance(details, MergeDetails) else []
    models = [*details.sources, *([details.base] if details.base else [])]
    known += [model.model for model in models]
    said = [f"> **Warning.** {plain(public_text(warning, known))}" for warning in details.warnings]
    licence = licence_of_all(_licences(details))
    said += [f"> **Warning.** {plain(licence.sentence)}"] if licence.conflict else []
    table = _blended(details) if isinstance(details, BlendDetails) else _merged(details)
    why = [] if isinstance(details, BlendDetails) else why_so(details, known)
    base = [f"The base is {code(public_name(details.base.model))}."] if details.base else []
    return "\n\n".join(["## What was merged, and why", *why, table, *base, *said])


def _blended(details: BlendDetails) -> str:
    options = ", ".join(f"{name} {value}" for name, value in details.options.items())
    rows = [
        row("differs by layer" if source.weight is None else f"{source.weight:.4f}", code(public_name(source.model)))
        for source in details.sources
    ]
    settings = f"Settings of the method: {code(options)}.\n\n" if options else ""
    return settings + "\n".join([row("weight", "model"), "|--:|---|", *rows])


def _merged(details: MergeDetails) -> str:
    title = score_of(details.recipe)
    rows = [
        row(plain(s.locale), f"{s.weight:.4f}", or_dash(s.score), code(public_name(s.model))) for s in details.sources
    ]
    table = "\n".join([row("source", "weight", title, "model"), "|---|--:|--:|---|", *rows])
    return f"{table}\n\nThe weights amount to {details.effective_sources:.2f} equally weighted sources."


def _evaluation(records: Sequence[Record]) -> str:
    if not records:
        return (
            f"## Evaluation\n\n{_NO_SCORE}: evaluate the model on your own data before you rely on it "
            f"({code('sprachbund evaluate')})."
        )
    title = row("data", "locale", "split", "accuracy (95 %)", "right", "macro-F1", "most frequent intent")
    lines = [title, "|---|---|---|--:|--:|--:|--:|", *map(_result, records)]
    notices = dict.fromkeys(plain(public_text(record.dataset_info.notice)) for record in records)
    return "\n\n".join(
        [
            "## Evaluation",
            "\n".join(lines),
            "The interval is Wilson's, of the share of right answers; it knows nothing of other trainings. Macro-F1 is the "
            "mean over the intents that occur in the split; the last column is what always the same answer reaches.",
            *notices,
        ]
    )


def _result(record: Record) -> str:
    from scipy.stats import binomtest  # heavy, and only needed where something was measured

    found, data = record.performance, record.dataset_info
    low, high = binomtest(found.correct, found.total).proportion_ci(method="wilson")
    return row(
        f"{code(data.name)} {plain(data.revision)}",
        plain(record.evaluation_info.locale),
        record.evaluation_info.split,
        f"{found.accuracy:.3f} ({low:.3f} … {high:.3f})",
        f"{found.correct} of {found.total}",
        f"{found.macro_f1:.3f} over {found.macro_f1_intents} intents",
        f"{found.majority_rate:.3f}",
    )


def _limits(details: Details, intents: Sequence[str], data: Sequence[str], records: Sequence[Record]) -> str:
    lines = [
        f"It knows {len(intents)} intents and answers with one of them whatever it is asked: there is no “none of these”.",
        _texts_like(data),
    ]
    if isinstance(details, MergeDetails):
        measured = {record.evaluation_info.locale for record in records}
        other = measured - {details.recipe.target}
        lines.append(
            f"It was made for {plain(language_of(details.recipe.target))}"
            + (
                "; other languages were measured as the table says."
                if other
                else ". For other languages nothing is known."
            )
        )
    else:
        lines.append("It was merged for no language in particular: measure it on yours.")
    sure = [f"{r.performance.mean_confidence:.2f} where {r.performance.accuracy:.2f} are right" for r in records[:1]]
    lines.append(
        "Its confidences were not calibrated" + (f" (on average {sure[0]}, in the first row)." if sure else ".")
    )
    if _is_demonstration(details, data, records):
        lines.append(
            "**It is a demonstration**: made of tiny models and embedded phrases to show that the program works, and of no use."
        )
    lines.append("Do not let it decide about people: it was made to guess what a short text asks for.")
    return "## What it is not good for\n\n" + "\n".join(f"- {line}" for line in lines)


def _texts_like(data: Sequence[str]) -> str:
    if MASSIVE in data:
        return (
            "Its sources learned from short commands to a voice assistant, as in MASSIVE: longer, written or spoken texts of "
            "another kind are strange to it."
        )
    if data:
        return (
            f"It knows texts like those of {', '.join(map(code, dict.fromkeys(data)))}: other kinds are strange to it."
        )
    return "Texts of another kind than its sources were trained on are strange to it."


def _is_demonstration(details: Details, data: Sequence[str], records: Sequence[Record]) -> bool:
    embedded = isinstance(details, MergeDetails) and details.zoo.startswith(EMBEDDED_ZOO)
    return (
        embedded
        or "cldr" in {name.partition(":")[0] for name in data}
        or any(record.dataset_info.demonstration for record in records)
    )


def _use(*, custom: bool) -> str:
    trust = ", trust_remote_code=True" if custom else ""
    said = (
        "\n\nThe model has a wide head, which transformers loads by the file `modeling_wide.py` beside it: read that, then "
        "trust it."
        if custom
        else ""
    )
    return (
        "## Use\n\n```python\nfrom transformers import pipeline\n\n"
        f'classify = pipeline("text-classification", "path/to/this/model"{trust})\n'
        'classify("…")\n```\n\n'
        f"Or {code('sprachbund predict --model path/to/this/model --file texts.txt')}.{said}"
    )


def _again(details: Details, records: Sequence[Record]) -> str:
    names = [record.dataset_info.name for record in records]
    command = command_of(details, names[0] if names else None)
    longest = max(map(len, re.findall("`+", command)), default=0)
    fence = "`" * max(3, longest + 1)
    said = [f"## How to make it again\n\n{fence}bash\n{command}\n{fence}"]
    if "path/to/" in command:
        said.append(f"{code('path/to/')} stands for where you have the models.")
    if f" {TEXTS}" in command:
        digest = str(details.candidate.get("texts", ""))[:12]
        said.append(
            f"{code(TEXTS)} are the texts that it was adapted to, one a line (their digest in `merge_details.json` begins "
            f"{code(digest)}); for those that a data set sets aside, write {code('--data split:…')} instead."
        )
    if f" {LABELS}" in command:
        said.append(f"{code(LABELS)} are the labelled ones, one a line as intent, tab, text.")
    if f" {RECIPE} " in command:
        said.append(f"{code(RECIPE)} is what {code('sprachbund export --mergekit')} makes of the model's folder.")
    held = BLEND if isinstance(details, BlendDetails) else DETAILS
    said.append(f"{code(held)} holds all settings, and the digests of all sources.")
    return "\n\n".join(said)
