"""Similarities from URIEL, the typological knowledge base (Littell et al. 2017, https://aclanthology.org/E17-2002/).

URIEL describes a language by features; the similarity of two languages is the cosine of their feature vectors, over the
features that both have (only ``syntax_average`` has gaps: of its 103 features two of the 52 locales share between 12 and 102).
The finished tables of cosines of the 52 locales are in this package (``tools/make_uriel.py`` makes them from the released
feature tables), beside their licence: it is CC BY-SA 4.0, unlike the code. Any other language is compared as soon as lang2vec
is installed, which carries the features.

The tables keep every bit of their numbers. Some cosines that are equal on paper differ in the last one: of four
languages that share the twentieth place in Tamil's row, Chinese (twice) stands a bit above Finnish and Icelandic, so
the original experiment kept two of the four. Its published figures hang on that.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from importlib.resources import files

from sprachbund.errors import DataError
from sprachbund.similarity.lang2vec import FEATURE_SETS, RELEASE, FeatureSet, cosines, installed, read_vectors
from sprachbund.similarity.matrix import SimilarityMatrix, read_csv
from sprachbund.similarity.names import SIMILARITIES, Similarity

__all__ = ["shipped", "similarity_of"]

SOURCE = f"{RELEASE} (Littell et al. 2017), CC BY-SA 4.0"


def similarity_of(features: FeatureSet, wanted: Sequence[str]) -> SimilarityMatrix:
    """Return the table of the 52 and, beyond them, of whatever locales or language codes are wanted.

    Raises:
        DataError: lang2vec is needed and not installed, or URIEL knows too little of a language.
        UnknownName: there is no such language.
    """
    table = shipped(features)
    others = tuple(locale for locale in dict.fromkeys(wanted) if locale not in table.locales)
    return _extended(table, features, others) if others else table


@cache
def shipped(features: FeatureSet) -> SimilarityMatrix:
    """Return the cosines of the 52 locales; symmetric, diagonal 1."""
    table = files("sprachbund.similarity").joinpath(f"uriel_data/{features.name}.csv")
    return read_csv(
        table.read_text(encoding="utf-8"),
        name=f"uriel:{features.name}",
        provenance=_provenance(features),
        uses=frozenset({"nothing"}),
    )


@cache
def _extended(table: SimilarityMatrix, features: FeatureSet, others: tuple[str, ...]) -> SimilarityMatrix:
    """Return the table with more languages, computed like the rest; what was in it stays as it is, bit by bit."""
    lang2vec = installed()
    if lang2vec is None:
        raise DataError(
            f"The similarity {table.name} has the {len(table.locales)} locales of MASSIVE at hand, and {', '.join(others)} "
            "is none of them: pip install lang2vec, which has all languages, or bring a table of your own "
            "(--similarity file:matrix.csv)."
        )
    names = (*table.locales, *others)
    values = cosines(read_vectors(lang2vec, features, names), names, features.name)
    values[: len(table.locales), : len(table.locales)] = table.values
    return SimilarityMatrix(names, values, table.name, table.provenance, table.uses)


def _provenance(features: FeatureSet) -> str:
    return f"cosines of URIEL's {features.name} features, from {SOURCE}"


for _set in FEATURE_SETS.values():
    SIMILARITIES.add(
        f"uriel:{_set.name}",
        Similarity(
            make=partial(similarity_of, _set),
            description=f"{_set.description}; cosine of {_set.features} features",
            provenance=SOURCE,
        ),
    )
