"""From a recipe of mergekit to a blend of ours: what is not honoured is refused by its name."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sprachbund.blends import UNION, Blend, Dtype, Weight, Where, equally
from sprachbund.errors import MixError, UnknownName, UserError
from sprachbund.mergekit.tables import DTYPES, FOREIGN, OUR_NAMES, Foreign
from sprachbund.methods import METHODS
from sprachbund.untrusted import read_yaml

__all__ = ["read_recipe"]

KEYS = ("merge_method", "models", "parameters", "base_model", "dtype", "out_dtype", "tokenizer_source", "tokenizer")
SCALE = "lambda"
NOT_HONOURED = ("slices", "modules", "chat_template")
"""Keys of mergekit that there is nothing like here."""


def read_recipe(path: Path) -> Blend:
    """Return the blend that a recipe means; paths in it start where the command is typed, as in mergekit.

    Raises:
        UserError: there is no such file, it is no recipe, or has something in it that is not honoured.
    """
    recipe = _Recipe(path, _content(path))
    recipe.check_keys("", recipe.content, KEYS)
    return recipe.blend()


def _content(path: Path) -> Mapping[str, Any]:
    try:
        content = read_yaml(path)
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}: name a mergekit recipe (YAML).") from error
    except IsADirectoryError as error:
        raise UserError(f"{path} is a folder: name a mergekit recipe (YAML), or sources with --source.") from error
    except ValueError as error:
        raise UserError(f"{path} is not YAML ({error}): mend it.") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise UserError(f"{path} is no recipe: it must have lines `key: value`, merge_method and models among them.")
    return content


@dataclass(frozen=True)
class _Model:
    name: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class _Recipe:
    """A recipe while it is read."""

    path: Path
    content: Mapping[str, Any]

    @property
    def foreign(self) -> Foreign:
        method = self.content.get("merge_method")
        if not isinstance(method, str):
            raise self.error("merge_method must name a method")
        if method not in FOREIGN:
            raise UnknownName("merge_method", method, FOREIGN, f"It stands in {self.path}.")
        return FOREIGN[method]

    @property
    def shared(self) -> Mapping[str, Any]:
        """The parameters of all models."""
        return self._mapping("parameters", self.content.get("parameters"))

    def blend(self) -> Blend:
        """Return what the recipe means."""
        foreign = self.foreign
        base = self._name("base_model", self.content["base_model"]) if self.content.get("base_model") else None
        models = self._models(base)
        self._check_parameters(foreign, models, base)
        sources = self._sources(foreign, models, base)
        options = {**foreign.ours, **self._options(foreign, sources)}
        method, options = _form(foreign.method, options, has_base=base is not None)
        weights = self._by_t(sources) if foreign.method == "slerp" else self._weights(foreign, sources)
        return Blend(
            method=method,
            sources=tuple(model.name for model in sources),
            weights=weights,
            normalize=self._normalize(foreign),
            options=options,
            base=base if METHODS[method].needs_base else None,
            scales=self._scales(foreign),
            dtype=self._dtype(),
            tokenizer=self._tokenizer(base),
        )

    # --- models ---

    def _models(self, base: str | None) -> list[_Model]:
        listed = self.content.get("models")
        if not isinstance(listed, list) or not listed:
            raise self.error("models must list the models to merge, as lines `- model: NAME`")
        models = []
        for entry in listed:
            each = self._mapping("an entry of models", entry)
            self.check_keys("models", each, ("model", "parameters"))
            if "model" not in each:
                raise self.error("an entry of models has no model: name it")
            name = self._name("model", each["model"])
            models.append(_Model(name, self._mapping(f"parameters of {name}", each.get("parameters"))))
        if base is not None and all(model.name == base for model in models):
            raise self.error("models names none besides the base: add the sources")
        return models

    def _name(self, key: str, value: object) -> str:
        """Return the name of a model, in the form that it has here."""
        if not isinstance(value, str):
            raise self.error(f"{key} must be the name of a model, not {value!r}")
        if "+" in value and not Path(value).expanduser().exists():
            raise self.error(
                f"{key} {value} adds an adapter, which is not honoured: name the adapter's folder by itself"
            )
        return value

    def _sources(self, foreign: Foreign, models: Sequence[_Model], base: str | None) -> list[_Model]:
        """Return the models that are merged, as mergekit orders them: a base that is one of them and not listed is last."""
        if foreign.base == "start" and base is None:
            raise self.error(
                f"{self.content['merge_method']} works on what the models learned since their base: add base_model"
            )
        if foreign.method == "slerp":
            return self._pair(models, base)
        if base is None:
            return list(models)
        if foreign.base == "source":
            listed = any(model.name == base for model in models)
            return [*models, *([] if listed else [_Model(base, {})])]
        return [model for model in models if model.name != base]

    def _pair(self, models: Sequence[_Model], base: str | None) -> list[_Model]:
        others = [model for model in models if model.name != base]
        if base is None or len(others) != 1:
            raise self.error("slerp is between base_model and one other model: name both")
        return [_Model(base, {}), *others]

    # --- parameters ---

    def _check_parameters(self, foreign: Foreign, models: Sequence[_Model], base: str | None) -> None:
        """Refuse parameters that the method does not have, or that have no effect where they stand."""
        own = [name for name in foreign.options if _per_source(foreign, name)] + ["weight"] * foreign.weighted
        shared = [*foreign.options, *(foreign.normalize or ())[:1], *own]
        self.check_keys("parameters", self.shared, list(dict.fromkeys(shared)))
        for model in models:
            if model.name == base and foreign.base != "source" and model.parameters:
                raise self.error(
                    f"the base {base} has no task vector, so its parameters have no effect: leave them out"
                )
            self.check_keys(f"parameters of {model.name}", model.parameters, own)

    def _options(self, foreign: Foreign, sources: Sequence[_Model]) -> dict[str, object]:
        return {
            OUR_NAMES.get(name, name): self._option(name, default, sources)
            for name, default in foreign.options.items()
            if name != "t" and not (name == SCALE and self._varies(name))
        }

    def _varies(self, name: str) -> bool:
        return isinstance(self.shared.get(name), list | dict)

    def _scales(self, foreign: Foreign) -> Weight | None:
        """Return the scale where it differs between tensors; where it does not, it is an option of the method."""
        return self._varying(SCALE, self.shared[SCALE]) if SCALE in foreign.options and self._varies(SCALE) else None

    def _option(self, name: str, default: object, sources: Sequence[_Model]) -> object:
        """Return one value for all sources or, where some have their own, one each."""
        common = self._plain(name, self.shared.get(name, default))
        if isinstance(default, bool) and not isinstance(common, bool):
            raise self.error(f"{name} is true or false, not {common!r}")
        if not any(name in model.parameters for model in sources):
            return common
        return [self._plain(f"{name} of {model.name}", model.parameters.get(name, common)) for model in sources]

    def _plain(self, what: str, value: object) -> object:
        if isinstance(value, list | dict):
            raise self.error(
                f"{what} differs between tensors, which is honoured for weight, t and lambda alone: give one number"
            )
        return value

    def _normalize(self, foreign: Foreign) -> bool:
        if foreign.normalize is None:
            return False
        name, default = foreign.normalize
        value = self.shared.get(name, default)
        if not isinstance(value, bool):
            raise self.error(f"{name} is true or false, not {value!r}")
        if foreign.elects and not value:
            said = "" if name in self.shared else " (the default there)"
            raise self.error(
                f"{name}: false{said} is not honoured for {self.content['merge_method']}, which here always divides by the "
                f"weights of those that agree: write {name}: true"
            )
        return value and not foreign.elects

    def _weights(self, foreign: Foreign, sources: Sequence[_Model]) -> tuple[Weight, ...]:
        if not foreign.weighted:
            return equally(len(sources))
        return tuple(self._weight_of(model) for model in sources)

    def _weight_of(self, model: _Model) -> Weight:
        """Return the weight of a model; where its own has none for a tensor, that of all models counts."""
        found = [
            self._varying("weight", parameters["weight"])
            for parameters in (model.parameters, self.shared)
            if "weight" in parameters
        ]
        if not found:
            raise self.error(f"{model.name} has no weight: add one to its parameters")
        own, *common = found
        if not common or not _is_conditional(own):
            return own
        return (*_conditions(own), *_conditions(common[0]))

    def _by_t(self, pair: Sequence[_Model]) -> tuple[Weight, ...]:
        """Return the weights 1 − t of the base and t of the other model."""
        if "t" not in self.shared:
            raise self.error("slerp has no t: add it to parameters, from 0 (the base) to 1")
        t = self._varying("t", self.shared["t"])
        return _mapped(t, lambda value: 1 - value), t

    def _varying(self, what: str, value: object) -> Weight:
        """Return a number, a row of numbers over the layers, or values by parts of names."""
        if isinstance(value, dict):
            value = [value]
        if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
            return tuple(self._where(what, each) for each in value)
        return self._number_or_row(what, value)

    def _where(self, what: str, entry: Mapping[str, Any]) -> Where:
        self.check_keys(what, entry, ("filter", "value"))
        if "value" not in entry:
            raise self.error(f"an entry of {what} has no value: give it one")
        part = entry.get("filter")
        name = "" if part in (None, "*") else str(part)
        return Where(filter=name, value=self._number_or_row(what, entry["value"]))

    def _number_or_row(self, what: str, value: object) -> float | tuple[float, ...]:
        try:
            if isinstance(value, list) and value:
                return tuple(_number(each) for each in value)
            return _number(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise self.error(
                f"{what} must be a finite number, such numbers for the layers, or a list of filter and value; got {value!r}"
            ) from error

    # --- what is written ---

    def _dtype(self) -> Dtype | None:
        for key in ("out_dtype", "dtype"):
            value = self.content.get(key)
            if value is None:
                continue
            if not isinstance(value, str) or value not in DTYPES:
                raise UnknownName(f"{key} in {self.path}", str(value), DTYPES)
            return cast(Dtype, value)
        return None

    def _tokenizer(self, base: str | None) -> str | None:
        key, value = "tokenizer_source", self.content.get("tokenizer_source")
        if "tokenizer" in self.content:
            if value is not None:
                raise self.error("tokenizer and tokenizer_source say the same: leave one out")
            entry = self._mapping("tokenizer", self.content["tokenizer"])
            self.check_keys("tokenizer", entry, ("source",))
            key, value = "the source of tokenizer", entry.get("source", UNION)
        if value == "base":
            if base is None:
                raise self.error(f"{key} is base, but there is no base_model: add it, or name a model")
            return base
        return None if value is None else self._name(key, value)

    # --- complaints ---

    def check_keys(self, where: str, found: Mapping[str, Any], known: Collection[str]) -> None:
        """Refuse what is not known at this place, by its name."""
        place = f"{where} in {self.path}" if where else str(self.path)
        for key in found:
            if key in known:
                continue
            if key in NOT_HONOURED or key in _parameters_of_mergekit():
                raise self.error(
                    f"{key} is not honoured here{self._of_method(where)}: leave it out, or merge with mergekit"
                )
            raise UnknownName(f"key of {place}", key, list(known))

    def _of_method(self, where: str) -> str:
        return f" as one of the {where} of {self.content['merge_method']}" if where else ""

    def _mapping(self, what: str, value: object) -> Mapping[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise self.error(f"{what} must have lines `key: value`, not {value!r}")
        return value

    def error(self, what: str) -> MixError:
        """Return a complaint about the recipe."""
        return MixError(f"{self.path}: {what}.")


def _parameters_of_mergekit() -> set[str]:
    """Return the parameters that mergekit has for some method."""
    own = {name for foreign in FOREIGN.values() for name in (*foreign.options, *(foreign.normalize or ())[:1])}
    return own | {"weight", "int8_mask"}


def _per_source(foreign: Foreign, name: str) -> bool:
    """Return whether a parameter can differ between models."""
    option = METHODS[foreign.method].options.get(name)
    return option is not None and option.per_source


def _form(method: str, options: dict[str, object], *, has_base: bool) -> tuple[str, dict[str, object]]:
    """Return which of our methods it is where one of mergekit's is two of ours."""
    if method == "multislerp" and has_base:
        return "multislerp_taus", options
    if options.pop("filter_wise", False):
        return "model_stock_filter_wise", options
    return method, options


def _number(value: object) -> float:
    """Return a finite number; mergekit also takes what YAML has for a text, as 1e-3."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError(f"{value!r} is no number")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not finite")
    return number


def _is_conditional(weight: Weight) -> bool:
    return isinstance(weight, tuple) and isinstance(weight[0], Where)


def _conditions(weight: Weight) -> tuple[Where, ...]:
    """Return a weight in the form of values by parts of names."""
    if isinstance(weight, tuple) and all(isinstance(each, Where) for each in weight):
        return tuple(each for each in weight if isinstance(each, Where))
    return (Where(filter="", value=weight),)  # type: ignore[arg-type]


def _mapped(weight: Weight, change: Callable[[float], float]) -> Weight:
    """Return a weight with all its numbers changed."""
    if isinstance(weight, float):
        return change(weight)
    if _is_conditional(weight):
        return tuple(Where(filter=each.filter, value=_mapped(each.value, change)) for each in _conditions(weight))  # type: ignore[arg-type]
    return tuple(change(each) for each in weight if isinstance(each, float))
