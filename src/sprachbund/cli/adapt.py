"""``sprachbund adapt``: sources and raw text of a language in, one checkpoint out; no label of the target, or a few."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from sprachbund import cache, locales
from sprachbund.cli.app import app
from sprachbund.cli.console import Reporter, console, result, say
from sprachbund.config import AdaptConfig
from sprachbund.errors import UnknownName, UserError

if TYPE_CHECKING:
    from sprachbund.adaptation import Adaptation
    from sprachbund.checkpoints import Checkpoint
    from sprachbund.data import DataSet
    from sprachbund.data.few import Labelled

__all__ = ["adapt"]

OUT = "--out"


@app.command
def adapt(*, config: Annotated[AdaptConfig, Parameter(name="*")]) -> int:
    """Make a model for a target without labels, or with a few, of sources in other languages and raw text of the target."""
    from sprachbund import inference
    from sprachbund.adapt import Material, candidate, check_unseen
    from sprachbund.adapt import adapt as make
    from sprachbund.candidates import merged_before
    from sprachbund.cards import DETAILS_TEXT
    from sprachbund.inputs import open_sources
    from sprachbund.measures import AnswerStore
    from sprachbund.plan import check_room, check_writable

    inference.quieten()
    check_writable(config.out.parent)
    adaptation, target = _adaptation(config), _canonical(config.target)
    aside = _set_aside(config)
    texts, labelled = _texts(config, aside), _labelled(config, adaptation, target, aside)
    names = _sources(config, target)
    with Reporter() as report:
        found = open_sources(config, lambda without: [name for name in names if name not in without], report)
        names = tuple(name for name in names if name not in found.left_out)
        sources = {name: found.zoo.checkpoint(name) for name in names}
        check_unseen(sources, [target])
        for note in found.notes:
            say(note)
        few = labelled and _few(labelled, adaptation, sources[names[0]], config, aside)
        material = Material(
            sources,
            texts,
            AnswerStore(cache.folder() / "answers"),
            found.base,
            few,
            texts_of=aside.name if aside and not config.unlabelled else None,
            labels_of=aside.name if aside and not config.labelled else None,
        )
        if not merged_before(config.out, candidate(adaptation, material), overwrite=config.overwrite, instead=OUT):
            # The merge, the student and the result stand there at the same time.
            check_room(
                config.out.parent, 3 * sources[names[0]].nbytes, "The models on the way need", "make room", instead=OUT
            )
        details = make(
            adaptation,
            target,
            material,
            config.out,
            mode=config.method,
            jobs=config.jobs,
            report=report,
            overwrite=config.overwrite,
            instead=OUT,
            names=_intents(aside, sources[names[0]]),
        )
    for warning in details.warnings:
        say(f"warning: {warning}")

    def show() -> None:
        console.print((config.out / DETAILS_TEXT).read_text(encoding="utf-8"), markup=False, soft_wrap=True)
        console.print(f"Model: {config.out}", soft_wrap=True)

    result(lambda: {**details.model_dump(), "folder": config.out}, show)
    return 0


def _adaptation(config: AdaptConfig) -> Adaptation:
    """Return the settings of the method, with what the user sets otherwise."""
    from sprachbund.adaptation import ADAPTATIONS

    made = {name: adaptation for name, (adaptation, _) in ADAPTATIONS.items() if adaptation.kind != "ensemble"}
    if config.method not in made:
        raise UnknownName("method", config.method, made, "(An ensemble is no model, and cannot be made into one.)")
    adaptation = made[config.method]
    _check_student(config, adaptation)
    trained = {"seed": config.seed}
    student = {"learning_rate": config.learning_rate, "epochs": config.epochs}
    distillation = adaptation.distillation.model_copy(
        update=trained
        | {"freeze_embeddings": config.freeze_embeddings}
        | {name: value for name, value in student.items() if value is not None}
    )
    coefficients = adaptation.coefficients.model_copy(update=trained)
    chosen: dict[str, Any] = {"distillation": distillation, "coefficients": coefficients}
    if config.num_languages is not None:
        chosen["num_languages"] = config.num_languages
    return adaptation.model_copy(update=chosen)


def _check_student(config: AdaptConfig, adaptation: Adaptation) -> None:
    """Refuse settings of a student for a method that trains none."""
    about = {
        "--epochs": config.epochs is not None,
        "--learning-rate": config.learning_rate is not None,
        "--freeze-embeddings": config.freeze_embeddings,
    }
    flags = [flag for flag, typed in about.items() if typed]
    if flags and not adaptation.has_student:
        raise UserError(
            f"{config.method} trains no student, which {' and '.join(flags)} would be about: leave that out, or choose a "
            "--method that trains one (auto, distilled-…, few-finetuned-…)."
        )
    if config.freeze_embeddings and adaptation.distillation.head_only:
        raise UserError(f"{config.method} trains nothing but the head: leave out --freeze-embeddings.")


def _set_aside(config: AdaptConfig) -> DataSet | None:
    """Return the data that may have set texts and labels aside: the embedded one with --demo, else what --data names."""
    from sprachbund import data
    from sprachbund.training.embedded import chosen_data

    name = config.data or (chosen_data() if config.demo else None)
    return data.load(name) if name else None


def _texts(config: AdaptConfig, aside: DataSet | None) -> tuple[str, ...]:
    from sprachbund.data.unlabelled import read_texts

    if config.unlabelled:
        return read_texts(config.unlabelled)
    if aside:
        return aside.unlabelled(_canonical(config.target))
    raise UserError("There is no unlabelled text: name a file of it (--unlabelled FILE, one text a line).")


def _labelled(config: AdaptConfig, adaptation: Adaptation, target: str, aside: DataSet | None) -> Labelled | None:
    """Return the labels that the method may choose from: those of the file, else those that the data sets aside.

    Raises:
        UserError: there are none for a method that needs some, or some for a method that must not see any.
    """
    from sprachbund.data.few import read_labelled

    if not adaptation.labels:
        if config.labelled:
            raise UserError(
                f"{config.method} decides from unlabelled evidence only, and must not see --labelled {config.labelled}: "
                "leave it out, or choose a --method for a few labels (few-head-5, …)."
            )
        return None
    if config.labelled:
        return read_labelled(config.labelled)
    if aside:
        return aside.few(target, adaptation.labels)
    raise UserError(
        f"{config.method} needs a few labelled texts of {target}: name a file of them (--labelled FILE, one text a line as "
        "intent, tab, text), or data that sets some aside (--data split:…)."
    )


def _few(
    labelled: Labelled, adaptation: Adaptation, source: Checkpoint, config: AdaptConfig, aside: DataSet | None
) -> Labelled:
    """Return as many of the labels as the method may see, named as the sources name them.

    Raises:
        DataError: an intent is none that they know.
    """
    intents = _intents(aside, source) or source.labels
    labelled.check(intents, str(config.labelled or (aside and aside.name)))
    few = labelled.first(adaptation.labels)
    if len(few) < len(labelled):
        say(
            f"{config.method} takes {len(few)} of the {len(labelled)} labelled texts, {adaptation.labels} per intent at most."
        )
    return few.under(dict(zip(intents, source.labels, strict=True)))


def _intents(aside: DataSet | None, source: Checkpoint) -> tuple[str, ...]:
    """Return what the logits stand for, as the data says; without any, the source's own names stay."""
    from sprachbund.evaluation import label_names

    return label_names(source.labels, aside, source.name).names if aside else ()


def _canonical(name: str) -> str:
    """Return a locale of the table in its spelling there; any other name as it was typed."""
    known = {locale.casefold(): locale for locale in locales.names()}
    return known.get(name.casefold(), name)


def _sources(config: AdaptConfig, target: str) -> tuple[str, ...]:
    """Return the names of the sources in one order, however they were listed: the order decides the last bits."""
    from sprachbund.plan import pool

    named = {_canonical(name) for name in config.sources}
    if target in named:
        raise UserError(f"The source {target} has met the labels of the target: leave it out of --sources.")
    names = tuple(sorted(named or set(pool(config)) - {target}))
    if not names:
        raise UserError("There is no source: name some (--sources).")
    return names
