"""From a blend of ours to a recipe with which mergekit makes the same tensors, in float32.

All parameters are written, defaults too: what they are differs between the two tools. What mergekit has no word for is refused,
and so is what it would draw by other lots.

Weights of parts of a model and a scale that rises with depth become values by parts of names: each part of a model by what the
names of its tensors begin with, or by whole names where that would fit others, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

import numpy as np
import yaml

from sprachbund.blends import UNION, Blend, Weight, Where, normalised, scales_of, value_at, weights_of
from sprachbund.cards import BlendDetails, MergeDetails
from sprachbund.checkpoints import DTYPES as BY_CODE
from sprachbund.checkpoints import Checkpoint, align, part_of
from sprachbund.errors import MixError
from sprachbund.mergekit.tables import DTYPES, FOREIGN, OUR_NAMES, Foreign
from sprachbund.recipe import AVERAGE

__all__ = ["blend_of", "write_recipe"]

OF_SEVERAL = {"multislerp_taus": "multislerp", "model_stock_filter_wise": "model_stock"}
"""Methods of ours that are a form of another one there."""
THEIR_NAMES = {ours: theirs for theirs, ours in OUR_NAMES.items()}


def blend_of(details: MergeDetails | BlendDetails) -> Blend:
    """Return the blend that a model is.

    Raises:
        MixError: it is more than a blend.
    """
    if isinstance(details, BlendDetails):
        return Blend.model_validate(details.asked)
    recipe = details.recipe
    if recipe.adaptation:
        raise MixError(
            f"The model was adapted to texts ({details.mode}), which no recipe of mergekit can do: export a merge."
        )
    if recipe.head_policy != AVERAGE:
        raise MixError(
            f"The model has the head policy {recipe.head_policy}, which mergekit does not know: export a merge whose heads "
            "were averaged."
        )
    return Blend(
        method=recipe.method if len(details.sources) > 1 else "linear",
        sources=tuple(source.model for source in details.sources),
        weights=tuple(source.weight for source in details.sources),
        normalize=False,
        options=recipe.options or {},
        base=details.base.model if details.base else None,
        seed=recipe.seed,
    )


def write_recipe(blend: Blend, models: Mapping[str, Checkpoint]) -> str:
    """Return the recipe as YAML; ``models`` are those of the blend by their names there.

    Raises:
        MixError: mergekit has nothing like it.
        IncompatibleError: the models do not fit together.
    """
    sources = [models[name] for name in blend.sources]
    name, foreign = _foreign(blend)
    _check(blend, sources)
    blend = _by_names(blend, list(sources[0].tensors))
    if blend.base is not None:
        _check_base(models[blend.base], sources[0])
    parameters, own = _parameters(blend, foreign)
    content: dict[str, Any] = {
        "merge_method": name,
        "base_model": _base(blend, foreign, models),
        "models": [
            {"model": _place(source)} | ({"parameters": each} if each else {})
            for source, each in zip(sources, own, strict=True)
        ],
        "parameters": parameters or None,
        "dtype": "float32",
        **_written(blend, sources),
        "tokenizer_source": blend.tokenizer
        if blend.tokenizer in (None, UNION)
        else _place(models[str(blend.tokenizer)]),
    }
    filled = {key: value for key, value in content.items() if value is not None}
    return yaml.safe_dump(filled, sort_keys=False, allow_unicode=True)


def _foreign(blend: Blend) -> tuple[str, Foreign]:
    """Return the method there."""
    settled = blend.how.settle_plainly(blend.options, len(blend.sources))
    method = OF_SEVERAL.get(blend.method, blend.method)
    found = {
        name: foreign
        for name, foreign in FOREIGN.items()
        if foreign.method == method and all(settled[key] == value for key, value in foreign.ours.items())
    }
    if not found:
        raise MixError(f"mergekit has no method {blend.method}: export a merge by another method ({_both()}).")
    return next(iter(found.items()))


def _both() -> str:
    return ", ".join(dict.fromkeys(foreign.method for foreign in FOREIGN.values()))


def _check(blend: Blend, sources: Sequence[Checkpoint]) -> None:
    """Refuse what mergekit could not do, or not in the same way."""
    if "generators" in blend.how.needs and not _keeps_all(blend):
        raise MixError(
            f"The method {blend.method} drops numbers at random, and mergekit draws other lots: its tensors would be others; "
            "export a merge by a method that draws none (ties, breadcrumbs, …), or with density 1."
        )
    if align(sources):
        raise MixError("The sources have different vocabularies, which mergekit would put together in another way.")


def _keeps_all(blend: Blend) -> bool:
    """Return whether a method that drops numbers drops none."""
    density = blend.how.settle_plainly(blend.options, len(blend.sources))["density"]
    return all(each == 1 for each in (density if isinstance(density, list) else [density]))


def _check_base(base: Checkpoint, source: Checkpoint) -> None:
    """Refuse a base that is no classifier: mergekit writes the tensors that a base has, and no others."""
    missing = [name for name in source.tensors if name not in base.tensors]
    if missing:
        raise MixError(
            f"The base {base.name} has no {missing[0]}, and mergekit writes only what the base has: what it made would be no "
            "classifier; merge by a method without a base, or with a base that has such a head."
        )


def _place(model: Checkpoint) -> str:
    return str(model.folder.absolute())


def _base(blend: Blend, foreign: Foreign, models: Mapping[str, Checkpoint]) -> str | None:
    if foreign.method == "slerp":
        return _place(models[blend.sources[0]])
    return _place(models[blend.base]) if blend.base is not None else None


def _written(blend: Blend, sources: Sequence[Checkpoint]) -> dict[str, str]:
    """Return in what numbers the result is, where it is not in those that are worked with."""
    codes = {info.dtype for source in sources for info in source.tensors.values() if info.is_float}
    widest = str(BY_CODE[codes.pop()]) if len(codes) == 1 else "float32"
    dtype = blend.dtype or widest
    if dtype not in DTYPES:
        raise MixError(
            f"The sources hold {dtype} numbers, which mergekit does not write: merge them as float32 (--dtype)."
        )
    return {} if dtype == "float32" else {"out_dtype": dtype}


# --- parameters --------------------------------------------------------------------------------------------------------


def _parameters(blend: Blend, foreign: Foreign) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the parameters of all models, and those of each."""
    count = len(blend.sources)
    shared: dict[str, Any] = {}
    own: list[dict[str, Any]] = [{} for _ in range(count)]
    for name, value in _options(blend, foreign).items():
        if name == "lambda" and blend.scales is not None:
            shared[name] = _plain(_times(blend.scales, value))
        elif isinstance(value, list) and len(set(value)) > 1:
            for each, one in zip(own, value, strict=True):
                each[name] = one
        else:
            shared[name] = value[0] if isinstance(value, list) else value
    if foreign.method == "slerp":
        return shared | {"t": _t(blend)}, own
    if not foreign.weighted:
        _check_equal(blend, foreign)
        return shared, own
    if foreign.normalize is not None:
        shared[foreign.normalize[0]] = True if foreign.elects else blend.normalize
    for each, weight in zip(own, blend.weights, strict=True):
        each["weight"] = _plain(weight)
    return shared, own


