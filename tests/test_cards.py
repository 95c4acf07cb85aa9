"""What stands beside a merged model, for people and for the hub."""

from __future__ import annotations

import json
import math
import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from pico import FILLERS, Pico, TinyData, state
from safetensors import safe_open
from transformers import AutoModelForSequenceClassification, pipeline

from sprachbund import cells
from sprachbund.adapt import check_unseen
from sprachbund.adaptation import ADAPTATIONS
from sprachbund.blends import Blend, Ingredients
from sprachbund.blends import make as make_blend
from sprachbund.candidates import merge_candidate
from sprachbund.cards import (
    MergeDetails,
    is_changed,
    labels_met,
    lacks_results,
    model_digest,
    origin_of,
    read_blend,
    read_details,
    records_of,
    why,
    write_card,
    write_details,
)
from sprachbund.cards.model_card import model_card
from sprachbund.cards.origins import Origin, licence_of_all
from sprachbund.checkpoints import open_checkpoint
from sprachbund.choosing import choose
from sprachbund.cli import run
from sprachbund.config import ChoiceConfig
from sprachbund.errors import UserError
from sprachbund.measures import RELIABILITIES
from sprachbund.public import code, plain, public_text, public_zoo, row
from sprachbund.recipe import VARIANTS, Recipe, adapted
from sprachbund.similarity import load
from sprachbund.store import Record, RunStore

SOURCES = ["ro-RO", "el-GR"]
COMMIT = "0a" * 20


def say(folder: Path, front: str) -> None:
    (folder / "README.md").write_text(f"---\n{front}\n---\n# A source\n", encoding="utf-8")


@pytest.fixture
def details(pico: Pico, tmp_path: Path) -> MergeDetails:
    choice = choose(VARIANTS["similarity"], "sq-AL", ChoiceConfig(num_languages=2), load("uriel:syntax_knn"))
    return merge_candidate(choice, pico.zoo(SOURCES), "similarity", tmp_path / "out")


@pytest.fixture
def record(details: MergeDetails, tiny: TinyData, tmp_path: Path) -> Record:
    """Of the model, on the test split of its target."""
    subject = cells.describe(open_checkpoint(tmp_path / "out"), "sq-AL")
    folder = tmp_path / "results/similarity_sq-AL"
    return cells.evaluate(subject, tiny, "test", "similarity", folder, precision="fp32", started=0.0)


def front_of(card: str) -> dict[str, Any]:
    """The front matter, which the hub's own reader must give back word for word."""
    read = ModelCard(card)
    assert read.data.to_yaml() == card.split("---\n")[1].strip()
    return dict(yaml.safe_load(card.split("---\n")[1]))


def published(details: MergeDetails) -> MergeDetails:
    """The same merge of sources on the hub."""
    names = [f"haryoaw/xlm-roberta-base_massive_k_{source.locale}@{COMMIT}:epoch-9" for source in details.sources]
    sources = [source.model_copy(update={"model": name}) for source, name in zip(details.sources, names, strict=True)]
    return details.model_copy(update={"sources": tuple(sources)})


# --- details -----------------------------------------------------------------------------------------------------------


def test_a_model_that_nobody_merged_has_no_details(pico: Pico) -> None:
    assert read_details(pico.source("single").folder) is None


def test_the_text_names_every_source_with_weight_and_similarity(details: MergeDetails, tmp_path: Path) -> None:
    text = (tmp_path / "out/merge_details.txt").read_text(encoding="utf-8")
    assert text.startswith("Merged model for Albanian (sq-AL)\n")
    assert "has seen           nothing (of the target)" in text
    assert "weighting          similarity (sharpness 20)" in text
    for source in details.sources:
        assert f"{source.locale}   {source.weight:>9.4f}{source.score:>12.4f}" in text
    assert "nan" not in text


