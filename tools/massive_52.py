r"""Make all figures of docs/experiments/massive-52.md from finished runs of experiments/massive-52.yaml.

    python tools/massive_52.py --data split:massive:PATH --headline auto merge-reliable \
        --run one-head-seed:0=RUN,MODELS --run one-head-seed:1=RUN,MODELS --run independent-heads:0=RUN,MODELS \
        --joint joint --joint joint-loo

It writes the CSV of all cells, the tables between the markers of the page and of README.md, and the picture, under ``--root``.

- ``--run ZOO:SEED=RUN,MODELS``: RUN is the output folder of a run, MODELS the template of its sources; the seed is that of the
  order of their data. A run may hold some of the variants. What single sources answer is kept in ``RUN/answers``, and asked
  where it is missing; the best of them by the target's dev split is known after ``sprachbund transfer --split dev --data …
  --models MODELS --sources … --results-dir RUN/results``.
- ``--joint OUT``: where ``sprachbund train --joint`` and ``--leave-one-out`` of the sources wrote. A target that is no source
  gets the model of all of them, a source that of all the others; a target whose model is missing has no row.
- ``--headline``: variants that were chosen before the run; the first one is what the page and the picture compare.

**How variants are compared.** With the best single source by the same test labels (``zero-shot-oracle``, which profits from the
chance in them), locale by locale and id by id, over the seeds that a variant has; the difference of an id is the sum over its
seeds. Better and worse: exact sign-flip test, for one seed that of McNemar, by Holm over the locales of the row. Intervals: ids
drawn anew for all locales alike. See :mod:`sprachbund.report.stats`. The target's own model and the joint ones are
trained once: those of the first run stand for all zoos and seeds.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import yaml

from sprachbund import cells, data, files, locales, store
from sprachbund.cards import trained_on
from sprachbund.checkpoints import Checkpoint, Zoo, open_checkpoint
from sprachbund.config import ExperimentConfig
from sprachbund.data import DataSet
from sprachbund.errors import SprachbundError, UnknownName, UserError
from sprachbund.evaluation import label_names
from sprachbund.experiment import CONFIGURATION
from sprachbund.measures import AnswerStore
from sprachbund.prepared import ANSWERS
from sprachbund.report.drawing import INK, QUIET
from sprachbund.report.plots import Dumbbells, Mark, Row, draw_dumbbells
from sprachbund.report.stats import RESAMPLES, holm, intervals, sign_flip
from sprachbund.store import RESULTS, RunStore
from sprachbund.training.jobs import all_but, joint, source_folder
from sprachbund.uses import union_of_uses

DEVELOPMENT = (
    "jv-ID",
    "hi-IN",
    "hu-HU",
    "de-DE",
    "nb-NO",
    "zh-TW",
    "ur-PK",
    "te-IN",
    "km-KH",
    "pl-PL",
    "th-TH",
    "cy-GB",
)
"""The first 12 of 52 in the order of the SHA-256 of "development LOCALE"; all choices were made on their dev splits."""
COLUMNS = ("zoo", "seed", "locale", "development", "variant", "uses", "accuracy", "correct", "total")
OWN, JOINT, ALL_EQUALLY = "baseline", "joint-sources", "average-all"
MEAN, ENGLISH, ORACLE, ORACLE_DEV = "zero-shot-mean", "zero-shot-english", "zero-shot-oracle", "zero-shot-oracle-dev"
TRAINED_ONCE = (OWN, JOINT)
LEVEL = 0.05
HALF_PRECISION = 0.005
"""Share of the rows by which counts may differ where answers were kept in half precision."""
PAGE_WIDTH = 128
CSV, PAGE, README = Path("docs/experiments/massive-52.csv"), Path("docs/experiments/massive-52.md"), Path("README.md")
PICTURE = Path("docs/images/massive-52.png")
TITLES = {
    OWN: "the target's own fine-tuned model",
    JOINT: "one model trained on the labelled data of all sources",
    ORACLE: "best single source (an oracle: chosen by test accuracy)",
    MEAN: "mean single source",
    ALL_EQUALLY: "average merge of all sources",
}
SEEN = {
    "nothing": "nothing",
    "unlabelled": "its train text without labels",
    "source-dev": "dev labels of the sources' languages",
    "source-labels": "labels of the sources' languages",
    "target-few": "a few of its labels",
    "target-train": "its labels",
    "target-dev": "its dev labels",
    "target-test": "its test labels",
}


@dataclass(frozen=True)
class Cell:
    """What one variant answered in one locale, in one run."""

    zoo: str
    seed: int
    locale: str
    variant: str
    uses: tuple[str, ...]
    right: np.ndarray
    """Which ids it got right, [ids]; fractions only for the mean of sources."""
    source: str = ""
    """Which one, where it is a single source that something chose."""


Results = Mapping[str, Mapping[str, Mapping[int, Cell]]]
"""Of one zoo: by variant, locale and seed."""


@dataclass(frozen=True)
class Run:
    """A finished run of the experiment."""

    zoo: str
    seed: int
    folder: Path
    models: Zoo

    @classmethod
    def parse(cls, spec: str) -> Run:
        """Return the run that ``ZOO:SEED=RUN,MODELS`` names."""
        named, _, where = spec.partition("=")
        zoo, _, seed = named.rpartition(":")
        folder, _, models = where.partition(",")
        if not (zoo and seed.isdigit() and models):
            raise UserError(
                f"--run {spec}: write ZOO:SEED=RUN,MODELS, as in one-head-seed:0=runs/massive-52,zoo/{{locale}}."
            )
        return cls(zoo, int(seed), Path(folder), Zoo(models))

    @property
    def answers(self) -> AnswerStore:
        """What was answered to whole splits, by single sources and joint models."""
        return AnswerStore(self.folder / ANSWERS, self.settings.precision)

    @cached_property
    def settings(self) -> ExperimentConfig:
        """The settings that the run was made with."""
        path = self.folder / CONFIGURATION
        if not path.is_file():
            raise UserError(f"{self.folder} is no output folder of an experiment: there is no {CONFIGURATION} in it.")
        settings = ExperimentConfig.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        if not settings.sources:
            raise UserError(f"{self.folder} does not say which sources took part: run it with --sources.")
        return settings

    @property
    def split(self) -> str:
        """The split that it was evaluated on."""
        return self.settings.split

    @property
    def sources(self) -> tuple[str, ...]:
        """Whose sources took part."""
        return self.settings.sources


# What was answered


def read_run(run: Run, dataset: DataSet) -> list[Cell]:
    """Return what a run came to, single sources included."""
    made = list(_recorded(run, dataset))
    if not made:
        raise UserError(f"{run.folder} holds no results yet: run the experiment first.")
    targets = list(dict.fromkeys(cell.locale for cell in made))
    sources = {name: run.models.checkpoint(name) for name in run.sources}
    texts = {target: dataset.partition(target, run.split).texts for target in targets}
    unasked = [
        target
        for target in targets
        if any(run.answers.read(sources[name], texts[target]) is None for name in _foreign(run, target))
    ]
    _ask(run, sources, [texts[target] for target in unasked])
    known, dev = (
        {row.source: row.cells for row in RunStore(run.folder / RESULTS).transfers(split)}
        for split in (run.split, "dev")
    )
    singles: list[Cell] = []
    for target in targets:
        right = {name: _right(run, sources[name], target, dataset) for name in _foreign(run, target)}
        _check_counts(run, target, right, known)
        uses = union_of_uses(*(cells.describe(sources[name], target).uses for name in right))
        singles += _single_sources(
            partial(Cell, run.zoo, run.seed, target), right, uses, run.split, _correct(dev, target)
        )
    return made + singles


def _recorded(run: Run, dataset: DataSet) -> Iterator[Cell]:
    for path in sorted((run.folder / RESULTS).glob(f"*/{store.RECORD}")):
        info = store.read_record(path.parent).evaluation_info
        rows = store.read_predictions(path.parent)
        if tuple(row.id for row in rows) != dataset.partition(info.locale, run.split).ids:
            raise UserError(f"{path.parent} is about other texts than --data {dataset.name} holds: name its data.")
        right = np.array([row.gold == row.predicted for row in rows])
        yield Cell(run.zoo, run.seed, info.locale, info.variant, info.uses, right)


def _foreign(run: Run, target: str) -> list[str]:
    return [source for source in run.sources if source != target]


def _ask(run: Run, checkpoints: Mapping[str, Checkpoint], texts: Sequence[Sequence[str]]) -> None:
    """Ask checkpoints about several lots of texts, each once and for all."""
    failures = run.answers.collect(checkpoints, texts, jobs=0, report=lambda stage, done, total: None)
    if failures:
        raise UserError("; ".join(f"{name} cannot answer: {reason}" for name, reason in failures.items()))


def _right(run: Run, checkpoint: Checkpoint, target: str, dataset: DataSet) -> np.ndarray:
    """Return which ids a checkpoint that was asked got right, [ids]."""
    partition = dataset.partition(target, run.split)
    logits = run.answers.read(checkpoint, partition.texts)
    assert logits is not None, "asked before"
    names = np.array(label_names(checkpoint.labels, dataset, checkpoint.name).names)
    right: np.ndarray = names[logits.argmax(axis=1)] == np.array(partition.intents)
    return right


Counts = Mapping[str, Mapping[str, store.TransferCell]]
"""What zero-shot evaluation counted, by source and locale."""


def _correct(counts: Counts, target: str) -> dict[str, int]:
    return {source: found[target].correct for source, found in counts.items() if target in found}


def _check_counts(run: Run, target: str, right: Mapping[str, np.ndarray], known: Counts) -> None:
    """Refuse sources that are not those of the run; kept in half precision, two logits in some thousand rows become equal."""
    for name, counted in _correct(known, target).items():
        if name in right and abs(int(right[name].sum()) - counted) > HALF_PRECISION * len(right[name]):
            raise UserError(
                f"{run.folder}: {name} has {right[name].sum()} right answers in {target}, in the run it had {counted}. "
                f"Are {run.models.template} its sources?"
            )


def _single_sources(
    cell: Callable[..., Cell],
    right: Mapping[str, np.ndarray],
    uses: tuple[str, ...],
    split: str,
    dev: Mapping[str, int],
) -> Iterator[Cell]:
    """Yield the references that are single foreign sources: their mean, English, and the best by test and by dev labels."""
    yield cell(MEAN, uses, np.mean(list(right.values()), axis=0))
    best = max(right, key=lambda name: int(right[name].sum()))
    yield cell(ORACLE, union_of_uses(uses, [f"target-{split}"]), right[best], best)
    if "en-US" in right:
        yield cell(ENGLISH, uses, right["en-US"], "en-US")
    if right.keys() <= dev.keys():
        best = max(right, key=lambda name: dev[name])
        yield cell(ORACLE_DEV, union_of_uses(uses, ["target-dev"]), right[best], best)


def read_joint(roots: Sequence[Path], run: Run, targets: Iterable[str], dataset: DataSet) -> list[Cell]:
    """Return what models answered that were trained on the labelled data of all sources but the target's own."""
    lots: dict[Path, list[str]] = {}
    for target in targets:
        group = all_but(target, run.sources) if target in run.sources else joint(run.sources, dataset.locales)
        for folder in [place for root in roots if (place := source_folder(root, group.name)).is_dir()][:1]:
            if set(trained_on(folder)) != set(group.locales):
                raise UserError(f"{folder} is not trained on {' '.join(group.locales)}: name another --joint.")
            lots.setdefault(folder, []).append(target)
    found = []
    for folder, asked_of in lots.items():
        checkpoint = open_checkpoint(folder)
        _ask(run, {checkpoint.name: checkpoint}, [dataset.partition(target, run.split).texts for target in asked_of])
        for target in asked_of:
            uses, right = cells.describe(checkpoint, target).uses, _right(run, checkpoint, target, dataset)
            found.append(Cell(run.zoo, run.seed, target, JOINT, uses, right))
    return found


