"""Who is like whom: named locale-by-locale matrices, and what can be done with their rows.

A similarity answers one question, "how good is this source for that target?", with one number. Selections and
weightings read these numbers; none of them knows where a matrix comes from. Every module in this package registers
its matrices in :data:`SIMILARITIES` when it is imported, and all of them are imported here, so that adding a
similarity is adding a file.
"""

from __future__ import annotations

import importlib
import pkgutil

from sprachbund.similarity.matrix import SimilarityMatrix, mean_of, parse, read_csv, write_csv
from sprachbund.similarity.names import MEASURED, PREFIXES, SIMILARITIES, Similarity, is_measured, load, measured, parts
from sprachbund.similarity.sinkhorn import sinkhorn_normalised
from sprachbund.similarity.topk import top_k

__all__ = [
    "MEASURED",
    "PREFIXES",
    "SIMILARITIES",
    "Similarity",
    "SimilarityMatrix",
    "is_measured",
    "load",
    "mean_of",
    "measured",
    "parse",
    "parts",
    "read_csv",
    "sinkhorn_normalised",
    "top_k",
    "write_csv",
]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
