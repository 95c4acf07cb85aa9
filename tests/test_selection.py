"""Who takes part: against a brute-force reading of the definitions, and the original's own choices."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sprachbund import selection
from sprachbund.errors import MixError, UnknownName, UserError
from sprachbund.selection import SELECTIONS, Selection, select
from sprachbund.similarity import SimilarityMatrix, load
from sprachbund.weighting import weigh

ORIGINAL = {
    "af-ZA": {"hy-AM": 0.326787, "hu-HU": 0.267707, "ka-GE": 0.207052, "lv-LV": 0.106605, "nl-NL": 0.091849},
    "sq-AL": {"cy-GB": 0.300992, "fi-FI": 0.224847, "nl-NL": 0.165948, "he-IL": 0.160633, "fr-FR": 0.147580},
    "ta-IN": {"my-MM": 0.309114, "te-IN": 0.192951, "kn-IN": 0.183446, "ja-JP": 0.163234, "mn-MN": 0.151255},
}
"""The original's weights of three locales, best first."""

NEAREST = {
    "af-ZA": ("nl-NL", "de-DE", "en-US", "sv-SE", "da-DK"),
    "sq-AL": ("ro-RO", "el-GR", "pt-PT", "pl-PL", "sl-SL"),
    "ta-IN": ("te-IN", "kn-IN", "ml-IN", "bn-BD", "am-ET"),
}
"""The five most similar by plain cosine, best first."""

LOCALES = ("af-ZA", "de-DE", "en-US", "ja-JP", "nl-NL", "sq-AL")


def made_up(seed: int) -> SimilarityMatrix:
    """An asymmetric matrix in steps of 1/4: ties abound, and the own source is not always the best."""
    values = np.random.default_rng(seed).integers(-3, 5, size=(6, 6)) / 4
    return SimilarityMatrix(LOCALES, values, "test", "made up", frozenset({"nothing"}))


def by_definition(matrix: SimilarityMatrix, target: str, pool: list[str], k: int, include_target: bool) -> list[str]:
    """Of all candidates in matrix order, take the best k; the target is in if it must be."""

    def place(source: str) -> tuple[float, int]:
        return (-matrix.score(target, source), LOCALES.index(source))

    others = sorted((source for source in pool if source != target), key=place)
    return sorted([target, *others[: k - 1]], key=place) if include_target else others[:k]


@settings(deadline=None)
@given(st.integers(0, 10_000), st.permutations(LOCALES), st.integers(1, 4), st.sampled_from(LOCALES), st.booleans())
def test_topk_equals_its_definition(seed: int, order: list[str], k: int, target: str, include_target: bool) -> None:
    matrix = made_up(seed)
    pool = [source for source in order if source in order[:5] or source == target]
    chosen = select("topk", matrix, target, pool=pool, k=k, include_target=include_target)
    assert list(chosen.sources) == by_definition(matrix, target, pool, k, include_target)
    assert list(chosen.scores) == [matrix.score(target, source) for source in chosen.sources]
    assert len(chosen.sources) == k
    assert (target in chosen.sources) == include_target


@settings(deadline=None)
@given(st.integers(0, 10_000), st.permutations(LOCALES))
@pytest.mark.parametrize("name", SELECTIONS)
def test_the_order_of_the_pool_changes_nothing(name: str, seed: int, pool: list[str]) -> None:
    matrix = SimilarityMatrix(LOCALES, np.abs(made_up(seed).values), "test", "", frozenset({"nothing"}))
    once = select(name, matrix, "ja-JP", pool=LOCALES, k=1)
    assert select(name, matrix, "ja-JP", pool=[*pool, pool[0]], k=1) == once


def test_reads_the_row_of_the_target_not_its_column() -> None:
    values = np.zeros((6, 6))
    values[LOCALES.index("sq-AL"), LOCALES.index("nl-NL")] = 0.9  # nl-NL is a good source for sq-AL
    values[LOCALES.index("de-DE"), LOCALES.index("sq-AL")] = 0.9  # sq-AL is a good source for de-DE
    matrix = SimilarityMatrix(LOCALES, values, "test", "", frozenset({"nothing"}))
    assert select("topk", matrix, "sq-AL", k=1).sources == ("nl-NL",)


