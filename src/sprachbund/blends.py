"""Any checkpoints, merged by any method: no locale, no target, nothing that is chosen or measured.

A blend is asked for by flags, ``sprachbund merge --method ties --source …``, or by a mergekit recipe (:mod:`mergekit`). It is
made into a model folder of its own, with a file beside the tensors that says of what.

A weight is a number; a row of numbers, which is drawn out over the layers, from the first to the last; or values for tensors by
a part of their names, of which the first that fits counts, as in mergekit's recipes. Instead, layer ranges may have weights
(:mod:`~sprachbund.weighting.layer_ranges`); the scale of task vectors may rise with depth (:mod:`~sprachbund.weighting.lines`).
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict

from sprachbund import __version__, digests, files, merging
from sprachbund.candidates import base_of, made_before, new_head
from sprachbund.cards import BlendDetails, BlendedModel, origin_of, read_blend, write_blend
from sprachbund.checkpoints import (
    COMPANIONS,
    CONFIG,
    Alignment,
    Checkpoint,
    TensorFile,
    check_one_vocabulary,
    layer_of,
    on_the_hub,
    part_of,
    split_subfolder,
    unchanged,
)
from sprachbund.checkpoints.hub import HubModel
from sprachbund.errors import IncompatibleError, MixError
from sprachbund.heads import head_agreement
from sprachbund.merging import STATISTICS, WeightsOf
from sprachbund.methods import METHODS, Method
from sprachbund.parallel import Report
from sprachbund.store import now
from sprachbund.weighting import depth_scales, layer_ranges

__all__ = [
    "UNION",
    "Blend",
    "Dtype",
    "Ingredients",
    "Weight",
    "Where",
    "check",
    "check_out",
    "equally",
    "known_before",
    "make",
    "scales_of",
    "value_at",
    "weights_of",
]

Dtype = Literal["float32", "float16", "bfloat16"]
DTYPE_CODES: Mapping[str, str] = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
UNION = "union"
"""The tokenizer that knows all tokens of all models; here they all have to have the same."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Where(_Frozen):
    """A value for those tensors whose name has something in it."""

    filter: str
    """Empty: all tensors."""
    value: float | tuple[float, ...]


Weight: TypeAlias = float | tuple[float, ...] | tuple[Where, ...]


class Blend(_Frozen):
    """What is to be merged, and how; models by name."""

    method: str
    sources: tuple[str, ...]
    weights: tuple[Weight, ...]
    """One per source."""
    normalize: bool = True
    """Whether weights are divided by their sum, for each tensor."""
    layers: dict[str, tuple[float, ...]] = {}
    """Weights of the sources by parts of the model, in the place of ``weights``."""
    lines: tuple[float, float] | None = None
    """α and β of LiNeS: the method's scale times α + β · depth."""
    scales: Weight | None = None
    """What the method's scale is multiplied by, in the forms that a weight has; in the place of ``lines``."""
    options: dict[str, Any] = {}
    """Of the method; defaults for the others."""
    base: str | None = None
    """θ₀, for methods on task vectors."""
    dtype: Dtype | None = None
    """What is written; None for the widest of the sources."""
    seed: int | None = None
    """Of methods that drop at random; None for 0."""
    tokenizer: str | None = None
    """The model whose tokenizer the blend gets, or ``union``; None for the source's whose config it gets."""
    layerwise: bool = False
    """Whether Gram matrices are those of inputs that went through the merged layers below: RegMean++."""

    @property
    def how(self) -> Method:
        """The method itself."""
        return METHODS[self.method]

    @property
    def statistics(self) -> tuple[Literal["fisher", "gram"], ...]:
        """What has to be measured on texts of the sources."""
        return tuple(kind for kind in STATISTICS if kind in self.how.needs)