def results_of(zoo: str, found: Sequence[Cell], first: Run) -> Results:
    """Return the cells of a zoo; of what is trained once, those of the first run stand for each of its seeds."""
    own = [cell for cell in found if cell.zoo == zoo and cell.variant not in TRAINED_ONCE]
    once = [cell for cell in found if cell.variant in TRAINED_ONCE and (cell.zoo, cell.seed) == (first.zoo, first.seed)]
    seeds = sorted({cell.seed for cell in own})
    own += [replace(cell, seed=seed) for cell in once for seed in seeds]
    results: dict[str, dict[str, dict[int, Cell]]] = {}
    for cell in own:
        results.setdefault(cell.variant, {}).setdefault(cell.locale, {})[cell.seed] = cell
    return results


# How variants compare


@dataclass(frozen=True)
class Comparison:
    """A variant beside the best single source, over the locales that have both; all figures are fractions in [-1, 1]."""

    variant: str
    uses: tuple[str, ...]
    seeds: str
    """How many its figures are means over; a range where locales differ."""
    accuracy: float
    low: float
    high: float
    gains: Mapping[str, float]
    """Mean difference by locale."""
    p_values: Mapping[str, float]
    """Of the gains, adjusted for the number of locales; empty where answers are no whole numbers."""
    gap_closed: float | None
    """1 for as good as the target's own model, 0 for as good as the mean source; None where one of them is missing."""

    @property
    def difference(self) -> float:
        """Of the mean over locales."""
        return float(np.mean(list(self.gains.values())))

    @property
    def at_or_above(self) -> int:
        """Locales where the variant is as good as the best source, or better."""
        return sum(gain >= 0 for gain in self.gains.values())

    def significant(self, sign: int) -> int | None:
        """Return in how many locales it is significantly better (1) or worse (-1)."""
        certain = [locale for locale, p in self.p_values.items() if p < LEVEL and sign * self.gains[locale] > 0]
        return len(certain) if self.p_values else None