def test_the_file_of_the_tensors_names_their_recipe(details: MergeDetails, tmp_path: Path) -> None:
    with safe_open(tmp_path / "out/model.safetensors", "np") as file:
        assert file.metadata() == {"format": "pt", "sprachbund_candidate": model_digest(details)}
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    assert model.state_dict()["classifier.dense.weight"].equal(state(tmp_path / "out")["classifier.dense.weight"])


# --- front matter ------------------------------------------------------------------------------------------------------


def test_the_front_matter_of_a_merge_of_local_models_links_none(details: MergeDetails, tmp_path: Path) -> None:
    matter = front_of((tmp_path / "out/README.md").read_text(encoding="utf-8"))
    assert matter == {
        "language": ["el", "ro", "sq"],
        "library_name": "transformers",
        "pipeline_tag": "text-classification",
        "tags": ["merge", "sprachbund"],
    }


def test_sources_from_the_hub_are_linked(details: MergeDetails) -> None:
    card = model_card(published(details), ["ask"])
    matter = front_of(card)
    assert matter["base_model"] == [f"haryoaw/xlm-roberta-base_massive_k_{source.locale}" for source in details.sources]
    assert matter["base_model_relation"] == "merge"
    assert all(
        f"`{source.model}`" in card for source in published(details).sources
    )  # a name that stands for this commit


def test_what_was_trained_since_is_no_merge_to_the_hub(details: MergeDetails) -> None:
    matter = front_of(model_card(published(details).model_copy(update={"trained": True}), ["ask"]))
    assert (matter["base_model_relation"], matter["tags"]) == ("finetune", ["sprachbund"])
    alone = published(details).model_copy(update={"sources": published(details).sources[:1]})
    matter = front_of(model_card(alone, ["ask"]))  # one source as it is, for which the hub has no word
    assert "base_model_relation" not in matter
    assert matter["tags"] == ["sprachbund"]


def test_what_was_measured_stands_in_the_index(details: MergeDetails, record: Record) -> None:
    found = record.performance
    matter = front_of(model_card(details, ["ask"], [record]))
    assert matter["model-index"] == [
        {
            "name": "similarity_merge_sq-AL",
            "results": [
                {
                    "task": {"type": "text-classification", "name": "Intent classification"},
                    "dataset": {
                        "name": "tiny",
                        "type": "tiny",
                        "config": "sq-AL",
                        "split": "test",
                        "revision": "1",
                    },
                    "metrics": [
                        {"type": "accuracy", "value": round(found.accuracy, 6), "name": "Accuracy"},
                        {
                            "type": "f1",
                            "value": round(found.macro_f1, 6),
                            "name": "Macro-F1",
                            "args": {"average": "macro"},
                        },
                    ],
                }
            ],
        }
    ]


# --- licences and data -------------------------------------------------------------------------------------------------


def test_a_card_of_a_source_says_licence_and_data(pico: Pico) -> None:
    source = pico.source("de-DE")
    assert origin_of(source) == Origin(None, ())
    say(source.folder, "license: MIT\ndatasets:\n- AmazonScience/massive\n- no name")
    assert origin_of(source) == Origin("mit", ("AmazonScience/massive",))
    say(source.folder, "license: other\nlicense_name: house rules\ndatasets: one/set")
    (source.folder / "training.json").write_text('{"data": "split:massive"}')
    assert origin_of(source) == Origin("other: house rules", ("one/set", "AmazonScience/massive"))


@pytest.mark.parametrize(
    "text", ["no front matter", "---\n[\n---\n", "---\n- a list\n---\n", "---\nlicense: [mit]\n---\n", ""]
)
def test_a_card_that_says_nothing_of_its_licence_is_no_error(pico: Pico, text: str) -> None:
    source = pico.source("de-DE")
    (source.folder / "README.md").write_text(text)
    (source.folder / "training.json").write_text("{")
    assert origin_of(source) == Origin(None, ())


