"""What several commands do with a results folder: find its results, what was answered, and say how a file is made again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sprachbund.checkpoints import EMBEDDED_ZOO
from sprachbund.config import ResultsConfig
from sprachbund.errors import UserError
from sprachbund.public import PLACE, public_place, public_zoo
from sprachbund.report import Results, Texts, load

__all__ = ["line_of", "load_results", "texts_of"]

EMBEDDED_DATA = ("cldr", "split:cldr")


def load_results(config: ResultsConfig) -> Results:
    """Return the results of one setup.

    Raises:
        StoreError: there are none, or more than one setup is left.
        UserError: ``--demo`` and ``--zoo`` were both typed.
    """
    if config.demo and config.zoo:
        raise UserError("--demo stands for the embedded models' zoo: leave out --zoo, or --demo.")
    zoo = EMBEDDED_ZOO if config.demo else config.zoo
    return load(config.results_dir, data=config.data, zoo=zoo, split=config.split)


def line_of(command: str, config: ResultsConfig) -> str:
    """Return the line that makes a file again, without where things lie on this machine: folders, files, and what was set.

    A filter takes a part of a name, so that the zoo's last part is enough.
    """
    return shlex.join(["sprachbund", command, *_flags(config)])


def _flags(config: ResultsConfig) -> Iterator[str]:
    for name, field in type(config).model_fields.items():
        flag, value = f"--{name.replace('_', '-')}", getattr(config, name)
        match value:
            case Path():
                yield from (flag, public_place(str(value)))
            case _ if value == field.default:
                pass
            case True:
                yield flag
            case _ if name == "zoo":
                yield from (flag, public_zoo(value).removeprefix(PLACE))
            case _:
                yield from (flag, public_place(value) if name == "texts" else value)


def texts_of(results: Results, name: str | None) -> Texts:
    """Return the sentences that were answered, from the data set of this name; without one, the few that records hold.

    Embedded data need not be named.

    Raises:
        DataError: there is no such data set.
        UserError: none of its rows are those that were answered.
    """
    if name is not None:
        return _of_data(results, name)
    if results.setup.data in EMBEDDED_DATA:
        with suppress(UserError):  # made by another release of Babel, say
            return _of_data(results, results.setup.data)
    return _of_records(results)


def _of_data(results: Results, name: str) -> Texts:
    from sprachbund.data import load

    data, split = load(name), results.setup.split
    digests = {locale: record.dataset_info.digest for (_, locale), record in results.records.items()}
    read = {locale: data.read(locale, split) for locale in digests if locale in data.locales}
    same = {locale: rows for locale, rows in read.items() if rows.digest == digests[locale]}
    if not same:
        raise UserError(
            f"--texts {name}: its rows are not those that were answered ({results.setup}): name the data set of the "
            "experiment, or leave --texts out."
        )
    said = f"Sentences are those of {data.name}; its rows have the digests that the records have."
    if others := [locale for locale in digests if locale not in same]:
        said += f" Its rows of {', '.join(others)} have not, so that sentences stand there only as far as records hold them."
    known = {locale: dict(zip(rows.ids, rows.texts, strict=True)) for locale, rows in same.items()}
    return Texts({**_held(results), **known}, said)


def _of_records(results: Results) -> Texts:
    said = (
        "Sentences stand here as far as records hold them, ten each, and ids alone otherwise: "
        "`sprachbund report --texts DATA` reads the others from the data set."
    )
    return Texts(_held(results), said)


def _held(results: Results) -> dict[str, dict[str, str]]:
    """Return the sentences of the records by locale and id."""
    found: dict[str, dict[str, str]] = {}
    for record in results.everything:
        found.setdefault(record.evaluation_info.locale, {}).update({each.id: each.text for each in record.examples})
    return found