Pairs = Mapping[str, Sequence[tuple[Cell, Cell]]]
"""What a variant and the best single source answered, by locale, a pair for each seed."""


def compare(results: Results, among: Sequence[str]) -> list[Comparison]:
    """Compare all variants over some of the locales, best first."""
    pairs = {variant: found for variant in results if (found := _pairs(results, variant, among))}
    if not pairs:
        return []
    by_id = [np.mean([_sums(both) / len(both) for both in each.values()], axis=0) for each in pairs.values()]
    between = intervals(np.stack(by_id))
    compared = [
        _comparison(results, variant, each, float(low), float(high))
        for (variant, each), (low, high) in zip(pairs.items(), between, strict=True)
    ]
    return sorted(compared, key=_by_accuracy)


def _by_accuracy(row: Comparison) -> float:
    return -row.accuracy


def _pairs(results: Results, variant: str, among: Sequence[str]) -> Pairs:
    found = {}
    for locale in among:
        ours, theirs = (results[name].get(locale, {}) for name in (variant, ORACLE))
        if both := [(cell, theirs[seed]) for seed, cell in ours.items() if seed in theirs]:
            found[locale] = both
    return found


def _sums(both: Sequence[tuple[Cell, Cell]]) -> np.ndarray:
    """Return the differences of ids, summed over seeds, [ids]."""
    total: np.ndarray = np.sum([ours.right * 1.0 - theirs.right for ours, theirs in both], axis=0)
    return total