def test_the_card_of_a_repository_speaks_for_its_subfolders(pico: Pico) -> None:
    source = pico.source("repository/epoch-9")
    say(source.folder.parent, "license: cc-by-4.0")
    named = open_checkpoint(source.folder, f"{source.folder.parent}:epoch-9")
    assert origin_of(named).licence == "cc-by-4.0"
    assert origin_of(source).licence is None  # a folder above it that nobody named


def test_one_licence_of_all_is_that_of_the_merge() -> None:
    assert licence_of_all([("a", "mit"), ("b", "mit")]).front == {"license": "mit"}
    assert licence_of_all([("a", "other: x"), ("b", "other: x")]).front == {"license": "other", "license_name": "x"}


def test_where_a_licence_is_not_known_none_is_claimed() -> None:
    found = licence_of_all([("a", "mit"), ("b", None)])
    assert (found.front, found.conflict) == ({}, False)
    assert found.sentence.startswith("No licence is claimed: b has not a model card that names its licence.")
    assert licence_of_all([("a", None)]).sentence == "No licence is claimed: no source has a model card that names one."


def test_licences_that_differ_are_named_with_who_has_which(pico: Pico, tmp_path: Path) -> None:
    zoo = pico.zoo(SOURCES)
    for locale, licence in zip(SOURCES, ("mit", "cc-by-nc-4.0"), strict=True):
        say(pico.root / "zoo" / locale, f"license: {licence}")
    choice = choose(VARIANTS["average"], "sq-AL", ChoiceConfig(num_languages=2), load("uriel:syntax_knn"))
    merge_candidate(choice, zoo, "average", tmp_path / "out")
    card = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert (front_of(card)["license"], front_of(card)["license_name"]) == ("other", "several")
    assert card.count("mit: ro-RO; cc-by-nc-4.0: el-GR.") == 2  # as a warning, and under its title
    assert "> **Warning.** The models that this one is made of have different licences" in card


# --- for people --------------------------------------------------------------------------------------------------------


def test_without_a_record_the_card_reports_no_score(details: MergeDetails, tmp_path: Path) -> None:
    card = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert "A classifier of 4 intents, made of 2 fine-tuned checkpoints" in card
    assert "Of the target it has seen: nothing.\n" in card
    assert "The sources are the 2 most similar to the target by `uriel:syntax_knn`." in card
    assert "softmax of 20 times their similarity" in card
    assert "Their classification heads were merged like the rest (smallest cosine between two of them: 0." in card
    assert "This card reports no score" in card
    for source in details.sources:
        assert f"| {source.locale} | {source.weight:.4f} | {source.score:.4f} | `{source.locale}` |" in card
    assert lacks_results(tmp_path / "out")


def test_with_a_record_it_has_the_interval_of_wilson(details: MergeDetails, record: Record, tmp_path: Path) -> None:
    records = records_of(tmp_path / "out", details, RunStore(tmp_path / "results"))
    assert records == [record]
    card = write_card(tmp_path / "out", details, records)
    found = record.performance
    z, n, p = NormalDist().inv_cdf(0.975), found.total, found.accuracy
    middle, reach = (
        (p + z * z / (2 * n)) / (1 + z * z / n),
        z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)),
    )
    assert f"| {p:.3f} ({middle - reach:.3f} … {middle + reach:.3f}) | {found.correct} of {n} |" in card
    assert f"{found.macro_f1:.3f} over {found.macro_f1_intents} intents" in card
    assert "**It is a demonstration**" in card
    assert "This card reports no score" not in card
    assert not lacks_results(tmp_path / "out")