def test_the_own_source_is_one_of_the_k_even_if_it_is_the_worst() -> None:
    values = np.full((6, 6), 0.5)
    np.fill_diagonal(values, 0.1)
    matrix = SimilarityMatrix(LOCALES, values, "test", "", frozenset({"nothing"}))
    chosen = select("topk", matrix, "ja-JP", k=3, include_target=True)
    assert chosen == Selection(("af-ZA", "de-DE", "ja-JP"), (0.5, 0.5, 0.1), "topk")
    assert select("topk", matrix, "ja-JP", k=1, include_target=True).sources == ("ja-JP",)


def test_identical_languages_tie_in_matrix_order() -> None:
    chosen = select("topk", load("uriel:syntax_knn"), "zh-TW", k=2, include_target=True)
    assert chosen == Selection(("zh-CN", "zh-TW"), (1.0, 1.0), "topk")


@pytest.mark.parametrize("target", NEAREST)
def test_topk_by_uriel(target: str) -> None:
    uriel = load("uriel:syntax_knn")
    chosen = select("topk", uriel, target)
    assert chosen.sources == NEAREST[target]
    assert chosen.scores == tuple(uriel.score(target, source) for source in NEAREST[target])
    assert chosen.name == "topk"


@pytest.mark.parametrize("target", ORIGINAL)
def test_original_by_uriel(target: str) -> None:
    chosen = select("original", load("uriel:syntax_knn"), target)
    assert chosen.sources == tuple(ORIGINAL[target])
    weights = weigh("proportional", chosen.scores).tolist()
    assert weights == pytest.approx(list(ORIGINAL[target].values()), rel=0, abs=1e-6)
    assert chosen.name == "original"


def test_original_and_topk_of_all_locales() -> None:
    shared = os.environ.get("SPRACHBUND_SHARED")
    if not shared:
        pytest.skip("SPRACHBUND_SHARED is not set: the full reference tables are not at hand")
    text = (Path(shared) / "golden" / "uriel_syntax_knn_top5_52.json").read_text(encoding="utf-8")
    uriel = load("uriel:syntax_knn")
    for target, expected in json.loads(text).items():
        original, topk = select("original", uriel, target), select("topk", uriel, target)
        weights = weigh("proportional", original.scores).tolist()
        dense = [(score + 1) / 2 for score in topk.scores]
        assert list(original.sources) == [source for source, _ in expected["sinkhorn_top5"]]
        assert weights == pytest.approx([weight for _, weight in expected["sinkhorn_top5"]], rel=0, abs=1e-6)
        assert list(topk.sources) == [source for source, _ in expected["raw_cosine_top5"]]
        assert dense == pytest.approx([score for _, score in expected["raw_cosine_top5"]], rel=0, abs=1e-6)


def test_original_agrees_with_similarity_on_fewer_than_two_of_five() -> None:
    uriel = load("uriel:syntax_knn")
    shared = [
        len(set(select("original", uriel, target).sources) & set(select("topk", uriel, target).sources))
        for target in uriel.locales
    ]
    assert sum(shared) == 97  # 1.87 of 5 over 52 locales


def test_original_normalises_over_the_whole_matrix_whatever_the_pool() -> None:
    uriel = load("uriel:syntax_knn")
    everyone = select("original", uriel, "sq-AL", k=20)
    without_the_best = [source for source in uriel.locales if source != "cy-GB"]
    chosen = select("original", uriel, "sq-AL", pool=without_the_best, k=4)
    assert (chosen.sources, chosen.scores) == (everyone.sources[1:5], everyone.scores[1:5])


