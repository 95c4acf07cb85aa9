"""What several commands do with a results folder: find the results that they are about."""

from __future__ import annotations

from sprachbund.checkpoints import EMBEDDED_ZOO
from sprachbund.config import ResultsConfig
from sprachbund.errors import UserError
from sprachbund.report import Results, load

__all__ = ["load_results"]


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
