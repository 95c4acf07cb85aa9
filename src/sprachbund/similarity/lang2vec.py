"""URIEL's feature tables as lang2vec 1.1.2 carries them, and cosines of their rows: for any of 7,970 languages.

The package is never imported: that would need ``pkg_resources``, which current setuptools no longer has, and all that is
wanted are the ``.npz`` files in it: ``data [7970 languages, features, 1 source]``, with ``langs`` and ``feats`` naming the
axes. A feature that nobody knows is −1 there; only ``syntax_average`` has such gaps, the ``_knn`` tables are filled.

Two languages are compared by the features that both have: their cosine is taken over these alone. Where they share none, or
one has nothing but zeros among them (a language without relatives in ``fam``), no number stands for that, and it is an error.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sprachbund import locales
from sprachbund.errors import DataError, UnknownName
from sprachbund.similarity.matrix import FloatArray

__all__ = ["FEATURE_SETS", "RELEASE", "FeatureSet", "code_of", "cosines", "installed", "read_vectors"]

RELEASE = "lang2vec 1.1.2"
SHA256 = {
    "feature_predictions.npz": "0e8af1bdb29e1bd71343d495d4fd4e1cd523e934e6d5fa42b72262ca8d8151b8",
    "feature_averages.npz": "7f3e883719feabbda4f7243396338bb727c0791e60c3d39fd00f992b015f93bf",
    "geocoord_features.npz": "d7364bd05ecd2f7075755b8361aff6a6cda82519c11c98d7e88bda817bd353ab",
    "family_features.npz": "e814e0588c0263297c76ddfc9c2744937a52233a4ed525ba5bc86ffc54958fb3",
    "letter_codes.json": "2a862d0d93418460a03b18a9dc091c91102d23dfcd40ec0eac17582cdc1712d3",
}
"""Of the release: another one would give another similarity under the same name."""


@dataclass(frozen=True)
class FeatureSet:
    """One of URIEL's feature sets."""

    name: str
    table: str
    prefix: str
    """With which the names of its features begin in a table that holds several sets."""
    features: int
    description: str


FEATURE_SETS = {
    found.name: found
    for found in (
        FeatureSet("syntax_knn", "feature_predictions.npz", "S_", 103, "syntax, gaps filled from nearest neighbours"),
        FeatureSet(
            "syntax_average", "feature_averages.npz", "S_", 103, "syntax, mean over sources; only what both have"
        ),
        FeatureSet("phonology_knn", "feature_predictions.npz", "P_", 28, "phonology, gaps filled"),
        FeatureSet("inventory_knn", "feature_predictions.npz", "INV_", 158, "sounds of the language, gaps filled"),
        FeatureSet("geo", "geocoord_features.npz", "", 299, "closeness to 299 points of the globe"),
        FeatureSet("fam", "family_features.npz", "", 3718, "membership in families and their branches"),
    )
}


def installed() -> Path | None:
    """Return the folder of the installed package, None if there is none; nothing is imported.

    Its metadata are asked, not the import system: lang2vec brings a script of its own name, which stands first in the path of
    whatever is started beside it.
    """
    try:
        folder = Path(str(importlib.metadata.distribution("lang2vec").locate_file("lang2vec")))
    except importlib.metadata.PackageNotFoundError:
        return None
    return folder if (folder / "data").is_dir() else None


def code_of(locale: str, features: FeatureSet, lang2vec: Path) -> str:
    """Return the code under which a table knows the language of a locale, of the 52 or not (``eu-ES``, ``eus``, ``eu``)."""
    if locale in locales.names():
        known = locales.locale(locale)
        return known.lang2vec_code_fam if features.name == "fam" else known.lang2vec_code
    language = locale.replace("_", "-").partition("-")[0].lower()
    return str(json.loads(_read(lang2vec, "letter_codes.json")).get(language, language))


def read_vectors(lang2vec: Path, features: FeatureSet, wanted: Sequence[str]) -> FloatArray:
    """Return the features of each locale's language, [n, features]; NaN where nobody knows.

    ``lang2vec`` is the installed folder or the wheel.

    Raises:
        DataError: it is another release.
        UnknownName: there is no such language.
    """
    codes = [code_of(locale, features, lang2vec) for locale in wanted]
    with np.load(io.BytesIO(_read(lang2vec, features.table)), allow_pickle=False) as arrays:
        row_of = {str(code): row for row, code in enumerate(arrays["langs"])}
        for code in codes:
            if code not in row_of:
                raise UnknownName("language code", code, row_of, "URIEL knows languages by their ISO 639-3 codes.")
        mine = np.char.startswith(arrays["feats"], features.prefix)
        found: FloatArray = arrays["data"][[row_of[code] for code in codes]][:, mine, 0].astype(np.float64)
    return np.where(found >= 0, found, np.nan)


def cosines(vectors: FloatArray, names: Sequence[str], what: str) -> FloatArray:
    """Return the cosine of every pair over the features that both have, [n, n].

    Raises:
        DataError: two have none in common, or nothing but zeros.
    """
    has = (~np.isnan(vectors)).astype(np.float64)
    known = np.nan_to_num(vectors, nan=0.0)
    lengths = np.square(known) @ has.T  # [i, j]: squared length of i over the features that j has too
    products = np.sqrt(lengths * lengths.T)
    empty = np.argwhere(products == 0)
    if len(empty):
        one, other = (names[place] for place in empty[0])
        raise DataError(
            f"URIEL's {what} knows nothing that {one} and {other} could be compared by: use another similarity "
            "(uriel:syntax_knn has all languages), or a table of your own (--similarity file:matrix.csv)."
        )
    values: FloatArray = np.minimum(known @ known.T / products, 1.0)
    np.fill_diagonal(values, 1.0)
    return (values + values.T) / 2  # the two halves may differ in the last bit


def _read(lang2vec: Path, name: str) -> bytes:
    """Return the bytes of a file of the package, from a wheel or a folder."""
    if lang2vec.is_dir():
        content = (lang2vec / "data" / name).read_bytes()
    else:
        with zipfile.ZipFile(lang2vec) as wheel:
            content = wheel.read(f"lang2vec/data/{name}")
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256[name]:
        raise DataError(f"{lang2vec}: {name} has SHA-256 {digest}, not that of {RELEASE}, {SHA256[name]}.")
    return content
