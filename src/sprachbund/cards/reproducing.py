"""The one command that makes a model again, from its recipe and its mode.

Sources are named one by one, whatever there was to choose from: the choice among them is then the same. A merge whose sources
were ranked by what everybody has (URIEL) is asked for as it was; one that hangs on measured numbers, by its weights. What
readers have to have themselves (a folder of models, raw texts) stands there as ``path/to/…`` or as a file of a telling name.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from sprachbund import locales
from sprachbund.adaptation import ADAPTATIONS, Adaptation
from sprachbund.cards.details import BlendDetails, Details, MergeDetails
from sprachbund.checkpoints import EMBEDDED_ZOO
from sprachbund.public import PLACE, is_local, is_published, public_name, public_zoo
from sprachbund.recipe import AVERAGE, REFIT, Recipe

__all__ = ["LABELS", "RECIPE", "TEXTS", "command_of"]

TEXTS, LABELS, RECIPE = "raw-texts.txt", "labelled-texts.tsv", "recipe.yml"
"""Files that readers bring."""


def command_of(details: Details, data: str | None = None) -> str:
    """Return the command; ``data`` is the data set that the model was measured on, where it was."""
    if isinstance(details, BlendDetails):
        return _typed(_blend(details))
    tiny = "SPRACHBUND_DEMO_SIZE=tiny " if details.zoo.startswith(f"{EMBEDDED_ZOO}tiny") else ""
    return tiny + _typed(_adapt(details) if details.recipe.adaptation else _merge(details, data))


def _typed(words: list[str]) -> str:
    return shlex.join(["sprachbund", *words])


def _merge(details: MergeDetails, data: str | None) -> list[str]:
    recipe = details.recipe
    names = [source.locale for source in details.sources]
    ranked = details.mode in ("similarity", "average") and recipe.selection == "topk" and _is_of_everybody(recipe)
    words = ["merge", "--mode", details.mode if ranked else "manual", "--target-lang", recipe.target]
    words += [*_models(details), "--sources", *names]
    if ranked:
        words += ["--num-languages", str(len(names)), "--similarity", str(recipe.similarity)]
        words += ["--include-target"] if recipe.target in names else []
        words += [] if recipe.sharpness is None else ["--sharpness", f"{recipe.sharpness:g}"]
    else:
        words += ["--weights", *(repr(source.weight) for source in details.sources)]
    words += _method(recipe.method, recipe.options or {}, recipe.seed)
    words += [] if recipe.head_policy == AVERAGE else ["--head-policy", recipe.head_policy]
    if recipe.head_policy == REFIT and "--demo" not in words:
        words += ["--data", data or "split:massive"]
    return words + _base(details)


def _is_of_everybody(recipe: Recipe) -> bool:
    """Return whether sources were ranked by numbers that everybody has."""
    return all(part.strip().startswith("uriel:") for part in (recipe.similarity or "").split("+"))


def _adapt(details: MergeDetails) -> list[str]:
    recipe = details.recipe
    found = Adaptation.model_validate(recipe.adaptation)
    words = ["adapt", "--target", recipe.target, "--method", details.mode, *_models(details)]
    asked = details.asked or tuple(source.locale for source in details.sources)
    everybody = "--demo" in words and {*asked, recipe.target} == set(locales.names())
    words += [*([] if everybody else ["--sources", *asked]), *_base(details), *_texts(details, found)]
    return [*words, *_settings(details.mode, found), "--out", f"{details.mode}-{recipe.target}"]


def _texts(details: MergeDetails, found: Adaptation) -> list[str]:
    """Return where texts and labels come from: a file, a data set, or the embedded one, which is there anyway."""
    sets = dict.fromkeys(name for name in (details.texts_of, details.labels_of) if name)
    words = [] if details.zoo.startswith(EMBEDDED_ZOO) else [word for name in sets for word in ("--data", name)]
    words += [] if details.texts_of else ["--unlabelled", TEXTS]
    return words + (["--labelled", LABELS] if found.labels and not details.labels_of else [])


def _settings(mode: str, found: Adaptation) -> list[str]:
    """Return the settings that are not those of the variant."""
    usual = ADAPTATIONS[mode][0] if mode in ADAPTATIONS else found
    ours, theirs = found.distillation, usual.distillation
    words = ["--num-languages", str(found.num_languages)] if found.num_languages != usual.num_languages else []
    words += ["--epochs", str(ours.epochs)] if ours.epochs != theirs.epochs else []
    if ours.learning_rate != theirs.learning_rate:
        words += ["--learning-rate", f"{ours.learning_rate:g}"]
    words += ["--freeze-embeddings"] if ours.freeze_embeddings and not theirs.freeze_embeddings else []
    return [*words, *(["--seed", str(ours.seed)] if ours.seed != theirs.seed else [])]


def _models(details: MergeDetails) -> list[str]:
    if details.zoo.startswith(EMBEDDED_ZOO):
        return ["--demo"]
    says_where = "{locale}" in details.zoo or is_local(details.zoo)  # else it is what a card at its root calls it
    return ["--models", public_zoo(details.zoo) if says_where else f"{PLACE}{{locale}}"]


def _base(details: MergeDetails) -> list[str]:
    """Return the base; the embedded one is taken anyway."""
    if details.base is None or details.zoo.startswith(EMBEDDED_ZOO):
        return []
    return ["--base", _model(details.base.model)]


def _model(name: str) -> str:
    return name if is_published(name) else PLACE + public_name(name)


def _method(method: str, options: Mapping[str, Any], seed: int | None) -> list[str]:
    words = [] if method == "linear" else ["--method", method]
    words += ["--set", *(f"{name}={json.dumps(value)}" for name, value in options.items())] if options else []
    return words + ([] if seed is None else ["--seed", str(seed)])


def _blend(details: BlendDetails) -> list[str]:
    asked = details.asked
    weights = asked["weights"]
    if asked.get("tokenizer") or not all(isinstance(weight, int | float) for weight in weights):
        return ["merge", RECIPE, "--out", "merged"]
    words = ["merge", "--source", *(_model(source.model) for source in details.sources)]
    if asked.get("layers"):
        words += ["--layers", *(f"{part}={','.join(map(repr, each))}" for part, each in asked["layers"].items())]
    else:
        words += ["--weights", *map(repr, weights), *([] if asked["normalize"] else ["--no-normalize"])]
    words += _method(details.method, asked["options"], asked.get("seed"))
    words += ["--base", _model(details.base.model)] if details.base else []
    words += ["--lines", *(f"{number:g}" for number in asked["lines"])] if asked.get("lines") else []
    words += ["--dtype", details.dtype] if details.dtype else []
    words += ["--layerwise"] if asked.get("layerwise") else []
    texts = details.candidate.get("texts") or ()
    words += ["--text", *(f"texts-{number}.txt" for number in range(1, len(texts) + 1))] if texts else []
    return [*words, "--out", "merged"]
