"""Similarities from URIEL+ (Khan et al. 2025, https://aclanthology.org/2025.coling-main.463/), where it is installed.

URIEL+ adds data bases to URIEL (Grambank, APiCS, eWAVE, Glottolog, …) and compares two languages by the angle between the
features that both have. The similarity is 1 − its distance. The package carries its data, so nothing is fetched; to join its
data bases takes it a minute or two, so the table is kept in the cache folder.

Of its kinds the syntax is here: it knows every pair of the 52 locales, phonology and inventory do not. Where URIEL+ says −1, it
knows nothing that two languages share: that is an error, and no similarity.
"""

from __future__ import annotations

import csv
import importlib
import importlib.util
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache as cache_in_memory
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from sprachbund import cache, digests, files, locales
from sprachbund.errors import DataError, UnknownName, UserError
from sprachbund.similarity.matrix import FloatArray, SimilarityMatrix, parse, write_csv
from sprachbund.similarity.names import SIMILARITIES, Similarity

__all__ = ["KINDS", "similarity_of"]

KINDS = {"syntactic": "syntax"}
"""Kinds of distance, with what they are about."""
SOURCE = "URIEL+ (Khan et al. 2025), CC BY-SA 4.0"


def similarity_of(kind: str, wanted: Sequence[str]) -> SimilarityMatrix:
    """Return the table of the 52 locales and of whatever others are wanted; symmetric, diagonal 1.

    Raises:
        UserError: urielplus is not installed.
        DataError: it knows too little of a language.
        UnknownName: there is no such language.
    """
    spec = importlib.util.find_spec("urielplus")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"The similarity urielplus:{kind} comes from a package that is not installed: pip install urielplus, "
            "or take another one (sprachbund similarity --list)."
        )
    names = tuple(dict.fromkeys((*locales.names(), *wanted)))
    release = version("urielplus")
    path = cache.folder() / "similarities" / f"urielplus-{kind}-{digests.of_value([release, list(names)])[:16]}.csv"
    known = _known(path, names)
    if known is not None:
        return known
    table = SimilarityMatrix(
        names,
        1 - _distances(kind, names, Path(spec.submodule_search_locations[0])),
        f"urielplus:{kind}",
        f"1 - {kind} distance, from urielplus {release}: {SOURCE}",
        frozenset({"nothing"}),
    )
    files.write_text(path, write_csv(table))
    return table


def _known(path: Path, names: tuple[str, ...]) -> SimilarityMatrix | None:
    """Return a table that was made before; what is no such table is made anew."""
    try:
        found = parse(path.read_text(encoding="utf-8"), f"urielplus:{path.name.split('-')[1]}")
    except (FileNotFoundError, UnicodeDecodeError, DataError):
        return None
    return found if found.locales == found.targets == names else None


def _distances(kind: str, names: Sequence[str], package: Path) -> FloatArray:
    """Return the distances [n, n], in [0, 1], of the languages of these locales."""
    glottocodes = _glottocodes(package)
    codes = [_code(name, glottocodes) for name in names]
    different = list(dict.fromkeys(codes))  # zh-CN and zh-TW are one language
    with _silenced():
        found = np.asarray(_database().new_distance(kind, different), dtype=np.float64)
    places = [different.index(code) for code in codes]
    distances: FloatArray = found[np.ix_(places, places)]
    empty = np.argwhere(distances < 0)
    if len(empty):
        one, other = (names[place] for place in empty[0])
        raise DataError(
            f"URIEL+ has no {kind} features that {one} and {other} could be compared by: use another similarity "
            "(uriel:syntax_knn has all languages), or a table of your own (--similarity file:matrix.csv)."
        )
    return distances


@cache_in_memory
def _database() -> Any:
    """Return URIEL+ with all its data bases joined."""
    database = importlib.import_module("urielplus.urielplus").URIELPlus()
    database.integrate_databases()
    return database


@contextmanager
def _silenced() -> Iterator[None]:
    """Keep the package from telling each of its steps, and from setting up the log of the whole program."""
    before, handlers = logging.root.manager.disable, list(logging.root.handlers)
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
        logging.root.handlers[:] = handlers


def _glottocodes(package: Path) -> Mapping[str, str]:
    """Return Glottolog's codes by ISO 639-3, as URIEL+ maps them; macro-languages have none there."""
    table = package / "database" / "urielplus_csvs" / "uriel_glottocode_map.csv"
    with table.open(encoding="utf-8", newline="") as stream:
        return {row[0]: row[1] for row in csv.reader(stream) if row[1]}


def _code(name: str, glottocodes: Mapping[str, str]) -> str:
    """Return the code of a locale's language: the one that URIEL has its syntax under, if there is one, else ISO 639-3."""
    if name in locales.names():
        known = locales.locale(name)
        language = known.lang2vec_code if known.lang2vec_code in glottocodes else known.iso639_3
    else:
        language = name.replace("_", "-").partition("-")[0].lower()
    if language not in glottocodes:
        raise UnknownName("language code", language, glottocodes, "URIEL+ knows languages by their ISO 639-3 codes.")
    return glottocodes[language]


for _kind, _description in KINDS.items():
    SIMILARITIES.add(
        f"urielplus:{_kind}",
        Similarity(
            partial(similarity_of, _kind), f"{_description}; 1 − angular distance", SOURCE, needs="urielplus installed"
        ),
    )