class Ingredients(BaseModel):
    """The models of a blend, opened, and the texts of its sources."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    sources: tuple[Checkpoint, ...]
    base: Checkpoint | None = None
    tokenizer: Checkpoint | None = None
    """None where it is that of a source, or a union."""
    texts: tuple[tuple[str, ...], ...] = ()
    """Of each source, where the method measures something on them."""


def equally(count: int) -> tuple[float, ...]:
    """Return the weights of sources that count the same."""
    return (1 / count,) * count


# --- what can be known without a model ---------------------------------------------------------------------------------


def check(blend: Blend, texts: int) -> None:
    """Complain of what cannot be merged in this way, or would have no effect; ``texts`` is how many files of them there are.

    Raises:
        UserError: says what, and what to do.
    """
    method, count = blend.how, len(blend.sources)
    _check_apart(blend)
    method.settle(blend.options, count)
    _check_numbers(blend)
    numbers = [weight for weight in blend.weights if isinstance(weight, float)]
    if len(numbers) == count:
        method.check_sources(normalised(numbers, "the sources") if blend.normalize else numbers)
    for own in blend.layers.values():
        method.check_sources(own)
    if method.needs_base and blend.base is None:
        raise MixError(
            f"The method {blend.method} is about what the sources learned since their base: "
            "name it (--base, in a recipe base_model)."
        )
    if blend.base is not None and not method.needs_base:
        raise MixError(f"A base has no effect on the method {blend.method}: leave it out, or take another method.")
    if blend.lines is not None and not method.needs_base:
        raise MixError(
            f"--lines has no effect on the method {blend.method}, which is not about what the sources learned since their "
            "base: leave it out, or take another method (task_arithmetic, ties, …)."
        )
    if blend.scales is not None and not method.needs_base:
        raise MixError(f"A scale has no effect on the method {blend.method}: leave it out, or take another method.")
    if blend.seed is not None and "generators" not in method.needs:
        raise MixError(
            f"--seed has no effect on the method {blend.method}, which draws nothing at random: leave it out."
        )
    if blend.layerwise and blend.layers:
        raise MixError("--layerwise takes the same weights in all layers: leave it out, or --layers.")
    if blend.layerwise and "gram" not in method.needs:
        raise MixError(f"--layerwise has no effect on the method {blend.method}: leave it out, or take regmean.")
    _check_texts(blend, texts)


def check_out(blend: Blend, out: Path) -> None:
    """Complain of a folder for the blend in which a model of its own lies: it would be destroyed, whatever is allowed.

    Raises:
        MixError: says which model that is.
    """
    whole = out.expanduser().resolve()
    for name in (*blend.sources, blend.base, blend.tokenizer):
        place = _place(name) if name is not None and name != UNION else None
        if isinstance(place, Path) and (place == whole or whole in place.parents):
            raise MixError(f"A merge in {out} would destroy {name}, of which it is made: choose another --out.")


def _check_apart(blend: Blend) -> None:
    """Refuse a model that stands there twice, however it is spelled."""
    sources = [_place(name) for name in blend.sources]
    for number, (name, place) in enumerate(zip(blend.sources, sources, strict=True)):
        if place in sources[:number]:
            raise MixError(f"The source {name} stands there twice: name each source once.")
    if blend.base is not None and _place(blend.base) in sources:
        raise MixError(
            f"The base {blend.base} is one of the sources, which then has learned nothing since: leave that source out, or "
            "name another base."
        )


def _place(name: str) -> Path | HubModel:
    """Return where a model lies: a folder, without links and detours, or a place on the hub."""
    if place := on_the_hub(name):
        return place
    model, subfolder = split_subfolder(name)
    return (Path(model).expanduser() / subfolder).resolve()


def _check_numbers(blend: Blend) -> None:
    """Refuse weights that are no finite numbers or, where statistics are weighted, negative ones."""
    for place, weight in enumerate(blend.weights, start=1):
        for number in _numbers(weight):
            where = f"in place {place} of {len(blend.weights)}"
            if not math.isfinite(number):
                raise MixError(f"Weights must be finite numbers; got {number:g} {where}.")
            if number < 0 and blend.statistics:
                raise MixError(
                    f"The method {blend.method} takes no negative weights; got {number:g} {where}: give 0 or more."
                )


def _numbers(weight: Weight) -> Iterator[float]:
    """Yield all numbers of a weight, whichever tensors they are for."""
    if isinstance(weight, float):
        yield weight
    else:
        for each in weight:
            yield from _numbers(each.value if isinstance(each, Where) else each)


def _check_texts(blend: Blend, texts: int) -> None:
    if not blend.statistics and texts:
        raise MixError(f"--text has no effect on the method {blend.method}, which needs no texts: leave it out.")
    if blend.statistics and texts != len(blend.sources):
        raise MixError(
            f"The method {blend.method} measures each source on texts in its language: give one file for each "
            f"(--text FILE …); got {texts} for {len(blend.sources)} sources."
        )


# --- weights -----------------------------------------------------------------------------------------------------------


def weights_of(blend: Blend, tensors: Iterable[str]) -> tuple[float, ...] | WeightsOf:
    """Return the weights of the sources: one each or, from the name of each of these tensors, one each.

    Raises:
        MixError: they sum to 0 and shall be normalised, or there is none for a tensor.
    """
    if blend.layers:
        return layer_ranges(blend.layers, tensors)
    numbers = tuple(weight for weight in blend.weights if isinstance(weight, float))
    if len(numbers) == len(blend.weights):
        return normalised(numbers, "the sources") if blend.normalize else numbers
    layers = _layers(tensors)

    def of(tensor: str) -> Sequence[float]:
        depth = depth_of(tensor, layers)
        found = [
            _found(weight, tensor, depth, source) for weight, source in zip(blend.weights, blend.sources, strict=True)
        ]
        return normalised(found, f"tensor {tensor}") if blend.normalize else found

    return of


def scales_of(blend: Blend, tensors: Iterable[str]) -> Mapping[str, float] | None:
    """Return what the method's scale is multiplied by in each of these tensors; None where it is the same in all.

    Raises:
        MixError: there are no layers, or the numbers are not finite, or there is none for a tensor.
    """
    if blend.scales is not None:
        return _scales_by_name(blend.scales, list(tensors))
    if blend.lines is None:
        return None
    alpha, beta = blend.lines
    return depth_scales(tensors, alpha=alpha, beta=beta)


def _scales_by_name(scales: Weight, tensors: Sequence[str]) -> Mapping[str, float]:
    layers = _layers(tensors)
    found = {name: value_at(scales, name, depth_of(name, layers)) for name in tensors}
    for name, value in found.items():
        if value is None:
            raise MixError(f"There is no scale for tensor {name}: end its list with a value without a filter.")
    return {name: value for name, value in found.items() if value is not None}


def _layers(tensors: Iterable[str]) -> int:
    return 1 + max((layer for name in tensors if (layer := layer_of(name)) is not None), default=0)


def normalised(weights: Sequence[float], where: str) -> tuple[float, ...]:
    """Return weights with the sum 1, divided by what it is.

    Raises:
        MixError: it is 0.
    """
    total = math.fsum(weights)
    if abs(total) < 1e-8:
        raise MixError(
            f"The weights of {where} sum to 0 and cannot be normalised: change them, or take them as they are "
            "(--no-normalize, in a recipe normalize: false)."
        )
    return tuple(weight / total for weight in weights)


def depth_of(tensor: str, layers: int) -> float:
    """Return where a tensor stands, from 0 at the first layer to 1 at the last; 0 outside of layers, 1 for an only layer."""
    layer = layer_of(tensor)
    if layer is None:
        return 0.0
    return layer / (layers - 1) if layers > 1 else 1.0


def value_at(weight: Weight, tensor: str, depth: float) -> float | None:
    """Return the weight of a tensor at a depth in [0, 1]; None where it is for other tensors."""
    if isinstance(weight, float):
        return weight
    for each in weight:
        if isinstance(each, float):
            return float(np.interp(depth * (len(weight) - 1), range(len(weight)), np.asarray(weight, dtype=np.float64)))
        if each.filter in tensor:
            return value_at(each.value, tensor, depth)
    return None


def _found(weight: Weight, tensor: str, depth: float, source: str) -> float:
    value = value_at(weight, tensor, depth)
    if value is None:
        raise MixError(
            f"There is no weight of {source} for tensor {tensor}: end its list with a value without a filter."
        )
    return value


# --- made --------------------------------------------------------------------------------------------------------------


def known_before(blend: Blend, using: Ingredients, out: Path, *, overwrite: bool) -> BlendDetails | None:
    """Return the details of the model at ``out`` if it is this blend, None if it has to be made.

    Raises:
        StoreError: there is something else and ``overwrite`` is off, or something that is no model at all.
    """
    if out.is_dir() and not any(out.iterdir()):
        return None
    return made_before(out, _candidate(blend, using), read_blend, overwrite=overwrite, instead="--out")


def make(blend: Blend, using: Ingredients, out: Path, report: Report = lambda stage, done, total: None) -> BlendDetails:
    """Merge the models of a blend into the checkpoint ``out``, whatever was there; ``report`` is told of what is measured.

    Raises:
        IncompatibleError: they do not fit together.
        MixError: a model holds NaN or infinite numbers, or the method cannot be used in this way.
    """
    if blend.tokenizer == UNION:
        _check_vocabulary(using.sources, "a union of tokenizers")
    tensors = using.sources[0].tensors
    read = [*using.sources, *([using.base] if using.base else []), *([using.tokenizer] if using.tokenizer else [])]
    with files.atomic_folder(out) as folder, unchanged(read):
        alignment = merging.merge(
            using.sources,
            weights_of(blend, tensors),
            folder,
            method=blend.method,
            options=blend.options,
            base=using.base,
            statistics=_measured(blend, using, report),
            seed=blend.seed or 0,
            dtype=DTYPE_CODES[blend.dtype] if blend.dtype else None,
            scales=scales_of(blend, tensors),
        )
        if using.tokenizer:
            _take_tokenizer(using.tokenizer, using.sources[alignment.carrier if alignment else 0], folder)
        return write_blend(folder, _details(blend, using, alignment))


def _measured(blend: Blend, using: Ingredients, report: Report) -> Mapping[str, Sequence[TensorFile]]:
    """Return the statistics that the method needs, measured on the texts of the sources."""
    if not blend.statistics:
        return {}
    from sprachbund.statistics import for_sources  # takes torch, which no other blend needs

    sources = dict(zip(blend.sources, using.sources, strict=True))
    texts = dict(zip(blend.sources, using.texts, strict=True))
    if blend.layerwise:
        weights = weights_of(blend, using.sources[0].tensors)
        assert not callable(weights), "check has seen to that"
        return for_sources("gram++", sources, texts, weights=weights, options=blend.options, report=report)
    found: dict[str, Sequence[TensorFile]] = {}
    for kind in blend.statistics:
        found |= for_sources(kind, sources, texts, jobs=0, report=report)
    return found


def _take_tokenizer(giver: Checkpoint, lead: Checkpoint, folder: Path) -> None:
    """Put another model's tokenizer in the place of the one that is there.

    Raises:
        IncompatibleError: it has another vocabulary.
        CheckpointError: the model has none.
    """
    giver.check_tokenizer()
    _check_vocabulary([lead, giver], f"the tokenizer of {giver.name}")
    for name in COMPANIONS:
        if name != CONFIG:
            (folder / name).unlink(missing_ok=True)
            if (giver.folder / name).is_file():
                shutil.copyfile(giver.folder / name, folder / name)


def _check_vocabulary(models: Sequence[Checkpoint], tokenizer: str) -> None:
    """Refuse a tokenizer that is not that of all, since tensors would not have its rows."""
    try:
        check_one_vocabulary(models, tokenizer)
    except IncompatibleError as error:
        raise IncompatibleError(
            f"The merge cannot have {tokenizer}, since {models[0].name} has another vocabulary: leave out tokenizer_source, "
            "or name another model there."
        ) from error


def _details(blend: Blend, using: Ingredients, alignment: Alignment | None) -> BlendDetails:
    weights = weights_of(blend, using.sources[0].tensors)
    shown: Sequence[float | None] = [None] * len(using.sources) if callable(weights) else weights
    agreement = head_agreement(using.sources)
    lead = using.sources[alignment.carrier if alignment else 0]
    warnings = (agreement and agreement.warning, alignment and alignment.sentence, new_head(lead, using.base))
    return BlendDetails(
        method=blend.method,
        options=blend.how.settle_plainly(blend.options, len(blend.sources)),
        sources=tuple(
            BlendedModel(model=source.reference, digest=source.digest, weight=weight, **asdict(origin_of(source)))
            for source, weight in zip(using.sources, shown, strict=True)
        ),
        base=base_of(using.base) if using.base else None,
        seed=_seed(blend),
        dtype=blend.dtype,
        asked=blend.model_dump(mode="json"),
        warnings=tuple(warning for warning in warnings if warning),
        candidate=_candidate(blend, using),
        created=now(),
        version=__version__,
    )


def _seed(blend: Blend) -> int | None:
    return (blend.seed or 0) if "generators" in blend.how.needs else None


def _candidate(blend: Blend, using: Ingredients) -> dict[str, Any]:
    """Return the content of the blend: what goes in, by digest, and what is done with it."""
    asked = blend.model_dump(mode="json")["weights"]
    tensors = using.sources[0].tensors
    weights = weights_of(blend, tensors)
    by_tensor = callable(weights) and not blend.layers
    known = asked if callable(weights) else [f"{weight:.9g}" for weight in weights]
    return {
        "kind": "blend",
        "method": blend.method,
        "options": blend.how.settle_plainly(blend.options, len(blend.sources)),
        "sources": [[source.digest, weight] for source, weight in zip(using.sources, known, strict=True)],
        "normalize": blend.normalize if by_tensor else None,
        "layers": _by_part(weights, tensors) if callable(weights) and blend.layers else None,
        "lines": [f"{number:.9g}" for number in blend.lines] if blend.lines else None,
        "layerwise": blend.layerwise,
        "base": using.base.digest if using.base else None,
        "seed": _seed(blend),
        "dtype": blend.dtype,
        "tokenizer": using.tokenizer.tokenizer_digest if using.tokenizer else None,
        "texts": [digests.of_value(list(texts)) for texts in using.texts],
        **({"scales": blend.model_dump(mode="json")["scales"]} if blend.scales is not None else {}),
    }


def _by_part(weights: WeightsOf, tensors: Iterable[str]) -> dict[str, list[str]]:
    """Return the weights of each part of a model: the same, however its parts were put together."""
    return {part_of(name): [f"{weight:.9g}" for weight in weights(name)] for name in sorted(tensors)}