def test_records_of_other_models_are_not_its_own(details: MergeDetails, record: Record, tmp_path: Path) -> None:
    other = details.model_copy(update={"candidate": {"kind": "merge"}})
    assert records_of(tmp_path / "out", other, RunStore(tmp_path / "results")) == []
    assert records_of(tmp_path / "out", details, RunStore(tmp_path / "nowhere")) == []


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"head_policy": "wide"}, "heads stand side by side"),
        ({"head_policy": "refit"}, "One classification head was fitted"),
        ({"head_policy": "from:ro-RO"}, "The classification head is that of ro-RO"),
        ({"selection": "manual", "weighting": "manual"}, "named by hand. Their weights were given by hand."),
        ({"selection": "original", "weighting": "proportional"}, "that the original experiment chose"),
        ({"selection": "all", "weighting": "uniform"}, "All sources that there were take part. They count the same."),
        ({"selection": "all", "weighting": "greedy-soup"}, "as long as the merge got no worse on the dev splits"),
    ],
)
def test_it_says_why_these_sources_these_weights_and_which_head(
    details: MergeDetails, recipe: dict[str, Any], words: str
) -> None:
    changed = details.model_copy(update={"recipe": details.recipe.model_copy(update=recipe)})
    assert words in model_card(changed, ["ask"])


TRUE_WORDS = {
    "pick": "The one that scores best is the model, as it is.",
    "merge": "were merged, and have weights that grow with their score (sharpness ",
    "learned": "learned on that text for each layer, so that the merge",
    "distilled": "; then the ",
    "auto": "what follows says which of them it is",
    "few-soup": "(a greedy soup), and count the same.",
    "few-coefficients": "were merged with coefficients that were learned on at most ",
    "few-head": "The last layer was fitted to what they say of that text together, and to at most ",
    "few-finetuned": "and was fine-tuned on at most ",
}


@pytest.mark.parametrize(
    "mode", [name for name, (adaptation, _) in ADAPTATIONS.items() if adaptation.kind != "ensemble"]
)
def test_each_adaptation_is_told_in_its_own_words(mode: str, details: MergeDetails) -> None:
    adaptation = ADAPTATIONS[mode][0]
    told = details.model_copy(update={"mode": mode, "recipe": adapted(adaptation, "sq-AL")})
    card = model_card(told, ["ask"])
    front_of(card)
    words = {kind for kind, words in TRUE_WORDS.items() if words in card}
    assert words - ({"merge"} if adaptation.kind == "few-head" else set()) == {adaptation.kind}
    labels = f"Adapted to raw text, and to at most {adaptation.labels} labelled text"
    assert (labels in card) is bool(adaptation.labels)
    assert ("Dawid and Skene" in card) is ("dawid-skene" in adaptation.reliability)
    if adaptation.kind in ("pick", "learned", "few-soup", "few-coefficients"):
        assert "sharpness" not in card  # the table does not show weights that come of it


def test_every_reliability_has_words_of_its_own() -> None:
    assert why._SCORES.keys() == set(RELIABILITIES)


def test_a_wide_head_is_loaded_with_its_own_code(details: MergeDetails) -> None:
    assert "trust_remote_code=True" in model_card(details, ["ask"], custom=True)
    assert "trust_remote_code" not in model_card(details, ["ask"])


# --- what must not leave this machine, or break a page -----------------------------------------------------------------


def test_no_path_of_this_machine_is_in_a_card(details: MergeDetails, record: Record, tmp_path: Path) -> None:
    spoken = details.model_copy(
        update={
            "warnings": (f"{details.sources[0].model} has no head, see /home/alice/notes (or ~/x/y): and/or 1/2.",),
            "reasons": (f"It is like {tmp_path}/secret place/model.",),
            "zoo": "/home/alice/models/{locale}/best",
        }
    )
    card = model_card(spoken, ["ask"], [record])
    for private in (str(tmp_path), "alice", "/home", "~/"):
        assert private not in card
    assert "ro-RO has no head, see notes (or y): and/or 1/2." in card
    assert "--models 'path/to/{locale}/best'" in card


