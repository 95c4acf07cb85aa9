"""What a merge method is: pure maths under a name, and what the engine has to hand to it.

Methods are about the sources' *thetas* (their tensors) or their *taus* (task vectors τᵢ = θᵢ − θ₀, for which a base is
needed). There are two kinds:

- A **coefficient method** maps weights `[n]` and, where it has a parameter ``products``, the inner products `[n, n]` of the
  sources' vectors, to coefficients `[n]`. The engine does the sum: Σ cᵢ θᵢ, or θ₀ + Σ cᵢ τᵢ. It is said ``of`` which it is.
- A **tensor method** maps stacked tensors `[n, *cut]` and weights `[n]` to `[*cut]`: a tensor, or a task vector that the engine
  adds to θ₀. The name of its first parameter says which. ``granularity`` says how the engine may cut tensors up; how it does
  never changes a result. It may overwrite the tensors that it gets: they are in a buffer of the engine's.

Parameters have no defaults, options have: ``summary``, ``generators``, ``fisher``, ``gram`` and ``products`` are handed in
because the signature names them; keyword parameters with a type and a default are what users can set (``--set density=0.2``).
An option of type :data:`PerSource` arrives as an array `[n]`, whether users gave one number or one per source.

Methods never normalise weights: weightings do.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias, get_type_hints

import numpy as np
import numpy.typing as npt
from pydantic import Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from sprachbund.errors import MixError
from sprachbund.registry import Registry

__all__ = [
    "METHODS",
    "Array",
    "Density",
    "ElectSign",
    "Fraction",
    "Granularity",
    "Method",
    "Option",
    "Pass",
    "PerSource",
    "Rescale",
    "Scale",
    "Scope",
    "coefficient_method",
    "tensor_method",
]

Array: TypeAlias = npt.NDArray[Any]
Granularity = Literal["element", "row", "tensor"]
"""How a tensor may be cut: `[n, elements]`; `[n, rows, width]` with whole rows (a vector is one row); or `[n, *shape]`."""
Scope = Literal["tensor", "model"]
"""Over what summaries add up: each tensor by itself, or all of the model."""

NEEDS = ("products", "summary", "generators", "fisher", "gram")
"""What the engine can hand in besides tensors and weights."""

Fraction = Annotated[float, Field(gt=0, le=1)]
Scale = Annotated[float, Field(description="λ, by which the merged task vector is multiplied.")]


class _EachSource:
    """Marks options that may differ between sources."""


PerSource = Annotated[float, _EachSource()]
"""One number for all sources, or one for each: a method gets an array [n]. Bounds go around it:
``Annotated[PerSource, Field(gt=0, le=1)]``."""

Density = Annotated[PerSource, Field(gt=0, le=1, description="Fraction of a source's task vector that is kept.")]
ElectSign = Annotated[bool, Field(description="Whether signs are elected, and those that agree averaged.")]
Rescale = Annotated[bool, Field(description="Whether what is kept is divided by the probability of being kept.")]


@dataclass(frozen=True)
class Pass:
    """A round over all chunks before the one that merges: what adds up over chunks and goes into ``summary`` by name.

    ``of(vectors, weights, summary, **options)`` gets a chunk as the method itself does, and what earlier passes found. What it
    returns must be counts (integers), or float64 sums. A function gets those options alone that its signature names.
    """

    name: str
    of: Callable[..., Mapping[str, Array]]


@dataclass(frozen=True)
class Option:
    """What users can set: a type with its bounds, and a default."""

    name: str
    type: Any
    default: Any
    description: str
    per_source: bool

    def check(self, method: str, value: object, sources: int) -> Any:
        """Return the value in the option's type; an array [n] for one per source.

        Raises:
            MixError: it is of another type, out of bounds, or not one per source.
        """
        try:
            if not self.per_source:
                return self._checked(method, TypeAdapter(self.type), value)
            listed = isinstance(value, Sequence | np.ndarray) and not isinstance(value, str)
            given = list(value) if listed else [value] * sources  # type: ignore[call-overload]
            if len(given) != sources:
                raise MixError(
                    f"The option {self.name} of the method {method} has {len(given)} values for {sources} sources: "
                    "give one for all, or one each."
                )
            adapter = TypeAdapter(self.type)
            return np.asarray([self._checked(method, adapter, each) for each in given], dtype=np.float64)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            shown = value.tolist() if isinstance(value, np.ndarray) else value
            raise MixError(
                f"The option {self.name} of the method {method} cannot be {shown!r}: {reason[:1].lower()}{reason[1:]}."
            ) from error

    def _checked(self, method: str, adapter: TypeAdapter[Any], value: object) -> Any:
        found = adapter.validate_python(value)
        is_number = isinstance(found, float)
        if is_number and (isinstance(value, bool) or not math.isfinite(found)):
            raise MixError(f"The option {self.name} of the method {method} cannot be {value!r}: it is a number.")
        return found


@dataclass(frozen=True)
class Method:
    """A merge method with what its row in the table of methods says."""

    name: str
    kind: Literal["coefficient", "tensor"]
    function: Callable[..., Any]
    formula: str
    paper: str
    """``arXiv:…``, or where else it is described."""
    reference: str
    """By whose numbers the tests check it."""
    granularity: Granularity
    passes: tuple[Pass, ...]
    uses_weights: bool
    """False where the method counts all sources the same: only a uniform weighting goes with it."""
    matrices_only: bool
    """Whether it is about the weight matrices of layers; all other tensors (vectors, embeddings) are then summed linearly."""
    most_sources: int | None
    """How many sources it can take; None without a limit."""
    needs: tuple[str, ...]
    needs_base: bool
    """Whether it works on task vectors."""
    options: Mapping[str, Option]

    def settle(self, options: Mapping[str, object], sources: int) -> dict[str, Any]:
        """Return all options, those that were given and defaults for the others.

        Raises:
            MixError: there is no such option, or its value is out of bounds.
        """
        for name in options:
            if name not in self.options:
                known = ", ".join(self.options) or "none"
                raise MixError(f"The method {self.name} has no option {name}; it has: {known}.")
        return {
            name: option.check(self.name, options.get(name, option.default), sources)
            for name, option in self.options.items()
        }

    def settle_plainly(self, options: Mapping[str, object], sources: int) -> dict[str, Any]:
        """Return all options as JSON has them, by which merges are told apart."""
        settled = self.settle(options, sources)
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in settled.items()}

    def check_sources(self, weights: Sequence[float] | Array) -> None:
        """Complain of more sources than the method can take, or of weights that it would not look at.

        Raises:
            MixError: says which method, and what to do.
        """
        if self.most_sources is not None and len(weights) > self.most_sources:
            raise MixError(
                f"The method {self.name} merges at most {self.most_sources} sources; got {len(weights)}: take another method."
            )
        if not self.uses_weights and not np.allclose(np.asarray(weights), np.asarray(weights)[:1]):
            raise MixError(f"The method {self.name} counts all sources the same: leave out the weights.")


METHODS: Registry[Method] = Registry("method")

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def coefficient_method(
    name: str,
    *,
    of: Literal["thetas", "taus"],
    formula: str,
    paper: str,
    reference: str,
    uses_weights: bool = True,
    most_sources: int | None = None,
) -> Decorator:
    """Register a function of weights `[n]` → coefficients `[n]` of the sources' thetas or taus."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        needs, options = _read(name, function)
        METHODS.add(
            name,
            Method(
                name=name,
                kind="coefficient",
                function=function,
                formula=formula,
                paper=paper,
                reference=reference,
                granularity="tensor" if "products" in needs else "element",
                passes=(),
                uses_weights=uses_weights,
                matrices_only=False,
                most_sources=most_sources,
                needs=needs,
                needs_base=of == "taus",
                options=options,
            ),
        )
        return function

    return register