def _comparison(results: Results, variant: str, pairs: Pairs, low: float, high: float) -> Comparison:
    sums = {locale: _sums(both) for locale, both in pairs.items()}
    seeds = sorted({len(both) for both in pairs.values()})
    return Comparison(
        variant=variant,
        uses=union_of_uses(*(ours.uses for both in pairs.values() for ours, _ in both)),
        seeds="1" if variant in TRAINED_ONCE else "–".join(map(str, dict.fromkeys((seeds[0], seeds[-1])))),
        accuracy=_accuracy(results, variant, pairs),
        low=low,
        high=high,
        gains={locale: float(total.sum() / len(pairs[locale]) / len(total)) for locale, total in sums.items()},
        p_values=_p_values(sums),
        gap_closed=_gap_closed(results, variant, pairs),
    )


def _accuracy(results: Results, variant: str, pairs: Pairs) -> float:
    """Return a variant's accuracy, the mean over the locales of the mean over the seeds of the pairs."""
    return float(
        np.mean(
            [
                np.mean([results[variant][locale][ours.seed].right.mean() for ours, _ in both])
                for locale, both in pairs.items()
            ]
        )
    )


def _p_values(sums: Mapping[str, np.ndarray]) -> dict[str, float]:
    whole = {locale: np.rint(total).astype(int) for locale, total in sums.items()}
    if not all(np.allclose(whole[locale], total) for locale, total in sums.items()):
        return {}
    adjusted = holm([sign_flip(total) for total in whole.values()])
    return {locale: float(p) for locale, p in zip(whole, adjusted, strict=True)}