@pytest.mark.parametrize(
    ("zoo", "words"),
    [
        ("org/xlmr-{locale}:best", "--models 'org/xlmr-{locale}:best' "),
        ("zoos/mine.csv", "--models path/to/mine.csv "),
        ("my zoo", "--models 'path/to/{locale}' "),
        ("embedded-full-0123", "--mode similarity --target-lang sq-AL --demo "),
        ("embedded-tiny-0123", "SPRACHBUND_DEMO_SIZE=tiny sprachbund merge "),
    ],
)
def test_the_command_names_the_zoo_as_readers_can(zoo: str, words: str, details: MergeDetails) -> None:
    assert words in command_line(model_card(details.model_copy(update={"zoo": zoo}), ["ask"]))


def test_places_are_cut_and_names_are_not() -> None:
    assert public_zoo("/a/b/xlmr-{locale}/epoch-9") == "path/to/xlmr-{locale}/epoch-9"
    assert public_zoo("zoo.csv") == "path/to/zoo.csv"
    assert public_zoo("org/xlmr-{locale}:best") == "org/xlmr-{locale}:best"
    assert (
        public_text("https://example.org/a/b is no path, ./a/b.txt is")
        == "https://example.org/a/b is no path, b.txt is"
    )


STRANGE = "a|b `c` <script>alert(1)</script>\n---\n# x [y](z) *w*"


def test_what_others_called_things_breaks_no_page(details: MergeDetails, record: Record) -> None:
    source = details.sources[0].model_copy(update={"model": STRANGE, "locale": STRANGE, "datasets": (STRANGE,)})
    data = record.dataset_info.model_copy(update={"name": STRANGE, "revision": STRANGE, "notice": STRANGE})
    told = record.model_copy(update={"dataset_info": data})
    strange = details.model_copy(update={"sources": (source, details.sources[1]), "warnings": (STRANGE,)})
    card = model_card(strange, [STRANGE], [told])
    front_of(card)
    body = card.split("---\n", 2)[2].replace(command_line(card), "")
    shown = body.replace("\\<script\\>", "").replace(code(STRANGE).replace("|", "\\|"), "").replace(code(STRANGE), "")
    assert "<script>" not in shown
    assert not [line for line in body.splitlines() if line.startswith("# x")]
    table = [line for line in body.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in table} <= {5, 8}  # four columns and seven


def test_markdown_shows_texts_as_they_are() -> None:
    assert plain("a_b *c* <d> `e` \\ [f]|\ng") == "a\\_b \\*c\\* \\<d\\> \\`e\\` \\\\ \\[f\\]\\| g"
    assert code("a `b` ``c``") == "``` a `b` ``c`` ```"
    assert row(code("a|b"), plain("c|d")) == "| `a\\|b` | c\\|d |"


# --- how to make it again ----------------------------------------------------------------------------------------------


def command_line(card: str) -> str:
    """What stands in the block of the command."""
    return card.partition("```bash\n")[2].partition("\n```")[0]


def command_in(card: str) -> list[str]:
    """The command of a card, typed where its models are."""
    return shlex.split(command_line(card).replace("path/to/", "models/"))[1:]


@pytest.mark.parametrize(
    "line",
    [
        "--mode similarity --target-lang sq-AL --sources ro-RO el-GR it-IT --num-languages 2",
        "--mode similarity --target-lang sq-AL --sources ro-RO sq-AL it-IT --num-languages 2 --include-target --sharpness 5",
        "--mode average --target-lang sq-AL --sources ro-RO el-GR it-IT --num-languages 2 --method ties --base models/base "
        "--set density=0.3",
        "--mode average --target-lang sq-AL --sources ro-RO el-GR it-IT --num-languages 3 --method dare --base models/base "
        "--set density=0.5 elect_sign=true --seed 3",
        "--mode manual --target-lang sq-AL --sources ro-RO el-GR --weights 3 1 --head-policy from:el-GR",
        "--mode similarity --target-lang sq-AL --selection original --num-languages 2",
        "--mode similarity --target-lang sq-AL --sources ro-RO el-GR --similarity file:own.csv --num-languages 2",
    ],
)
def test_the_command_on_the_card_makes_the_same_model(
    line: str, workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["merge", "--models", "models/{locale}", *shlex.split(line), "--output-dir", "first"]) == 0
    (first,) = Path("first/merged_models").iterdir()
    again = command_in((first / "README.md").read_text(encoding="utf-8"))
    assert run([*again, "--output-dir", "second"]) == 0, capsys.readouterr().err
    (second,) = Path("second/merged_models").iterdir()
    known, made = state(first), state(second)
    assert all(made[name].equal(known[name]) for name in known)
    assert read_details(second).candidate == read_details(first).candidate  # type: ignore[union-attr]


