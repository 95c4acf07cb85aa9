"""One setup, all of its records, and what should be there besides."""

from __future__ import annotations

from pathlib import Path

import pytest
from results_folder import ZOO, ResultsFolder

from sprachbund import recipe
from sprachbund.errors import StoreError, UnknownName
from sprachbund.report import EXPECTED_VARIANTS, Setup, load, setups


def test_expected_variants_are_those_of_the_experiment() -> None:
    assert EXPECTED_VARIANTS == recipe.SEED_VARIANTS


def test_reads_156_records_in_the_order_of_columns_and_locales(full: ResultsFolder) -> None:
    results = full.load()
    assert tuple(results.records) == results.expected
    assert len(results.expected) == 156
    assert results.expected[:2] == (("baseline", "af-ZA"), ("baseline", "am-ET"))
    assert len(results.transfers) == 52


def test_a_setup_is_data_revision_split_and_zoo(small: ResultsFolder) -> None:
    results = small.load()
    assert results.setup == Setup("cldr", "CLDR 47, seed 0", "test", ZOO)
    assert setups(results.everything) == {results.setup: 8}


def test_other_variants_are_expected_everywhere_too(small: ResultsFolder) -> None:
    small.record("ties", "nl-NL", 1)
    small.failure("average-all", "nl-NL", "no space left")
    results = small.load()
    assert results.variants == ("baseline", "similarity", "average", "average-all", "ties")
    assert len(results.expected) == 5 * 52


def test_of_the_main_job_all_three_are_expected_as_long_as_there_is_nothing_else(folder: ResultsFolder) -> None:
    folder.record("similarity", "nl-NL", 1)
    assert folder.load().variants == EXPECTED_VARIANTS
    folder.record("auto", "nl-NL", 1)
    assert folder.load().variants == ("similarity", "auto")


def test_a_record_without_a_prefix_is_kept_out_of_the_comparison(small: ResultsFolder) -> None:
    record = small.record("", "nl-NL", 77, folder="some-model_nl-NL")
    results = small.load()
    assert results.unnamed == (record,)
    assert results.everything[-1] == record
    assert "" not in results.variants


def test_a_missing_folder_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"nowhere does not exist: name another, or run `sprachbund experiment`"):
        load(tmp_path / "nowhere")


def test_a_file_is_no_folder_of_results(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(StoreError, match=r"results\.json is a file, not a folder of results: name the folder"):
        load(path)


def test_an_empty_folder_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"holds no results: name another, or run `sprachbund experiment`"):
        load(tmp_path)


def test_a_folder_of_failures_tells_the_first(folder: ResultsFolder) -> None:
    folder.failure("average", "sq-AL", "no space left")
    folder.failure("similarity", "sq-AL", "no space left")
    with pytest.raises(
        StoreError, match=r"only 2 failed cells \(the first: average for sq-AL: ValueError: no space left"
    ):
        folder.load()


@pytest.mark.parametrize(
    ("other", "flag"),
    [
        ({"data": "massive"}, "--data NAME"),
        ({"revision": "CLDR 48, seed 0"}, "--data NAME"),
        ({"zoo": "my-org/{locale}"}, "--zoo NAME"),
        ({"split": "dev"}, "--split NAME"),
    ],
)
def test_mixed_setups_are_refused(small: ResultsFolder, other: dict[str, str], flag: str) -> None:
    small.record("similarity", "sq-AL", 50, **other)  # type: ignore[arg-type]
    with pytest.raises(StoreError) as caught:
        small.load()
    message = str(caught.value)
    assert "2 setups, which are never compared" in message
    assert "8 records" in message
    assert "1 records" in message
    assert next(iter(other.values())) in message
    assert message.split("choose one with ")[1].startswith(flag)
    assert message.count("--") == 1


def test_filters_choose_a_setup(small: ResultsFolder) -> None:
    small.record("similarity", "sq-AL", 50, data="massive", zoo="my-org/{locale}", split="dev")
    small.record("similarity", "am-ET", 50, data="massive-mini", zoo="my-org/{locale}", split="dev")
    assert small.load(data="cldr").setup.data == "cldr"
    assert small.load(data="massive").setup.data == "massive", "an equal name wins over one that contains it"
    assert small.load(data="MINI").setup.data == "massive-mini"
    assert small.load(zoo="embedded").setup.zoo == ZOO
    assert small.load(split="dev", data="mini").setup.split == "dev"
    assert len(small.load(data="massive").records) == 1


def test_a_filter_can_name_the_revision(small: ResultsFolder) -> None:
    small.record("similarity", "sq-AL", 50, revision="CLDR 48, seed 0")
    assert small.load(data="cldr 48").setup.revision == "CLDR 48, seed 0"


def test_a_filter_that_leaves_several_is_refused(small: ResultsFolder) -> None:
    small.record("similarity", "sq-AL", 50, data="massive")
    small.record("similarity", "am-ET", 50, data="massive-mini")
    with pytest.raises(StoreError, match="2 setups"):
        small.load(data="mass")


def test_a_filter_that_fits_nothing_says_what_is_there(small: ResultsFolder) -> None:
    with pytest.raises(UnknownName, match="Unknown data set 'cldrr': did you mean cldr"):
        small.load(data="cldrr")
    with pytest.raises(UnknownName, match=f"known: {ZOO}"):
        small.load(zoo="haryoaw")


def test_two_results_for_one_cell_are_refused(small: ResultsFolder) -> None:
    small.record("similarity", "af-ZA", 61, folder="similarity_af-ZA_copy")
    with pytest.raises(StoreError, match="two results of similarity for af-ZA"):
        small.load()


def test_one_locale_evaluated_on_different_rows_is_refused(small: ResultsFolder) -> None:
    small.record("average", "sq-AL", 50)
    small.record("similarity", "sq-AL", 50, rows="other rows")
    with pytest.raises(StoreError, match="different rows of cldr for sq-AL"):
        small.load()


def test_a_failure_counts_until_a_record_follows(small: ResultsFolder) -> None:
    small.failure("similarity", "sq-AL", "no space left")
    small.failure("similarity", "am-ET", "no space left")
    small.record("similarity", "am-ET", 50)
    assert [(failure.variant, failure.locale) for failure in small.load().failures] == [("similarity", "sq-AL")]


def test_transfers_of_another_zoo_data_or_split_are_left_out(small: ResultsFolder) -> None:
    small.transfer("de-DE", {"nl-NL": 99}, zoo="another")
    small.transfer("sv-SE", {"nl-NL": 99}, data="massive")
    small.transfer("da-DK", {"nl-NL": 99}, split="dev")
    assert [transfer.source for transfer in small.load().transfers] == ["af-ZA", "en-US", "nl-NL"]


def test_a_transfer_cell_of_other_rows_is_left_out(small: ResultsFolder) -> None:
    small.transfer("de-DE", {"nl-NL": 99, "af-ZA": 55, "sq-AL": 44}, rows={"nl-NL": "old", "sq-AL": "unknown"})
    results = small.load()
    german = next(transfer for transfer in results.transfers if transfer.source == "de-DE")
    assert set(german.cells) == {"af-ZA", "sq-AL"}, "no record says which rows sq-AL should have"
    assert results.left_out == 1
