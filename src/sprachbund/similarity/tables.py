"""A similarity from a table of one's own: ``file:matrix.csv``, in the form that ``sprachbund similarity --out`` writes."""

from __future__ import annotations

from pathlib import Path

from sprachbund.errors import DataError
from sprachbund.similarity.matrix import SimilarityMatrix, parse
from sprachbund.similarity.names import PREFIXES
from sprachbund.untrusted import Unreadable, read_text

__all__ = ["read_file"]

LARGEST_TABLE = 20_000_000
"""Bytes: a thousand languages in rows and columns."""


@PREFIXES.register("file")
def read_file(path: str) -> SimilarityMatrix:
    """Return the table in a file; its rows are targets, its columns sources.

    Raises:
        DataError: there is no such file, it is no table, or does not say what it has seen.
    """
    name = f"file:{path}"
    try:
        text = read_text(Path(path).expanduser(), "utf-8-sig", LARGEST_TABLE)
    except FileNotFoundError as error:
        raise DataError(f"--similarity {name}: there is no such file, check the name.") from error
    except IsADirectoryError as error:
        raise DataError(f"--similarity {name} is a folder: name a CSV table.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"--similarity {name} is not UTF-8: save it as that.") from error
    except Unreadable as error:
        raise DataError(f"--similarity {name} cannot be read ({error}): name a table of numbers.") from error
    return parse(text, name)