def _gap_closed(results: Results, variant: str, pairs: Pairs) -> float | None:
    if any(locale not in results.get(OWN, {}) for locale in pairs):
        return None
    ours, mean, own = (_accuracy(results, name, pairs) for name in (variant, MEAN, OWN))
    return (ours - mean) / (own - mean)


@dataclass(frozen=True)
class ZooResults:
    """What a zoo came to."""

    results: Results
    apart: Mapping[str, Sequence[Comparison]]
    """By title: over the locales that nothing was chosen on, then over those of development, where there are any."""
    together: Mapping[str, Sequence[Comparison]]
    """By title: over all locales, where there are both."""

    @classmethod
    def of(cls, results: Results) -> ZooResults:
        """Compare all variants."""
        names = sorted(results[ORACLE])
        groups = {
            "headline": [name for name in names if name not in DEVELOPMENT],
            "development": [name for name in names if name in DEVELOPMENT],
        }
        apart = {f"{len(each)} {title} locales": compare(results, each) for title, each in groups.items() if each}
        together = {f"all {len(names)} locales": compare(results, names)} if len(apart) > 1 else {}
        return cls(results, apart, together)

    @property
    def main(self) -> tuple[str, Sequence[Comparison]]:
        """The group that the headline is about, with its title."""
        return next(iter(self.apart.items()))


# What is written


def to_csv(found: Iterable[Cell]) -> str:
    """Return all cells as CSV, a row each."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for cell in found:
        writer.writerow(
            {
                "zoo": cell.zoo,
                "seed": cell.seed,
                "locale": cell.locale,
                "development": str(cell.locale in DEVELOPMENT).lower(),
                "variant": cell.variant,
                "uses": " ".join(cell.uses),
                "accuracy": f"{cell.right.mean():.6f}",
                "correct": f"{cell.right.sum():.6f}".rstrip("0").rstrip("."),
                "total": len(cell.right),
            }
        )
    return stream.getvalue()


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; a column whose title ends in a colon is aligned to the right."""
    ruler = "|".join("--:" if title.endswith(":") else "---" for title in titles)
    head, *body = (f"| {' | '.join(line)} |\n" for line in ([title.removesuffix(":") for title in titles], *rows))
    return "".join([head, f"|{ruler}|\n", *body])


def _points(fraction: float) -> str:
    return f"{100 * fraction:+.1f}".replace("-", "−")


def _between(row: Comparison) -> str:
    return f"{_points(row.low)} … {_points(row.high)}"


def _share(fraction: float | None) -> str:
    return "" if fraction is None else f"{100 * fraction:.0f} %".replace("-", "−")


def _better_and_worse(row: Comparison) -> str:
    counts = [row.significant(sign) for sign in (1, -1)]
    return "" if None in counts else f"{counts[0]} / {counts[1]}"


FIGURES = ("− best source, points:", "95 %:", "at or above it:", "better / worse:", "gap closed:")


def _figures(row: Comparison) -> tuple[str, ...]:
    """Return the figures of the headline; of the best source itself, which all are measured by, only the last."""
    if row.variant == ORACLE:
        return ("", "", "", "", _share(row.gap_closed))
    return (
        _points(row.difference),
        _between(row),
        f"{row.at_or_above} of {len(row.gains)}",
        _better_and_worse(row),
        _share(row.gap_closed),
    )


def headline_table(groups: Mapping[str, Sequence[Comparison]], headline: Sequence[str]) -> str:
    """Return the figures of the headline variants, for each group of locales."""
    rows = [
        (f"`{row.variant}`, {title}", *_figures(row))
        for title, compared in groups.items()
        for name in headline
        for row in compared
        if row.variant == name
    ]
    return _table(("", *FIGURES), rows)


def variant_table(compared: Sequence[Comparison]) -> str:
    """Return all variants, best first."""
    rows = [
        (f"`{row.variant}`", " ".join(row.uses), row.seeds, f"{row.accuracy:.3f}", *_figures(row)) for row in compared
    ]
    return _table(("variant", "uses", "seeds:", "accuracy:", *FIGURES), rows)


def mean_accuracy(results: Results, variant: str, name: str) -> float | None:
    """Return the mean over seeds in one locale, None where nothing is there."""
    found = results.get(variant, {}).get(name, {})
    return float(np.mean([cell.right.mean() for cell in found.values()])) if found else None


