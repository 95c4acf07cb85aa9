"""The similarity that a command names: loaded where it is at hand, measured where that takes models and data.

Measuring belongs to ``measures``. What is here is where its inputs come from: the pool of sources, the data, the base, and the
zero-shot accuracies on dev, which are resumable and may stand in a results folder already. Everything that is measured is kept
in the cache folder, nothing in the output folder: who plans a run with a measured similarity writes nothing there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sprachbund import cache, digests, locks
from sprachbund.checkpoints import Zoo, zoo_name
from sprachbund.config import EXACT, ChoiceConfig
from sprachbund.data import DataSet
from sprachbund.errors import MixError
from sprachbund.inputs import Inputs
from sprachbund.measures import AnswerStore, Context, measure
from sprachbund.measures.similarities import refuse_failures
from sprachbund.parallel import Report
from sprachbund.plan import pool, with_pool
from sprachbund.similarity import SimilarityMatrix, load, mean_of, parts
from sprachbund.similarity.names import measured
from sprachbund.store import RunStore, Transfer
from sprachbund.zero_shot import run_zero_shot

__all__ = ["DEV", "asked_sources", "similarity_for"]

DEV = "dev"
"""The split that transfer is measured on; what is reported should be of another one."""


def asked_sources(
    config: ChoiceConfig, targets: Sequence[str], held: Sequence[str] = (), without: Collection[str] = ()
) -> tuple[str, ...]:
    """Return whose sources are opened to measure, given the locales of the data: the pool and, where needed, the targets'.

    Raises:
        MixError: the pool is empty, or the own source of a target is needed and left out (``without``).
    """
    own = tuple(targets) if "own" in _needs(config) else ()
    for target in own:
        if target in without:
            raise MixError(
                f"--similarity {config.similarity} looks at the target's own source, which {target} has not: "
                "name another similarity, or other targets."
            )
    return tuple(dict.fromkeys((*pool(with_pool(config, held, without), held), *own)))


def _needs(config: ChoiceConfig) -> set[str]:
    return {need for part in parts(config.similarity) if (found := measured(part)) for need in found.needs}


def similarity_for(
    config: ChoiceConfig,
    targets: Sequence[str],
    inputs: Inputs,
    *,
    results: RunStore | None = None,
    jobs: int = 0,
    report: Report = lambda stage, done, total: None,
) -> SimilarityMatrix:
    """Return the similarity with these targets as rows and the pool as columns; ``results`` may know transfer already.

    The original selection balances rows and columns of the same locales, so there the rows are those of the pool.

    Raises:
        UserError: there is no such similarity, or something that it needs is missing.
    """
    sources = pool(config, inputs.data.locales)
    rows = sources if config.selection == "original" else tuple(targets)
    context = Context(
        targets=rows,
        sources={source: inputs.zoo.checkpoint(source) for source in sources},
        own=inputs.zoo.checkpoint,
        data=inputs.data,
        base=inputs.base,
        answers=AnswerStore(cache.folder() / "answers"),
        transfers=lambda of, to: transfers(inputs.zoo, inputs.data, of, to, results=results, jobs=jobs, report=report),
        jobs=jobs,
        report=report,
    )
    if "base" in _needs(config):
        context.needed_base()  # before anything else is measured
    return mean_of(
        [
            measure(part, context) if measured(part) else load(part, (*rows, *sources))
            for part in parts(config.similarity)
        ]
    )


def transfers(
    zoo: Zoo,
    data: DataSet,
    sources: Sequence[str],
    targets: Sequence[str],
    *,
    results: RunStore | None,
    jobs: int,
    report: Report,
) -> Sequence[Transfer]:
    """Return the accuracy on dev of all sources in all targets; what a results folder or the cache knows is not measured again.

    Raises:
        MixError: a source cannot be evaluated.
    """
    name = zoo_name(zoo.checkpoint(sources[0]), sources[0])
    kept = RunStore(cache.folder() / "transfer" / digests.of_value([name, data.name])[:16])
    with locks.exclusive(kept.root, wait=lambda holder: report(f"waiting for {holder}", 0, 1)):
        for source in sources:
            known = results.transfer(source, DEV) if results else None
            if known and known.precision == EXACT and kept.transfer(source, DEV) is None:
                kept.write_transfer(known.without_answers())
        # Rows of models or data that have changed since are measured anew: a cache holds nothing that somebody would miss.
        found = run_zero_shot(
            kept,
            zoo,
            data,
            DEV,
            sources,
            targets,
            precision=EXACT,
            jobs=jobs,
            report=report,
            overwrite=True,
            keep_answers=False,
        )
    refuse_failures(found.failures)
    return found.rows