def _options(blend: Blend, foreign: Foreign) -> dict[str, Any]:
    """Return the options under their names there.

    Raises:
        MixError: one that there is not has another value than it has there.
    """
    settled = blend.how.settle_plainly(blend.options, len(blend.sources))
    found: dict[str, Any] = {}
    for name, value in settled.items():
        theirs = THEIR_NAMES.get(name, name)
        if theirs in foreign.options:
            found[theirs] = value
        elif name not in foreign.ours and value != blend.how.options[name].default:
            raise MixError(
                f"mergekit's {foreign.method} has no {name}, which is {value} here: export a merge without it."
            )
    if "filter_wise" in foreign.options:
        found["filter_wise"] = blend.method == "model_stock_filter_wise"
    return found


def _t(blend: Blend) -> Any:
    """Return how far slerp goes from its first source to its second."""
    weights = blend.weights
    if all(isinstance(weight, float) for weight in weights):
        numbers = [weight for weight in weights if isinstance(weight, float)]
        shares = normalised(numbers, "the sources") if blend.normalize else numbers
        if len(shares) != 2 or not np.isclose(sum(shares), 1):
            raise MixError("mergekit's slerp is between two models, whose weights sum to 1: this merge has others.")
        return shares[1]
    return _plain(weights[1])


def _check_equal(blend: Blend, foreign: Foreign) -> None:
    numbers = [weight for weight in blend.weights if isinstance(weight, float)]
    if len(numbers) < len(blend.weights) or not np.allclose(numbers, numbers[0]):
        raise MixError(f"mergekit's {foreign.method} counts all sources the same, and this merge does not.")


def _by_names(blend: Blend, tensors: Sequence[str]) -> Blend:
    """Return the same blend with values by parts of names in the place of weights by parts and of a scale by depth."""
    changes: dict[str, Any] = {}
    if blend.layers:
        of = weights_of(blend, tensors)
        assert callable(of), "they are weights of parts"
        each = [{name: float(of(name)[place]) for name in tensors} for place in range(len(blend.sources))]
        changes |= {"weights": tuple(map(_conditions, each)), "layers": {}}
    if blend.lines is not None:
        changes |= {"scales": _conditions(scales_of(blend, tensors) or {}), "lines": None}
    return blend.model_copy(update=changes)


def _conditions(values: Mapping[str, float]) -> tuple[Where, ...]:
    """Return values by parts of names that give each of these tensors its own, the first that fits."""
    groups: dict[tuple[str, float], list[str]] = {}
    for name, value in values.items():
        groups.setdefault((part_of(name), value), []).append(name)
    begins = {_begin(names): value for (_, value), names in groups.items()}
    found = tuple(Where(filter=begin, value=value) for begin, value in begins.items() if begin)
    if all(value_at(found, name, 0) == value for name, value in values.items()):
        return found
    return tuple(Where(filter=name, value=values[name]) for name in sorted(values, key=len, reverse=True))


def _begin(names: Sequence[str]) -> str:
    """Return the parts, each with its dot, that all names begin with; their last parts are not among them."""
    shared = takewhile(lambda alike: len(set(alike)) == 1, zip(*(name.split(".")[:-1] for name in names), strict=False))
    return "".join(f"{alike[0]}." for alike in shared)


def _times(scales: Weight, factor: float) -> Weight:
    """Return scales that are all multiplied by a number."""
    if isinstance(scales, float):
        return scales * factor
    return tuple(  # type: ignore[return-value]
        each.model_copy(update={"value": _times(each.value, factor)}) if isinstance(each, Where) else each * factor
        for each in scales
    )


def _plain(weight: Weight) -> Any:
    """Return a weight as YAML has it."""
    if isinstance(weight, float):
        return weight
    return [_where(each) if isinstance(each, Where) else each for each in weight]


def _where(where: Where) -> dict[str, Any]:
    value = where.value if isinstance(where.value, float) else list(where.value)
    return ({"filter": where.filter} if where.filter else {}) | {"value": value}