def tensor_method(
    name: str,
    *,
    granularity: Granularity,
    formula: str,
    paper: str,
    reference: str,
    passes: Sequence[Pass] = (),
    uses_weights: bool = True,
    matrices_only: bool = False,
) -> Decorator:
    """Register a function of ``thetas`` or ``taus`` `[n, *cut]` and ``weights`` `[n]` → `[*cut]`."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        needs, options = _read(name, function, "thetas", "taus")
        METHODS.add(
            name,
            Method(
                name=name,
                kind="tensor",
                function=function,
                formula=formula,
                paper=paper,
                reference=reference,
                granularity=granularity,
                passes=tuple(passes),
                uses_weights=uses_weights,
                matrices_only=matrices_only,
                most_sources=None,
                needs=needs,
                needs_base="taus" in inspect.signature(function).parameters,
                options=options,
            ),
        )
        return function

    return register


def _read(name: str, function: Callable[..., Any], *vectors: str) -> tuple[tuple[str, ...], Mapping[str, Option]]:
    """Return what a function needs, and what its options are: its signature says."""
    parameters = inspect.signature(function).parameters
    hints = get_type_hints(function, include_extras=True)
    needs, options = [], {}
    if "weights" not in parameters or (vectors and len(parameters.keys() & set(vectors)) != 1):
        raise ValueError(
            f"method {name!r} has parameters {', '.join(parameters)}: {' or '.join(vectors)} and weights, say"
        )
    for each in list(parameters.values()):
        if each.name in (*vectors, "weights"):
            continue
        if each.default is not inspect.Parameter.empty:
            options[each.name] = _option(each, hints[each.name])
        elif each.name in NEEDS:
            needs.append(each.name)
        else:
            raise ValueError(f"method {name!r}: an option needs a default, and {each.name!r} is nothing else")
    return tuple(needs), options


def _option(parameter: inspect.Parameter, hint: Any) -> Option:
    marks = getattr(hint, "__metadata__", ())
    described = [mark.description for mark in marks if isinstance(mark, FieldInfo) and mark.description]
    return Option(
        name=parameter.name,
        type=hint,
        default=parameter.default,
        description=described[-1] if described else "",
        per_source=any(isinstance(mark, _EachSource) for mark in marks),
    )
