"""The page: what is on it, that every figure is the store's, and that nothing on it can do more than be read."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import itertools
import re
import subprocess
import sys
from collections import Counter
from importlib.resources import files as package_files
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from html_page import IDS, INTENTS, LOCALES, VARIANTS, Node, answered, counted, page_of, parsed
from results_folder import ResultsFolder

from sprachbund import store
from sprachbund.report import Texts, headline, read_answers
from sprachbund.report.analysis import analyse
from sprachbund.report.stats import Interval, wilson

MIB = 1_000_000
HOSTILE = "</script><script>alert(1)</script>"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ResultsFolder:
    """Twelve results with predictions; for reading only."""
    return answered(ResultsFolder(tmp_path_factory.mktemp("made") / "results"))


@pytest.fixture(scope="module")
def page(made: ResultsFolder) -> str:
    texts = {locale: {id_: f"sentence {id_} in {locale}" for id_ in IDS} for locale in LOCALES}
    return page_of(made, Texts(texts, "Sentences are made up."))


@pytest.fixture(scope="module")
def tree(page: str) -> Node:
    return parsed(page)


def table(tree: Node, name: str) -> list[dict[str, str]]:
    (found,) = tree.all("table", id=f"table-{name}")
    return found.table()


def download(tree: Node, name: str) -> list[dict[str, str]]:
    """The CSV behind a link."""
    link, *others = tree.all("a", download=f"{name}.csv")
    assert all(other.attributes == link.attributes for other in others)
    head, _, content = link.attributes["href"].partition(",")
    assert head == "data:text/csv;charset=utf-8"
    return list(csv.DictReader(io.StringIO(unquote(content))))


# --- the figures -------------------------------------------------------------------------------------------------------


def test_it_says_first_what_came_out(tree: Node, made: ResultsFolder) -> None:
    (said,) = [node for node in tree.all("p") if node.attributes.get("class") == "headline"]
    results = made.load()
    analysis = analyse(results, read_answers(made.root, results), resamples=200, macro_f1_resamples=20)
    assert said.text == headline(made.summary(), analysis)
    assert tree.all("title")[0].text == tree.all("h1")[0].text == "Results of merging in 4 locales"


@pytest.mark.parametrize("demonstration", [True, False])
def test_a_demonstration_is_called_one(folder: ResultsFolder, demonstration: bool) -> None:
    folder.demonstration = demonstration
    assert ("They say nothing about languages in the world." in page_of(answered(folder))) is demonstration


def test_accuracies_are_those_of_the_records(tree: Node, made: ResultsFolder) -> None:
    rows = {row["locale"]: row for row in table(tree, "accuracies")}
    digits = {row["locale"]: row for row in download(tree, "accuracies")}
    assert rows.keys() == digits.keys() == {*LOCALES}
    for (variant, locale), record in made.load().records.items():
        low, high = (float(digits[locale][f"{variant}_{end}"]) for end in ("low", "high"))
        assert wilson(record.performance.correct, len(IDS)) == Interval(low, high)
        assert rows[locale][variant] == f"{record.performance.accuracy:.3f} {low:.3f} … {high:.3f}"
        assert float(digits[locale][variant]) == record.performance.accuracy
    assert rows["sq-AL"]["zero-shot best"] == "0.440", "the Swedish source, by hand"
    assert rows["sq-AL"]["best source"] == "sv-SE"


def test_what_a_column_has_seen_stands_beside_its_mean(tree: Node, made: ResultsFolder) -> None:
    seen = {row["column"]: row["has seen of its target"] for row in table(tree, "columns")}
    assert seen["baseline"] == "target-train"
    assert seen["similarity"] == "nothing"
    assert "target-test" in seen["zero-shot best"]


def test_pairs_are_those_of_the_analysis(tree: Node, made: ResultsFolder) -> None:
    results = made.load()
    analysis = analyse(results, read_answers(made.root, results), resamples=200, macro_f1_resamples=20)
    rows = {(row["first"], row["second"]): row for row in download(tree, "comparisons")}
    assert rows.keys() == {(found.first, found.second) for found in analysis.comparisons}
    for found in analysis.comparisons:
        row = rows[found.first, found.second]
        assert float(row["mean"]) == found.mean
        assert (float(row["interval_low"]), float(row["interval_high"])) == (found.interval.low, found.interval.high)
        assert (int(row["wins"]), int(row["losses"])) == (found.wins, found.losses)
        assert float(row["p_adjusted"]) == found.p_adjusted
        assert row["adjustment"] == found.adjusted_by != ""
    shown = {(row["column"], row["minus"]): row for row in table(tree, "comparisons")}
    mean = analysis.comparison("similarity", "average")
    assert mean is not None
    assert shown["similarity", "average"]["mean difference, points"] == f"{100 * mean.mean:+.1f}".replace("-", "−")
    contrasts = {(row["first"], row["second"], row["locale"]): row for row in download(tree, "contrasts")}
    for pair, found_rows in analysis.contrasts.items():
        for each in found_rows:
            row = contrasts[*pair, each.locale]
            assert (float(row["difference"]), float(row["p"])) == (each.difference, each.p)
            assert (int(row["wins"]), int(row["losses"])) == (each.wins, each.losses)
    scores = {(row["column"], row["locale"]): row for row in download(tree, "scores")}
    for (variant, locale), score in analysis.scores.items():
        assert float(scores[variant, locale]["accuracy_interval_low"]) == score.accuracy_interval.low


def test_errors_by_intent_and_confusions_are_recounted_from_the_files(tree: Node, made: ResultsFolder) -> None:
    counts = {v: sum((counted(made.root / f"{v}_{locale}") for locale in LOCALES), Counter()) for v in VARIANTS}
    shown, digits = (
        {row["intent"]: row for row in rows} for rows in (table(tree, "intents"), download(tree, "intents"))
    )
    assert shown.keys() == {*INTENTS}
    for variant, found in counts.items():
        for intent in INTENTS:
            total = sum(number for (gold, _), number in found.items() if gold == intent)
            wrong = total - found[intent, intent]
            assert shown[intent]["sentences"] == str(total)
            assert shown[intent][f"{variant}, wrong"] == f"{wrong / total:.3f}"
            assert float(digits[intent][f"{variant}_wrong"]) == wrong / total
    confused = {(row["gold intent"], row["taken for"]): row for row in table(tree, "confused")}
    assert len(confused) == len({pair for found in counts.values() for pair in found if pair[0] != pair[1]}) == 20
    together = [sum(found[pair] for found in counts.values()) for pair in confused]
    assert together == sorted(together, reverse=True)
    assert all(int(row[v]) == found[pair] for pair, row in confused.items() for v, found in counts.items())


def test_calibration_is_the_mean_of_what_records_hold(folder: ResultsFolder) -> None:
    folder.record("baseline", "af-ZA", 90, nll=0.5, ece=0.125)
    folder.record("baseline", "sq-AL", 80, nll=1.0, ece=0.25)
    folder.record("average", "sq-AL", 80, nll=2.0)
    folder.record("similarity", "sq-AL", 80)
    tree = parsed(page_of(folder))
    rows = {row["column"]: row for row in download(tree, "calibration")}
    assert rows.keys() == {"baseline", "average"}
    assert (rows["baseline"]["locales"], rows["baseline"]["nll"], rows["baseline"]["ece"]) == ("2", "0.75", "0.1875")
    assert (rows["average"]["locales"], rows["average"]["nll"], rows["average"]["ece"]) == ("1", "2.0", "")
    shown = place(tree, "sq-AL").all("table", id="table-locale-sq-AL-scores")[0].table()
    assert {row["column"]: row["NLL, nats"] for row in shown} == {
        "baseline": "1.000",
        "similarity": "",
        "average": "2.000",
    }


def test_the_best_single_source_stands_among_the_others_where_its_answers_are_known(folder: ResultsFolder) -> None:
    answered(folder)
    rows = store.read_predictions(folder.root / "baseline_sq-AL")
    said = [row.gold if int(row.id) < 90 else INTENTS[0] for row in rows]
    sure = np.full(len(rows), 0.5, np.float32)
    columns = store.Columns([row.id for row in rows], [row.gold for row in rows], said, sure, sure)
    folder.transfer("de-DE", {"sq-AL": 99}, answers={"sq-AL": columns})
    tree = parsed(page_of(folder))
    right = sum(row.gold == answer for row, answer in zip(rows, said, strict=True))
    scores = {
        row["column"]: row for row in place(tree, "sq-AL").all("table", id="table-locale-sq-AL-scores")[0].table()
    }
    assert scores["zero-shot best"]["right"] == str(right)
    pairs = {(row["column"], row["minus"]) for row in table(tree, "comparisons")}
    assert ("similarity", "zero-shot best") in pairs
    assert "zero-shot best, wrong" in table(tree, "intents")[0]


def test_threads_and_precision_stand_where_it_is_said_how_it_was_made(folder: ResultsFolder) -> None:
    folder.record("similarity", "sq-AL", 50, threads=4)
    folder.record("average", "sq-AL", 50, threads=None)
    tree = parsed(page_of(folder))
    (making,) = [node for node in tree.all("section") if node.attributes["aria-labelledby"] == "making"]
    assert "fp32" in making.text
    assert "4, not recorded (of the CPU, for each result)" in making.text
    assert {row["variant"]: row["threads"] for row in table(tree, "variants")} == {
        "similarity": "4",
        "average": "not recorded",
    }


def test_numbers_are_sorted_by_all_their_digits(tree: Node, made: ResultsFolder) -> None:
    """Two that are equal as they are shown are not always equal."""
    (accuracies,) = tree.all("table", id="table-accuracies")
    digits = {row["locale"]: row["similarity"] for row in download(tree, "accuracies")}
    cells = {row.children[0].text: row.children[4] for body in accuracies.all("tbody") for row in body.all("tr")}
    assert {locale: cell.attributes["data-value"] for locale, cell in cells.items()} == digits
    (fixed, *_) = tree.all("table", id="table-locale-sq-AL-scores")
    assert not [cell for cell in fixed.all("td") if "data-value" in cell.attributes], "nobody sorts these"


# --- a locale on its own -----------------------------------------------------------------------------------------------


def place(tree: Node, locale: str) -> Node:
    (found,) = [node for node in tree.all("details") if node.all("div", id=f"locale-{locale}")]
    return found


def test_every_locale_of_the_table_leads_to_its_own_page(tree: Node) -> None:
    (accuracies,) = tree.all("table", id="table-accuracies")
    links = [link for body in accuracies.all("tbody") for link in body.all("a")]
    assert [link.text for link in links] == [row["locale"] for row in table(tree, "accuracies")]
    for link in links:
        assert link.attributes["href"] == f"#locale-{link.text}"
        assert link.text in place(tree, link.text).all("h3")[0].text


def test_a_locale_has_its_scores_pairs_sources_and_digests(tree: Node, made: ResultsFolder) -> None:
    albanian = place(tree, "sq-AL")
    scores, pairs, sources, making = (
        albanian.all("table", id=f"table-locale-sq-AL-{name}")[0].table()
        for name in ("scores", "pairs", "sources", "making")
    )
    record = made.load().records["similarity", "sq-AL"]
    row = next(row for row in scores if row["column"] == "similarity")
    assert (row["right"], row["of"]) == (str(record.performance.correct), "60")
    assert {(row["column"], row["minus"]) for row in pairs} >= {("similarity", "average"), ("similarity", "baseline")}
    assert [row["source"] for row in sources] == ["nl-NL", "de-DE", "sv-SE"], "the heaviest first"
    assert [row["weight in similarity"] for row in sources] == ["0.500", "0.300", "0.200"]
    assert next(row["accuracy as it is"] for row in sources if row["source"] == "nl-NL") == "0.370"
    assert next(row["predictions digest"] for row in making) == record_digest(made, "baseline", "sq-AL")[:12]


def test_energy_is_said_with_what_it_is_of_or_why_it_is_not_measured(
    made: ResultsFolder, tree: Node, folder: ResultsFolder
) -> None:
    assert "not measured: no counter of an NVIDIA GPU" in said_of(tree, "Energy")
    assert said_of(tree, "Energy").endswith("shared the machine, or the records are older")
    for one, joules in zip(answered(folder).load().everything[:2], (1800.0, 5400.0), strict=True):
        info = one.evaluation_info
        where = store.RunStore(folder.root).folder(info.variant, info.locale)
        changed = info.model_copy(update={"energy": joules, "energy_of": ("CPU package-0",)})
        store.write_record(where, one.model_copy(update={"evaluation_info": changed}), store.read_predictions(where))
    drawn = parsed(page_of(folder))
    said = said_of(drawn, "Energy")
    assert said.startswith(
        "2.0 Wh for 2 of 12 records, by the counters of CPU package-0: all that they fed in that time"
    )
    assert Counter(row["energy"] for row in download(drawn, "records")) == {"": 10, "1800.0": 1, "5400.0": 1}


def said_of(tree: Node, term: str) -> str:
    """What a list of terms says of one."""
    (found,) = [list_ for list_ in tree.all("dl") if term in [dt.text for dt in list_.all("dt")]]
    return dict(zip([dt.text for dt in found.all("dt")], [dd.text for dd in found.all("dd")], strict=True))[term]


def record_digest(made: ResultsFolder, variant: str, locale: str) -> str:
    path = made.root / f"{variant}_{locale}" / "predictions.csv"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_examples_are_sentences_that_one_variant_alone_gets_right(tree: Node, made: ResultsFolder) -> None:
    rows = {v: {row.id: row for row in store.read_predictions(made.root / f"{v}_he-IL")} for v in VARIANTS}
    hebrew = place(tree, "he-IL")
    titles = [heading.text for heading in hebrew.all("h4")]
    assert titles == [
        "similarity is right, baseline is not",
        "baseline is right, similarity is not",
        "similarity is right, average is not",
        "average is right, similarity is not",
    ]
    groups = [node for node in hebrew.all("table") if "id" not in node.attributes]
    for title, group in zip(titles, groups, strict=True):
        right, wrong = title.replace(" is right", "").replace(" is not", "").split(", ")
        flipped = {
            id_ for id_ in IDS if rows[right][id_].predicted == rows[right][id_].gold != rows[wrong][id_].predicted
        }
        shown = group.table()
        assert len(shown) == 3
        assert group.all("caption")[0].text == f"3 of {len(flipped)} sentences."
        for example in shown:
            assert example["id"] in flipped
            assert example["gold intent"] == rows[right][example["id"]].gold == example[right]
            assert example[wrong] == rows[wrong][example["id"]].predicted
            assert example["sentence"] == f"sentence {example['id']} in he-IL"
        (row,) = (
            row
            for row in download(tree, "flips")
            if (row["locale"], row["right"], row["wrong"]) == ("he-IL", right, wrong)
        )
        assert set(row["ids"].split(";")) == flipped
        assert int(row["sentences"]) == len(flipped)


def test_sentences_say_their_language_and_direction(tree: Node) -> None:
    for locale, direction in (("he-IL", "rtl"), ("ja-JP", "ltr")):
        cells = [cell for cell in place(tree, locale).all("td") if "dir" in cell.attributes]
        assert cells
        assert {(cell.attributes["lang"], cell.attributes["dir"]) for cell in cells} == {(locale, direction)}


def test_without_sentences_ids_stand_alone_and_the_page_says_why(made: ResultsFolder) -> None:
    tree = parsed(page_of(made, Texts({}, "Nobody named the data set.")))
    assert "Nobody named the data set." in tree.text
    groups = [node for node in place(tree, "ja-JP").all("table") if "id" not in node.attributes]
    assert groups
    assert all("sentence" not in row for group in groups for row in group.table())


def test_a_locale_that_nobody_knows_has_a_page_too(folder: ResultsFolder) -> None:
    folder.record("similarity", "tt RU?", 1)
    tree = parsed(page_of(folder, Texts({"tt RU?": {"1": "an"}}, "")))
    (found,) = [node for node in tree.all("details") if node.all("div", id="locale-tt_20_RU_3f_")]
    assert found.all("h3")[0].text == "tt RU?"


# --- what is not there -------------------------------------------------------------------------------------------------


def test_missing_and_failed_cells_are_named(folder: ResultsFolder) -> None:
    answered(folder)
    folder.failure("similarity", "de-DE", "no space left")
    tree = parsed(page_of(folder))
    (failure,) = table(tree, "failures")
    assert (failure["variant"], failure["locale"]) == ("similarity", "de-DE")
    assert "no space left" in failure["reason"]
    assert "12 of 156 results are there, 1 failed, 143 are missing." in tree.text
    assert "similarity: 47 missing: am-ET" in tree.text


def test_what_cannot_be_drawn_is_said(folder: ResultsFolder) -> None:
    folder.record("mine", "sq-AL", 50)
    tree = parsed(page_of(folder))
    assert "No recipe names a similarity." in tree.text
    assert "Zero-shot transfer was not measured" in tree.text
    assert "No two columns have answered the same sentences yet." in tree.text
    assert "without the probability of the gold intent" in tree.text


SCORES = {"nl-NL": 0.75, "de-DE": 0.5, "sv-SE": 0.25}


def test_a_measured_similarity_is_that_of_the_records(folder: ResultsFolder) -> None:
    """Nobody measures again for a page: what chose the sources stands in the records, of these sources alone."""
    answered(folder)
    for variant, locale in itertools.product(("similarity", "average"), LOCALES):
        rows = store.read_predictions(folder.root / f"{variant}_{locale}")
        by = {"similarity": "agreement:500+file:/home/me/a.csv", "selection": "topk"}
        folder.record(variant, locale, 30, total=60, predictions=rows, scores=SCORES, recipe=by)
    tree = parsed(page_of(folder))
    (row,) = [row for row in download(tree, "similarity") if row["target"] == "sq-AL"]
    assert {source: row[source] for source in SCORES} == {source: str(score) for source, score in SCORES.items()}
    assert row["af-ZA"] == ""
    assert "Similarity agreement:500+file:path/to/a.csv" in [title.text for title in tree.all("title")]
    assert "share of the target's texts that the source answers as the other sources do" in tree.text
    assert "Has seen: unlabelled." in tree.text
    assert {row["similarity"] for row in download(tree, "difference-similarity")} == {"0.75"}


def test_scores_of_the_original_selection_are_no_similarities(folder: ResultsFolder) -> None:
    folder.record("similarity", "sq-AL", 50, scores=SCORES, recipe={"similarity": "overlap", "selection": "original"})
    assert "these results do not hold it" in parsed(page_of(folder)).text


def licences(tree: Node) -> str:
    (section,) = [node for node in tree.all("section") if node.attributes["aria-labelledby"] == "licences"]
    return section.text


def test_the_licences_of_the_sources_stand_on_the_page(folder: ResultsFolder) -> None:
    folder.record("similarity", "sq-AL", 50, licences={"nl-NL": "mit", "sv-SE": "mit"})
    folder.record("similarity", "af-ZA", 50, sources={"ja-JP": 1.0}, licences={"ja-JP": "other: <mine>"})
    said = licences(parsed(page_of(folder)))
    assert "mit (2: nl-NL, sv-SE). other: <mine> (1: ja-JP). Not known, since no model card names one: de-DE." in said
    assert "A merge is a derivative of all of its sources." in said


def test_one_licence_of_all_is_said_once(folder: ResultsFolder) -> None:
    folder.record("similarity", "sq-AL", 50, licences=dict.fromkeys(("nl-NL", "de-DE", "sv-SE"), "mit"))
    assert "mit (3: all of them)." in licences(parsed(page_of(folder)))


def test_records_of_old_say_that_they_hold_no_licences(folder: ResultsFolder) -> None:
    record, path = folder.record("similarity", "sq-AL", 50), folder.root / "similarity_sq-AL"
    store.write_record(path, record.model_copy(update={"schema_version": 2}), store.read_predictions(path))
    said = licences(parsed(page_of(folder)))
    assert "Results from before records held it: 1" in said
    assert "Not known" not in said


def test_a_measured_similarity_is_left_out_with_a_word(made: ResultsFolder, tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "results")
    written = folder.record("similarity", "sq-AL", 50)
    for name, said in (("overlap", "was measured on models and texts"), ("file:gone.csv", "cannot be had here")):
        recipe = {"similarity": name}
        changed = written.model_copy(update={"model_info": written.model_info.model_copy(update={"recipe": recipe})})
        store.write_record(
            folder.root / "similarity_sq-AL", changed, store.read_predictions(folder.root / "similarity_sq-AL")
        )
        assert f"The similarity {name} {said}" in parsed(page_of(folder)).text


# --- the pictures ------------------------------------------------------------------------------------------------------


def with_recipes(folder: ResultsFolder) -> ResultsFolder:
    """Give the merges the recipe that they would have."""
    for locale in LOCALES:
        for variant in ("similarity", "average"):
            path = store.RunStore(folder.root).folder(variant, locale)
            record = store.read_record(path)
            model = record.model_info.model_copy(update={"recipe": {"similarity": "uriel:syntax_knn"}})
            store.write_record(path, record.model_copy(update={"model_info": model}), store.read_predictions(path))
    return folder


def test_every_picture_says_what_it_shows_and_has_its_data_behind_it(folder: ResultsFolder) -> None:
    tree = parsed(page_of(with_recipes(answered(folder))))
    figures = tree.all("figure")
    titles = []
    for figure in figures:
        (picture,) = figure.all("svg")
        assert picture.attributes["role"] == "img"
        named = [node.attributes["id"] for node in picture.children if node.tag in ("title", "desc")]
        assert picture.attributes["aria-labelledby"].split() == named
        assert all(len(node.text) > 10 for node in picture.children if node.tag in ("title", "desc"))
        (link,) = figure.all("a")
        assert download(tree, link.attributes["download"].removesuffix(".csv"))
        titles.append(picture.all("title")[0].text)
    assert titles == [
        "Own model, merges and zero-shot sources in 4 locales",
        "similarity minus average",
        "Similarity uriel:syntax_knn",
        "Weights of the sources in similarity",
        "Zero-shot transfer",
        "Difference against the similarity of the best source",
    ]


def test_the_data_of_heat_maps_are_those_of_the_store(folder: ResultsFolder) -> None:
    from sprachbund.similarity import load

    tree = parsed(page_of(with_recipes(answered(folder))))
    similar = {row["target"]: row for row in download(tree, "similarity")}
    weights = {row["target"]: row for row in download(tree, "weights-1")}
    everything = {(row["variant"], row["locale"], row["source"]): row["weight"] for row in download(tree, "weights")}
    assert everything["average", "sq-AL", "de-DE"] == "0.5", "equal weights have no picture, and are there"
    assert everything["similarity", "sq-AL", "nl-NL"] == weights["sq-AL"]["nl-NL"]
    transfer = {row["target"]: row for row in download(tree, "transfer")}
    assert float(similar["sq-AL"]["nl-NL"]) == load("uriel:syntax_knn").score("sq-AL", "nl-NL")
    assert (weights["sq-AL"]["nl-NL"], weights["sq-AL"]["af-ZA"]) == ("0.5", "")
    assert float(transfer["he-IL"]["de-DE"]) == 0.28
    (against,) = [row for row in download(tree, "difference-similarity") if row["locale"] == "sq-AL"]
    best = max(load("uriel:syntax_knn").score("sq-AL", source) for source in ("nl-NL", "de-DE", "sv-SE"))
    assert float(against["similarity"]) == best


# --- the form ----------------------------------------------------------------------------------------------------------


def test_it_loads_nothing_from_anywhere(page: str, tree: Node) -> None:
    for node in tree.everything():
        for name in ("src", "href", "xlink:href", "action", "poster", "srcset", "data"):
            value = node.attributes.get(name, "#")
            assert value.startswith(("#", "data:")), f"<{node.tag} {name}={value!r}>"
        assert node.tag not in {"iframe", "object", "embed", "base", "audio", "video"}
    assert set(re.findall(r"url\((.)", page)) <= {"#"}
    assert "@import" not in page


def test_all_that_is_referred_to_is_there_once(tree: Node) -> None:
    ids = [node.attributes["id"] for node in tree.everything() if "id" in node.attributes]
    assert len(ids) == len(set(ids))
    for node in tree.everything():
        for name in ("aria-labelledby", "aria-describedby", "for"):
            assert set(node.attributes.get(name, "").split()) <= set(ids)
        for value in node.attributes.values():
            for found in re.findall(r"^#([\w-]+)$|url\(#([\w-]+)\)", value):
                assert "".join(found) in ids


def test_headings_landmarks_and_tables_are_those_that_readers_expect(tree: Node) -> None:
    levels = [int(node.tag[1]) for node in tree.everything() if re.fullmatch("h[1-6]", node.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    for landmark in ("header", "nav", "main", "footer"):
        assert len(tree.all(landmark)) == 1
    assert tree.all("html")[0].attributes["lang"] == "en"
    assert tree.all("body")[0].children[0].attributes == {"class": "skip", "href": "#main"}
    for found in tree.all("table"):
        assert found.all("caption")[0].text
        assert all(cell.attributes.get("scope") in ("col", "row") for cell in found.all("th"))
        assert all(
            row.children[0].attributes["scope"] == "row" for body in found.all("tbody") for row in body.all("tr")
        )
    assert all(field in label.all("input") for label in tree.all("label") for field in label.all("input"))
    assert len([field for label in tree.all("label") for field in label.all("input")]) == len(tree.all("input"))
    assert not tree.all("div", role="region"), "hundreds of landmarks lead nowhere"
    for region in tree.all("div", role="group"):
        assert region.attributes["tabindex"] == "0"
        assert region.attributes["aria-label"]


def test_the_same_results_give_the_same_page(made: ResultsFolder) -> None:
    assert page_of(made) == page_of(made)


def test_a_page_of_156_results_is_small(full: ResultsFolder) -> None:
    assert len(page_of(full).encode()) <= 3 * MIB


# --- who means harm ----------------------------------------------------------------------------------------------------


def test_nothing_that_comes_of_data_or_models_is_more_than_text(folder: ResultsFolder) -> None:
    intents = tuple(f"{intent}{HOSTILE}" for intent in INTENTS)
    answered(folder, {**VARIANTS, f"x{HOSTILE.replace('/', '_')}": 0.7}, intents)
    folder.failure("similarity", "de-DE", HOSTILE)
    for locale in LOCALES:
        path = store.RunStore(folder.root).folder("similarity", locale)
        record = store.read_record(path)
        said = {"model": f"me/{HOSTILE}", "recipe": {"similarity": f"file:{HOSTILE}"}}
        model = record.model_info.model_copy(update=said)
        data = record.dataset_info.model_copy(update={"notice": HOSTILE, "licence": HOSTILE})
        hostile = record.model_copy(update={"model_info": model, "dataset_info": data})
        store.write_record(path, hostile, store.read_predictions(path))
    texts = {locale: {id_: f'{id_} " onclick="x {HOSTILE}' for id_ in IDS} for locale in LOCALES}
    page = page_of(folder, Texts(texts, HOSTILE), command=f"sprachbund report --out {HOSTILE}")
    tree = parsed(page)
    assert [node.text for node in tree.all("script")] == [" ".join(script().split())]
    assert not [node for node in tree.everything() for name in node.attributes if name.startswith("on")]
    assert tree.text.count(HOSTILE) > 100, "it can be read"
    assert HOSTILE in place(tree, "sq-AL").text


def script() -> str:
    return package_files("sprachbund.report.html").joinpath("templates/page.js").read_text(encoding="utf-8")


def test_browsers_are_told_to_run_this_script_alone(tree: Node) -> None:
    (policy,) = tree.all("meta", **{"http-equiv": "Content-Security-Policy"})
    rules = dict(rule.strip().split(" ", 1) for rule in policy.attributes["content"].split(";"))
    digest = base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()
    assert rules == {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": "'unsafe-inline'",
        "script-src": f"'sha256-{digest}'",
    }


# --- what is passed on says nothing of a machine ---------------------------------------------------------------------


SECRET = "/home/jane doe/attic/models"
AT_HOME = f"{SECRET}/{{locale}}/best"


def at_home(folder: ResultsFolder) -> ResultsFolder:
    """A folder whose every name that may be a path is one."""
    answered(folder, zoo=AT_HOME)
    for locale in LOCALES:
        path = store.RunStore(folder.root).folder("similarity", locale)
        record = store.read_record(path)
        said = {"model": f"{SECRET}/merged_{locale}", "recipe": {"similarity": f"file:{SECRET}/mine.csv"}}
        changed = record.model_copy(update={"model_info": record.model_info.model_copy(update=said)})
        store.write_record(path, changed, store.read_predictions(path))
    folder.failure(
        "average",
        "de-DE",
        f"There is no folder {SECRET}/de-DE/best, nor /home/else/hidden/y.",
        zoo=AT_HOME,
    )
    (folder.root / "average_sq-AL" / "predictions.csv").unlink()
    return folder


def test_no_path_of_this_machine_stands_on_the_page(folder: ResultsFolder) -> None:
    page = unquote(page_of(at_home(folder), Texts({}, f"Sentences are those of {SECRET}/data.csv.")))
    assert "path/to/{locale}/best" in page, "the zoo is still told"
    assert "merged_sq-AL" in page
    assert "file:path/to/mine.csv" in page
    for part in ("/home", "jane", "attic", str(folder.root.parent)):
        assert part not in page


# --- what it costs -----------------------------------------------------------------------------------------------------


def test_no_model_library_is_loaded_for_it(made: ResultsFolder, tmp_path: Path) -> None:
    code = f"""
import sys
from datetime import datetime
from pathlib import Path
from sprachbund.report import load, read_answers, summarise, write_html
from sprachbund.report.analysis import analyse
results = load(Path({str(made.root)!r}))
answers = read_answers(Path({str(made.root)!r}), results)
analysis = analyse(results, answers, resamples=10, macro_f1_resamples=0)
write_html(Path({str(tmp_path / "new" / "page.html")!r}), results, summarise(results), answers, analysis,
           when=datetime.now(), command="")
print(*{{name.split(".")[0] for name in sys.modules}})
"""
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"matplotlib", "jinja2"} <= {*loaded}
    assert {"torch", "transformers"}.isdisjoint(loaded)
    assert (tmp_path / "new" / "page.html").stat().st_size > 50_000
