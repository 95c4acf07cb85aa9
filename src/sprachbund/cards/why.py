"""Why a model is what it is, for its card: why these sources, why these weights, what became of their heads.

A merge for a target tells it by its recipe. Of adaptations each kind is told in its own words: what was asked of the sources,
what followed from the answers, and what the weights in the table are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sprachbund.adaptation import Adaptation
from sprachbund.cards.details import MergeDetails
from sprachbund.public import code, plain, public_text
from sprachbund.recipe import AVERAGE, FROM, GREEDY_SOUP, MANUAL, REFIT, WIDE, Recipe

__all__ = ["adapted_to", "why_so"]


def why_so(details: MergeDetails, known: Iterable[str]) -> list[str]:
    """Return paragraphs in Markdown; in the reasons, names of models that are ``known`` are cut to what others may see."""
    recipe = details.recipe
    reasons = [plain(public_text(reason, known)) for reason in details.reasons]
    if recipe.adaptation is not None:
        found = Adaptation.model_validate(recipe.adaptation)
        return [f"{_asked(found)} {_KINDS[found.kind](found)}", *reasons]
    options = ", ".join(f"{name} {value}" for name, value in (recipe.options or {}).items())
    method = [f"Settings of the method: {code(options)}."] if options else []
    return [f"{_choice(details)} {_weights(recipe)} {_heads(recipe, details)}", *method, *reasons]


def _choice(details: MergeDetails) -> str:
    recipe, count = details.recipe, len(details.sources)
    by = code(public_text(recipe.similarity or ""))
    match recipe.selection:
        case "topk":
            return f"The sources are the {count} most similar to the target by {by}."
        case "original":
            return f"The sources are the {count} that the original experiment chose: by {by}, normalised (Sinkhorn)."
        case selection if selection == MANUAL:
            return "The sources were named by hand."
    if recipe.weighting == GREEDY_SOUP:
        return "Sources were added, the best first, as long as the merge got no worse on the dev splits of their languages."
    return "All sources that there were take part."


def _weights(recipe: Recipe) -> str:
    match recipe.weighting:
        case "similarity":
            return f"Their weights are the softmax of {recipe.sharpness:g} times their similarity."
        case "proportional":
            return "Their weights are in proportion to what they were chosen by."
        case weighting if weighting == MANUAL:
            return "Their weights were given by hand."
    return "They count the same."


def _heads(recipe: Recipe, details: MergeDetails) -> str:
    agreement = details.head_agreement
    alike = "" if agreement is None else f" (smallest cosine between two of them: {agreement:.2f})"
    if recipe.head_policy == AVERAGE:
        return f"Their classification heads were merged like the rest{alike}."
    if recipe.head_policy == WIDE:
        return f"Their classification heads stand side by side, and their weighted logits add up{alike}."
    if recipe.head_policy == REFIT:
        return f"One classification head was fitted, on raw text, to what theirs say together{alike}."
    return f"The classification head is that of {plain(recipe.head_policy.removeprefix(FROM))}{alike}."


# --- adaptations -------------------------------------------------------------------------------------------------------

_SCORES = {
    "overlap": "the share of the target's tokens that it met in training",
    "confidence": "how sure it is of its answers",
    "agreement": "how often it answers as the mean of all others",
    "dawid-skene": "how far truth inference (Dawid and Skene) trusts its answers",
    "bayesian": "how far truth inference (Rahimi et al.) trusts its answers",
}
"""By reliability, what it looks at."""
_GROUPS = {"model": "for each source", "layer": "for each layer", "tensor": "for each tensor"}
_OBJECTIVES = {
    "entropy": "so that the merge is sure of its answers",
    "infomax": "so that the merge is sure of its answers, and gives many different ones",
    "teacher": "so that the merge answers as the sources do together",
}


def adapted_to(recipe: Recipe) -> str:
    """Return what an adaptation has seen of its target, to be followed by “of the target”."""
    labels = Adaptation.model_validate(recipe.adaptation).labels
    return "raw text" + (f", and to at most {_texts(labels)} per intent," if labels else "")


def _texts(labels: int) -> str:
    return f"{labels} labelled text{'' if labels == 1 else 's'}"


def _asked(found: Adaptation) -> str:
    """Say how the sources were scored."""
    parts = found.reliability.split("+")
    by = ", and ".join(_SCORES.get(part, code(part)) for part in parts)
    each = ", each counting the same" if len(parts) > 1 else ""
    return f"Each source was scored by raw text of the target ({code(found.reliability)}): by {by}{each}."


def _taking_part(found: Adaptation) -> str:
    return "All sources" if found.num_languages is None else f"The {found.num_languages} sources that score best"


def _by_score(found: Adaptation) -> str:
    """Say what weights by reliability are."""
    if found.sharpness == 0:
        return "count the same"
    return f"have weights that grow with their score (sharpness {found.sharpness:g})"


def _picked(found: Adaptation) -> str:
    return "The one that scores best is the model, as it is."


def _merged(found: Adaptation) -> str:
    rows = (
        " Each row of the embedding is weighted by how often the sources met its token, too."
        if found.vocabulary
        else ""
    )
    return f"{_taking_part(found)} were merged, and {_by_score(found)}.{rows}"


def _learned(found: Adaptation) -> str:
    how = found.coefficients
    return (
        f"{_taking_part(found)} were merged with coefficients that were learned on that text {_GROUPS[how.groups]}, "
        f"{_OBJECTIVES[how.objective]}; they started as weights that grow with the score. The table shows their means."
    )


def _start(found: Adaptation) -> str:
    starts = {
        "base": "the base with a new head",
        "pick": "the source that scores best",
        "merge": f"a merge of {_taking_part(found).lower()}, which {_by_score(found)}",
    }
    return starts[found.start]


def _distilled(found: Adaptation) -> str:
    teachers = {
        "pick": "the source that scores best does",
        "uniform": f"{_taking_part(found).lower()} do on average",
        "reliability": f"{_taking_part(found).lower()} do together, by their score",
    }
    what = "the head of the model was trained" if found.distillation.head_only else "the model was trained"
    shown = (
        "The table shows the weights of the merge."
        if found.start == "merge"
        else "The table shows how its teachers count."
    )
    return f"It started as {_start(found)}; then {what} to answer that text as {teachers[found.teacher]}. {shown}"


def _auto(found: Adaptation) -> str:
    return (
        "The source that scores best, a merge, and a student that was trained to answer that text as the sources do together "
        "were compared; what follows says which of them it is. In the merge and among the teachers "
        f"{_taking_part(found).lower()} {_by_score(found)}."
    )


def _soup(found: Adaptation) -> str:
    return (
        f"That chose nothing: sources were added, the best first, as long as the merge got no worse on at most "
        f"{_texts(found.labels)} of the target per intent (a greedy soup), and count the same."
    )


def _coefficients(found: Adaptation) -> str:
    return (
        f"{_taking_part(found)} were merged with coefficients that were learned on at most {_texts(found.labels)} of the "
        f"target per intent, {_GROUPS[found.coefficients.groups]}; they started as weights that grow with the score. "
        "The table shows their means."
    )


def _head(found: Adaptation) -> str:
    return (
        f"{_taking_part(found)} were merged, and {_by_score(found)}. The last layer was fitted to what they say of that text "
        f"together, and to at most {_texts(found.labels)} of the target per intent."
    )


def _finetuned(found: Adaptation) -> str:
    return (
        f"It started as {_start(found)}, and was fine-tuned on at most {_texts(found.labels)} of the target per intent."
    )


_KINDS: Mapping[str, Callable[[Adaptation], str]] = {
    "pick": _picked,
    "merge": _merged,
    "learned": _learned,
    "distilled": _distilled,
    "auto": _auto,
    "few-soup": _soup,
    "few-coefficients": _coefficients,
    "few-head": _head,
    "few-finetuned": _finetuned,
}
"""All that make a model; an ensemble is none, and has no card."""
