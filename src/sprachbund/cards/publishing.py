"""What of a model's folder goes to the hub: the files that make the model, and no word of this machine in them.

Other files that lie there stay here. Details and configs are sent with the paths in them cut; the tensors are not touched, so
that their digest is the one that the details know. The card is sent as it is, since its owner may have written on; a path that
stands in it is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sprachbund.cards.details import BLEND, CARD, DETAILS, DETAILS_TEXT, BlendDetails, Details, MergeDetails
from sprachbund.cards.text import details_text
from sprachbund.checkpoints import COMPANIONS, CONFIG, WEIGHTS
from sprachbund.errors import CheckpointError
from sprachbund.public import public_name, public_text, public_zoo

__all__ = ["published_files"]

_PLACES = ("_name_or_path", "name_or_path", "tokenizer_file", "vocab_file", "merges_file", "special_tokens_map_file")
"""Entries of configs in which transformers notes where it found something."""
_CODE = "auto_map"
"""The entry of a config that names the code beside a model."""


def published_files(folder: Path, details: Details) -> dict[str, Path | bytes]:
    """Return what is sent, by name: files as they are, or what is sent in the place of one.

    Raises:
        CheckpointError: there is no model card, it names a place on this machine, or its front matter is none.
    """
    known = _known_names(details)
    found: dict[str, Path | bytes] = {CARD: _card(folder, known)}
    for name in COMPANIONS:
        if (folder / name).is_file():
            found[name] = _config(folder / name)
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    modules = {str(code).partition(".")[0] for code in (config.get(_CODE) or {}).values()}
    found |= {f"{module}.py": folder / f"{module}.py" for module in sorted(modules)}
    found[WEIGHTS] = folder / WEIGHTS
    if isinstance(details, BlendDetails):
        return found | {BLEND: _as_json(_clean_blend(details).model_dump(mode="json"))}
    clean = _clean_merge(details, known)
    return found | {DETAILS: _as_json(clean.model_dump(mode="json")), DETAILS_TEXT: details_text(clean).encode()}


def _known_names(details: Details) -> list[str]:
    models = [*details.sources, *([details.base] if details.base else [])]
    return [*(model.model for model in models), *([details.zoo] if isinstance(details, MergeDetails) else [])]


def _card(folder: Path, known: Iterable[str]) -> Path:
    card = folder / CARD
    if not card.is_file():
        raise CheckpointError(f"{folder} has no model card: write it (sprachbund card --model {folder}).")
    text = card.read_text(encoding="utf-8", errors="replace")
    places = [str(Path.home()), *(name for name in known if Path(name).is_absolute())]
    for place in places:
        if place != "/" and place in text:
            raise CheckpointError(
                f"{card} names a place on this machine ({place}): take that out, or write the card anew "
                f"(sprachbund card --model {folder} --overwrite)."
            )
    _check_front(card, text)
    return card


def _check_front(card: Path, text: str) -> None:
    """Refuse a front matter that the hub could not read, before anything is asked or sent."""
    import yaml
    from huggingface_hub import ModelCard

    try:
        ModelCard(text)
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:  # entries of another shape
        reason = " ".join(str(error).split("\n")[0].split()) or type(error).__name__
        raise CheckpointError(
            f"The front matter of {card} cannot be read ({reason}): mend what stands between its lines ---, or write the card "
            f"anew (sprachbund card --model {card.parent} --overwrite)."
        ) from error


def _config(path: Path) -> Path | bytes:
    """Return a companion, without where transformers found things if it says that."""
    if path.suffix != ".json":
        return path
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return path
    said = [name for name in _PLACES if isinstance(content, dict) and isinstance(content.get(name), str)]
    said = [name for name in said if Path(content[name]).expanduser().is_absolute()]
    return _as_json({name: value for name, value in content.items() if name not in said}) if said else path


def _as_json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _clean_merge(details: MergeDetails, known: Iterable[str]) -> MergeDetails:
    similarity = details.recipe.similarity
    return details.model_copy(
        update={
            "zoo": public_zoo(details.zoo),
            "sources": tuple(s.model_copy(update={"model": public_name(s.model)}) for s in details.sources),
            "base": details.base and details.base.model_copy(update={"model": public_name(details.base.model)}),
            "recipe": details.recipe.model_copy(update={"similarity": similarity and public_text(similarity)}),
            "warnings": tuple(public_text(warning, known) for warning in details.warnings),
            "reasons": tuple(public_text(reason, known) for reason in details.reasons),
        }
    )


def _clean_blend(details: BlendDetails) -> BlendDetails:
    asked = details.asked
    known = [*asked["sources"], *(asked[key] for key in ("base", "tokenizer") if asked.get(key))]
    places = {name: public_name(name) for name in known}
    names: dict[str, Any] = {"sources": [places[name] for name in asked["sources"]]}
    names |= {key: asked[key] and places[asked[key]] for key in ("base", "tokenizer") if key in asked}
    return details.model_copy(
        update={
            "sources": tuple(s.model_copy(update={"model": public_name(s.model)}) for s in details.sources),
            "base": details.base and details.base.model_copy(update={"model": public_name(details.base.model)}),
            "asked": asked | names,
            "warnings": tuple(public_text(warning, [*known, *_known_names(details)]) for warning in details.warnings),
        }
    )
