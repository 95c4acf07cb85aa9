"""Similarities from URIEL, the typological knowledge base (Littell et al. 2017, https://aclanthology.org/E17-2002/).

URIEL describes a language by yes/no features; the similarity of two languages is the cosine of their feature vectors.
Only the finished table of cosines is in this package (``tools/make_uriel.py`` makes it from the released feature
tables), beside its licence: it is CC BY-SA 4.0, unlike the code.

The table keeps every bit of its numbers. Some cosines that are equal on paper differ in the last one: of four
languages that share the twentieth place in Tamil's row, Chinese (twice) stands a bit above Finnish and Icelandic, so
the original experiment kept two of the four. Its published figures hang on that.
"""

from __future__ import annotations

from importlib.resources import files

from sprachbund.similarity.matrix import SIMILARITIES, SimilarityMatrix, read_csv

__all__ = ["syntax_knn"]


@SIMILARITIES.register("uriel:syntax_knn")
def syntax_knn() -> SimilarityMatrix:
    """Return cosines of the 103 syntax features, gaps filled from nearest neighbours; symmetric, diagonal 1."""
    return read_csv(
        files("sprachbund.similarity").joinpath("uriel_data/syntax_knn.csv").read_text(encoding="utf-8"),
        name="uriel:syntax_knn",
        provenance="cosines of URIEL's syntax_knn features, from lang2vec 1.1.2 (Littell et al. 2017), CC BY-SA 4.0",
        uses=frozenset({"nothing"}),
    )