def test_the_command_on_the_card_of_a_blend_makes_the_same_blend(workplace: Path) -> None:
    line = "--weights 3 1 --method task_arithmetic --set scale=0.7 --base models/base --no-normalize --lines 0.5 1"
    assert run(["merge", "--source", "models/ro-RO", "models/el-GR", *shlex.split(line), "--out", "first"]) == 0
    card = Path("first/README.md").read_text(encoding="utf-8")
    assert "the base is `base`" in card.lower()
    assert str(workplace) not in card
    assert front_of(card)["tags"] == ["merge", "sprachbund"]
    assert run(command_in(card)) == 0
    assert read_blend(Path("merged")).candidate == read_blend(Path("first")).candidate  # type: ignore[union-attr]


@pytest.mark.usefixtures("one_core")
@pytest.mark.parametrize(
    "more",
    [
        "--method pick-confidence",
        "--method distilled-merge-uniform --epochs 2 --seed 3 --learning-rate 0.0015 --freeze-embeddings",
        "--method merge-overlap --num-languages 2 --base models/base",
        "--method few-soup-1 --labelled labelled-texts.tsv",
        "--method merge-wide --num-languages 2",
    ],
)
def test_the_command_on_the_card_of_an_adaptation_makes_the_same_model(
    more: str, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPRACHBUND_CACHE", str(workplace / "cache"))
    Path("raw-texts.txt").write_text("\n".join(f"{filler} aska" for filler in FILLERS), encoding="utf-8")
    Path("labelled-texts.tsv").write_text("ask\tbala aska\ngreet\tlisu greete\n", encoding="utf-8")
    line = "adapt --target sq-AL --models models/{locale} --sources ro-RO el-GR it-IT --unlabelled raw-texts.txt --out first"
    assert run(shlex.split(f"{line} {more}")) == 0
    card = Path("first/README.md").read_text(encoding="utf-8")
    assert run(command_in(card)) == 0
    first, second = read_details(Path("first")), read_details(Path(f"{more.split()[1]}-sq-AL"))
    assert first
    assert second
    assert (first.recipe, first.candidate) == (second.recipe, second.candidate)
    assert first.trained is ("distilled" in more)
    assert "base_model" not in front_of(card)
    assert str(workplace) not in card
    assert ("tags:\n- merge" in card) is more.split()[1].startswith(("merge-", "few-soup"))
    known, made = state(Path("first")), state(Path(f"{more.split()[1]}-sq-AL"))
    assert all(made[name].allclose(known[name], atol=1e-6) for name in known)
    with safe_open("first/model.safetensors", "np") as file:
        assert file.metadata()["sprachbund_candidate"] == model_digest(first)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with models and a table of similarities."""
    monkeypatch.chdir(tmp_path)
    factory = Pico(Path("models"))
    factory.base()
    for locale in ("ro-RO", "el-GR", "it-IT", "sq-AL", "fi-FI", "cy-GB"):
        factory.source(locale)
    Path("own.csv").write_text(
        "# uses: nothing\nlocale,sq-AL,ro-RO,el-GR\nsq-AL,1,0.3,0.5\nro-RO,0.3,1,0.2\nel-GR,0.5,0.2,1\n"
    )
    return tmp_path


# --- written and read --------------------------------------------------------------------------------------------------


def test_a_card_is_written_anew_with_the_results_that_there_are(
    details: MergeDetails, record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    assert run(["card", "--model", "out", "--results-dir", "empty"]) == 0
    assert "without a result: empty has none of it" in capsys.readouterr().out
    assert run(["card", "--model", "out", "--results-dir", "nowhere"]) == 2
    assert "There is no folder nowhere: name the one with the results (--results-dir)." in capsys.readouterr().err
    assert run(["card", "--model", "out", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["card"], found["results"]) == ("out/README.md", [record.identity])
    assert found["text"] == Path("out/README.md").read_text(encoding="utf-8")
    assert "model-index" in front_of(found["text"])


def test_a_blend_finds_the_record_of_the_checkpoint_that_it_is(pico: Pico, tiny: TinyData, tmp_path: Path) -> None:
    sources = tuple(pico.source(name) for name in ("a", "b"))
    blend = Blend(method="linear", sources=("a", "b"), weights=(0.5, 0.5))
    details = make_blend(blend, Ingredients(sources=sources), tmp_path / "out")
    subject = cells.describe(open_checkpoint(tmp_path / "out"), "sq-AL")
    record = cells.evaluate(
        subject, tiny, "test", "blend", tmp_path / "results/blend_sq-AL", precision="fp32", started=0.0
    )
    assert records_of(tmp_path / "out", details, RunStore(tmp_path / "results")) == [record]


@pytest.mark.parametrize(
    "spoil", [lambda folder: (folder / "merge_details.json").unlink(), lambda folder: shutil.rmtree(folder)]
)
def test_what_was_not_made_here_gets_no_card(
    details: MergeDetails, tmp_path: Path, spoil: Callable[[Path], None], capsys: Any
) -> None:
    spoil(tmp_path / "out")
    assert run(["card", "--model", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("error: ") == 1


def test_details_of_an_adaptation_from_before_tell_by_their_recipe_whether_it_was_trained(
    details: MergeDetails,
) -> None:
    for kind, expected in (("merge", False), ("distilled", True)):
        recipe = Recipe(target="sq-AL", selection="all", weighting="reliability", adaptation={"kind": kind})
        assert details.model_copy(update={"recipe": recipe}).is_trained is expected
    assert not details.is_trained


def test_transformers_gives_the_names_of_intents(details: MergeDetails, tmp_path: Path) -> None:
    (found,) = pipeline("text-classification", str(tmp_path / "out"))("bala aska")
    assert found["label"] in ("ask", "count", "greet", "leave")


# --- whose provenance it is --------------------------------------------------------------------------------------------


@pytest.fixture
def blended(pico: Pico, tmp_path: Path) -> Path:
    """A blend of a source that was trained on German and one that nothing says of."""
    first = pico.source("a")
    (first.folder / "training.json").write_text('{"locale": "de-DE"}')
    sources = (first, pico.source("b"))
    make_blend(
        Blend(method="linear", sources=("a", "b"), weights=(0.5, 0.5)), Ingredients(sources=sources), tmp_path / "out"
    )
    return tmp_path / "out"


def test_a_copy_of_a_blend_is_known_by_its_content(blended: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(blended, tmp_path / "copy", copy_function=shutil.copyfile)  # another time of writing
    assert read_blend(copy) == read_blend(blended)
    assert labels_met(copy) == ("de-DE",)
    with pytest.raises(UserError, match="has met labels of de-DE"):
        check_unseen({"copy": open_checkpoint(copy)}, ["de-DE"])


def test_tensors_that_were_changed_are_not_those_of_a_blend(blended: Path) -> None:
    weights, before = blended / "model.safetensors", (blended / "model.safetensors").stat()
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1  # the header stays as it is
    weights.write_bytes(content)
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    with safe_open(weights, "np") as file:
        assert "sprachbund_candidate" in file.metadata()
    assert read_blend(blended) is None


def test_a_blend_from_before_is_known_by_the_time_of_its_tensors_and_its_copy_is_not(
    blended: Path, tmp_path: Path
) -> None:
    weights, path = (blended / "model.safetensors").stat(), blended / "blend.json"
    kept = json.loads(path.read_text())
    del kept["tensors_digest"]
    path.write_text(json.dumps(kept | {"written": [weights.st_size, weights.st_mtime_ns]}))
    assert read_blend(blended)
    assert read_blend(shutil.copytree(blended, tmp_path / "copy", copy_function=shutil.copyfile)) is None
    path.write_text(json.dumps(kept))  # nothing says whose it is
    assert read_blend(blended) is None


def test_a_blend_names_the_languages_that_its_sources_have_met(blended: Path) -> None:
    assert front_of((blended / "README.md").read_text(encoding="utf-8"))["language"] == ["de"]


def test_two_sources_in_one_repository_are_linked_once(details: MergeDetails) -> None:
    sources = tuple(
        source.model_copy(update={"model": f"org/x@{COMMIT}:{source.locale}"}) for source in details.sources
    )
    assert front_of(model_card(details.model_copy(update={"sources": sources}), ["ask"]))["base_model"] == ["org/x"]


def test_licences_without_a_name_are_not_one() -> None:
    found = licence_of_all([("a", "other"), ("b", "other")])
    assert (found.conflict, found.front["license_name"]) == (True, "several")
    assert "licences without a name" in found.sentence
    assert licence_of_all([("a", "other")]).front == {"license": "other"}
    unknown = licence_of_all([("a", "unknown"), ("b", "unknown")])
    assert (unknown.front, unknown.conflict) == ({}, False)


def test_a_card_that_does_not_know_its_licence_says_none(pico: Pico) -> None:
    source = pico.source("de-DE")
    say(source.folder, "license: unknown")
    assert origin_of(source).licence is None


def test_the_base_of_a_merge_is_asked_for_its_licence(workplace: Path) -> None:
    for name, licence in (("ro-RO", "mit"), ("el-GR", "mit"), ("base", "cc-by-nc-4.0")):
        say(Path("models", name), f"license: {licence}")
    line = "--method task_arithmetic --base models/base"
    assert run(["merge", "--source", "models/ro-RO", "models/el-GR", *shlex.split(line), "--out", "blend"]) == 0
    for_target = "--mode manual --target-lang sq-AL --sources ro-RO el-GR --weights 1 1 --models models/{locale}"
    assert run(["merge", *shlex.split(f"{for_target} {line}")]) == 0
    for folder in ("blend", "merged_models/manual_merge_sq-AL"):
        card = Path(folder, "README.md").read_text(encoding="utf-8")
        assert front_of(card)["license_name"] == "several"
        assert "cc-by-nc-4.0: base." in card


def test_a_card_that_was_changed_by_hand_is_not_written_over(
    details: MergeDetails, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    card = Path("out/README.md")
    written = card.read_bytes()
    card.write_bytes(written.replace(b"\n", b"\r\n"))  # another tool's line ends are no change
    assert not is_changed(Path("out"))
    for changed in (written.replace(b"It knows", b"It hardly knows"), written + b"Thanks to all.\n", b"", b"# Mine\n"):
        card.write_bytes(changed)
        assert run(["card", "--model", "out"]) == 2
        assert "out/README.md is not as sprachbund wrote it" in capsys.readouterr().err
        write_details(Path("out"), details)
        assert card.read_bytes() == changed
    assert run(["card", "--model", "out", "--overwrite"]) == 0
    assert card.read_bytes() == written
    card.unlink()
    assert run(["card", "--model", "out"]) == 0
    assert card.read_bytes() == written