def test_original_takes_positive_entries_only() -> None:
    uriel = load("uriel:syntax_knn")
    assert min(select("original", uriel, "sq-AL", k=20).scores) > 0
    with pytest.raises(MixError, match=r"21 sources are asked for sq-AL, but the pool has 20 with a positive entry"):
        select("original", uriel, "sq-AL", k=21)


def test_original_cannot_include_the_target() -> None:
    with pytest.raises(UserError, match=r"no diagonal\. Use --selection topk"):
        select("original", load("uriel:syntax_knn"), "sq-AL", include_target=True)


@pytest.mark.parametrize("k", [1, 3, 99])
def test_all_is_all_whatever_k(k: int) -> None:
    matrix = made_up(0)
    chosen = select("all", matrix, "ja-JP", pool=["sq-AL", "ja-JP", "de-DE"], k=k)
    assert set(chosen.sources) == {"sq-AL", "de-DE"}
    assert chosen.scores == tuple(sorted(chosen.scores, reverse=True))
    included = select("all", matrix, "ja-JP", pool=["sq-AL", "ja-JP", "de-DE"], k=k, include_target=True)
    assert set(included.sources) == {"sq-AL", "ja-JP", "de-DE"}
    assert chosen.name == "all"


@pytest.mark.parametrize(
    ("name", "pool", "k", "include_target", "message"),
    [
        (
            "topk",
            ["de-DE", "ja-JP"],
            2,
            False,
            r"2 sources are asked for ja-JP, but the pool has 1 \(its own left out\)",
        ),
        (
            "topk",
            ["de-DE", "ja-JP"],
            3,
            True,
            r"3 sources .* has 2 \(its own included\): ask for at most 2 \(--num-languages\), or add",
        ),
        ("topk", ["ja-JP"], 1, False, r"1 source is asked .* has 0 \(its own left out\): add sources"),
        ("topk", [], 1, False, "has 0"),
        ("topk", LOCALES, 0, False, "k = 0"),
        ("topk", ["de-DE"], 1, True, r"ja-JP is not in the pool of 1"),
        ("original", ["de-DE"], 2, False, "2 sources are asked for ja-JP, but the pool has 1 with a positive entry"),
        ("original", LOCALES, -1, False, "k = -1"),
        ("all", ["ja-JP"], 5, False, "has 0"),
    ],
)
def test_what_cannot_be_selected(name: str, pool: list[str], k: int, include_target: bool, message: str) -> None:
    matrix = SimilarityMatrix(LOCALES, np.full((6, 6), 0.5), "test", "", frozenset({"nothing"}))
    with pytest.raises(MixError, match=message):
        select(name, matrix, "ja-JP", pool=pool, k=k, include_target=include_target)


@pytest.mark.parametrize("name", SELECTIONS)
def test_unknown_names_get_a_suggestion(name: str) -> None:
    with pytest.raises(UnknownName, match="did you mean ja-JP"):
        select(name, made_up(0), "ja-jp", k=1)
    with pytest.raises(UnknownName, match="did you mean sq-AL"):
        select(name, made_up(0), "ja-JP", pool=["sq-XK"], k=1)


def test_an_unknown_selection_gets_a_suggestion() -> None:
    with pytest.raises(UnknownName, match="did you mean topk"):
        select("top-k", made_up(0), "ja-JP")


def test_the_public_surface_is_there() -> None:
    assert selection.__all__ == sorted(selection.__all__)
    assert all(hasattr(selection, name) for name in selection.__all__)
    assert list(SELECTIONS) == ["topk", "original", "all"]


def test_selecting_and_weighing_load_nothing_heavy() -> None:
    program = """
import sys
import sprachbund.similarity, sprachbund.selection, sprachbund.weighting
chosen = sprachbund.selection.select("original", sprachbund.similarity.load("uriel:syntax_knn"), "sq-AL")
sprachbund.weighting.weigh("similarity", chosen.scores)
heavy = {"torch", "transformers", "scipy", "pyarrow", "huggingface_hub"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "[]", "")
