"""What several commands do with a results folder: find the results that they are about, and what was answered."""

from __future__ import annotations

from sprachbund.config import ResultsConfig
from sprachbund.errors import UserError
from sprachbund.report import Results, Texts, load
from sprachbund.training.embedded import EMBEDDED_ZOO

__all__ = ["load_results", "texts_of"]


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


def texts_of(results: Results, name: str | None) -> Texts:
    """Return the sentences that were answered, from the data set of this name; without one, the few that records hold.

    The embedded data set need not be named.

    Raises:
        DataError: there is no such data set.
        UserError: none of its rows are those that were answered.
    """
    if name is None and not results.demonstration:
        return _of_records(results)
    from sprachbund.data import load

    data = load(name or results.setup.data)
    digests = {locale: record.dataset_info.digest for (_, locale), record in results.records.items()}
    read = {locale: data.read(locale, results.setup.split) for locale in digests if locale in data.locales}
    same = {locale: rows for locale, rows in read.items() if rows.digest == digests[locale]}
    if not same and name is None:
        return _of_records(results)
    if not same:
        raise UserError(
            f"--texts {name}: its rows are not those that were answered ({results.setup}): name the data set of the "
            "experiment, or leave --texts out."
        )
    said = f"Sentences are those of {data.name}; its rows have the digests that the records have."
    if others := [locale for locale in digests if locale not in same]:
        said += f" Its rows of {', '.join(others)} have not, so that only ids stand there."
    return Texts({locale: dict(zip(rows.ids, rows.texts, strict=True)) for locale, rows in same.items()}, said)


def _of_records(results: Results) -> Texts:
    found: dict[str, dict[str, str]] = {}
    for record in results.everything:
        found.setdefault(record.evaluation_info.locale, {}).update({each.id: each.text for each in record.examples})
    said = (
        "Sentences stand here as far as records hold them, ten each, and ids alone otherwise: "
        "`sprachbund report --texts DATA` reads the others from the data set."
    )
    return Texts(found, said)