def locale_table(zoo: ZooResults, headline: Sequence[str]) -> str:
    """Return a row for each locale; the first headline variant is compared with the best source."""
    results = zoo.results
    first = [row for compared in zoo.apart.values() for row in compared if row.variant == headline[0]]
    gains = {name: gain for row in first for name, gain in row.gains.items()}
    p_values = {name: p for row in first for name, p in row.p_values.items()}
    columns = tuple(dict.fromkeys((OWN, ORACLE, MEAN, ALL_EQUALLY, *reversed(headline))))
    rows = []
    for name in sorted(results[ORACLE]):
        figures = {variant: mean_accuracy(results, variant, name) for variant in columns}
        shown = {variant: "" if figure is None else f"{figure:.3f}" for variant, figure in figures.items()}
        best = "/".join(dict.fromkeys(cell.source for cell in results[ORACLE][name].values()))
        mark = "°" if name in DEVELOPMENT else ""
        difference = _points(gains[name]) if name in gains else ""
        certain = name in p_values and p_values[name] < LEVEL
        rows.append(
            (
                f"{name}{mark}",
                shown[OWN],
                f"{shown[ORACLE]} {best}",
                *(shown[variant] for variant in columns[2:]),
                f"**{difference}**" if certain else difference,
                _p(p_values[name]) if name in p_values else "",
            )
        )
    titles = ("locale", "own model:", "best source:", "mean source:", *(f"`{variant}`:" for variant in columns[3:]))
    return _table((*titles, f"`{headline[0]}` − best, points:", "p (Holm):"), rows)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def page_tables(zoos: Mapping[str, ZooResults], headline: Sequence[str], split: str) -> str:
    """Return all tables of the page, zoo by zoo."""
    about = (
        f"*Made by `tools/massive_52.py` from records on {split}; every cell is a row of [massive-52.csv](massive-52.csv).* "
        "Accuracies are means over locales of means over seeds. *Best source*: `zero-shot-oracle`, the best single source by "
        "the same labels (from answers in half precision, which may move it by a few rows); a variant of fewer seeds is "
        "compared with the best sources of these. 95 %: ids drawn anew, "
        f"{RESAMPLES:,} times, for all locales alike. *Better / worse*: locales where the difference is significant at "
        f"{100 * LEVEL:.0f} % (paired by id: exact sign-flip test, for one seed that of McNemar; Holm over the locales of the "
        "row). *Gap closed*: (variant − mean source) / (own model − mean source). The target's own model and "
        f"`{JOINT}` were trained once and stand in all zoos."
    )
    parts = [f"{textwrap.fill(about, PAGE_WIDTH)}\n"]
    for name, zoo in zoos.items():
        title, compared = zoo.main
        parts += [
            f"### {name}\n",
            headline_table({**zoo.apart, **zoo.together}, headline),
            f"All variants, {title}:\n",
            variant_table(compared),
            "Locale by locale, those of development with a °; p by Holm over the locales of the same kind, bold below "
            f"{LEVEL}:\n",
            locale_table(zoo, headline),
        ]
    return "\n".join(parts)


def readme_table(zoos: Mapping[str, ZooResults], headline: Sequence[str]) -> str:
    """Return a handful of rows for each zoo, over the headline locales."""
    wanted = {OWN, *headline, ALL_EQUALLY, ORACLE, MEAN, JOINT}
    parts = []
    for name, zoo in zoos.items():
        title, compared = zoo.main
        rows = [_readme_row(row) for row in compared if row.variant in wanted]
        figures = (
            "accuracy:",
            "− best source, points (95 %):",
            "at or above it:",
            "gap closed:",
            "has seen of its target",
        )
        parts.append(_table((f"{name}, mean over {title}", *figures), rows))
    return "\n".join(parts)


def _readme_row(row: Comparison) -> tuple[str, ...]:
    difference, between, at_or_above, _, closed = _figures(row)
    return (
        TITLES.get(row.variant, f"`{row.variant}`"),
        f"{row.accuracy:.3f}",
        f"{difference} ({between})" if difference else "",
        at_or_above,
        closed,
        ", ".join(SEEN[use] for use in row.uses),
    )


def between_markers(text: str, name: str, content: str, where: Path) -> str:
    """Return a page with new content between ``<!-- name -->`` and ``<!-- /name -->``."""
    opening, closing = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = text.partition(opening)
    _, ended, after = rest.partition(closing)
    if not (found and ended):
        raise UserError(f"{where} has no {opening} … {closing}: write both where the tables shall stand.")
    return f"{before}{opening}\n\n{content}\n{closing}{after}"


def picture(results: Results, headline: Sequence[str], about: str) -> Dumbbells:
    """Return what the picture shows: a row for each target."""
    marks = [
        Mark(MEAN, "mean source", {"marker": "|", "color": QUIET, "markersize": 9, "markeredgewidth": 2}),
        Mark(
            ORACLE,
            "best source (oracle)",
            {"marker": "^", "color": "#009E73", "markerfacecolor": "white", "markersize": 7.5, "markeredgewidth": 1.3},
        ),
        Mark(headline[0], headline[0], {"marker": "o", "color": "#0072B2", "markersize": 5}),
        Mark(OWN, "the target's own model", {"marker": "D", "color": INK, "markersize": 5}),
    ]
    columns = [mark.column for mark in marks]
    rows = []
    for name in sorted(results[ORACLE]):
        values = {column: mean_accuracy(results, column, name) for column in columns}
        rows.append(Row(locales.locale(name), values))
    means = {}
    for column in columns:
        there = [value for row in rows if (value := row.values[column]) is not None]
        means[column] = float(np.mean(there)) if there else None
    return Dumbbells(f"A model without labels of its language, {len(rows)} targets", about, marks, rows, means)


def write(
    root: Path, dataset: DataSet, runs: Sequence[Run], roots_of_joint: Sequence[Path], headline: Sequence[str]
) -> None:
    """Read the runs and write everything that is made of them.

    Raises:
        UserError: runs do not belong together, or the pages have no place for the tables.
    """
    if len({(run.zoo, run.seed) for run in runs}) < len(runs) or len({run.split for run in runs}) > 1:
        raise UserError("Every --run needs a ZOO:SEED of its own, and all of them the same split.")
    first = runs[0]
    found = [cell for run in runs for cell in read_run(run, dataset)]
    targets = sorted({cell.locale for cell in found})
    if len({dataset.partition(target, first.split).ids for target in targets}) != 1:
        raise UserError("The locales do not hold the same ids in the same order: nothing can be paired by id.")
    found += read_joint(roots_of_joint, first, targets, dataset)
    zoos = {zoo: ZooResults.of(results_of(zoo, found, first)) for zoo in dict.fromkeys(run.zoo for run in runs)}
    results = zoos[first.zoo].results
    for name in headline:
        if name not in results:
            raise UnknownName("variant", name, results, f"That is what {first.folder} holds.")
    notice = dataset.notice.partition(", derived")[0]  # what a line has room for; NOTICE has it all
    order = {(run.zoo, run.seed): place for place, run in enumerate(runs)}
    texts = {
        CSV: to_csv(sorted(found, key=lambda cell: (order[cell.zoo, cell.seed], cell.locale, cell.variant))),
        PAGE: _with(root / PAGE, "tables", page_tables(zoos, headline, first.split)),
        README: _with(root / README, "massive-52", readme_table(zoos, headline)),
    }
    for path, text in texts.items():
        files.write_text(root / path, text)
    for run in runs:
        for failure in RunStore(run.folder / RESULTS).failures():
            print(f"{run.folder}: no {failure.variant} of {failure.locale}: {failure.reason}", file=sys.stderr)
    about = f"Accuracy on {first.split}; {len(first.sources)} sources, {first.zoo}. {notice}"
    draw_dumbbells(picture(results, headline, about), root / PICTURE)
    print(notice, *(f"wrote {root / path}" for path in (*texts, PICTURE)), sep="\n")


def _with(path: Path, name: str, content: str) -> str:
    return between_markers(path.read_text(encoding="utf-8"), name, content, path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the runs, write everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--run", action="append", required=True, metavar="ZOO:SEED=RUN,MODELS")
    parser.add_argument("--joint", action="append", default=[], type=Path, metavar="OUT")
    parser.add_argument("--headline", nargs="+", required=True, metavar="VARIANT")
    parser.add_argument("--root", type=Path, default=Path(), help="where README.md and docs stand")
    given = parser.parse_args(arguments)
    try:
        write(given.root, data.load(given.data), [Run.parse(spec) for spec in given.run], given.joint, given.headline)
    except SprachbundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
