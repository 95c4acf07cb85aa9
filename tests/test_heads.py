"""Heads of one seed agree, heads of two seeds are strangers, and that is said."""

from __future__ import annotations

import pytest
import torch
from pico import Pico, rewrite, state

from sprachbund.checkpoints import Checkpoint, open_checkpoint
from sprachbund.heads import TOO_LOW, head_agreement

MATRICES = ("classifier.dense.weight", "classifier.out_proj.weight")


def cosine(first: Checkpoint, second: Checkpoint) -> float:
    a, b = (torch.cat([state(source)[name].double().flatten() for name in MATRICES]) for source in (first, second))
    return float(torch.nn.functional.cosine_similarity(a, b, dim=0))


def test_heads_of_one_seed_agree(sources: list[Checkpoint]) -> None:
    agreement = head_agreement(sources)
    assert agreement is not None
    assert 0.95 < agreement.cosine < 1
    assert agreement.warning is None


def test_it_is_the_smallest_cosine_of_all_pairs(pico: Pico, sources: list[Checkpoint]) -> None:
    odd = pico.source("odd", change=0.3)
    pairs = {(a.name, b.name): cosine(a, b) for i, a in enumerate([*sources, odd]) for b in [*sources, odd][i + 1 :]}
    agreement = head_agreement([*sources, odd])
    assert agreement is not None
    assert agreement.cosine == pytest.approx(min(pairs.values()))
    assert (agreement.first, agreement.second) == min(pairs, key=pairs.__getitem__)
    assert agreement.second == "odd"


@pytest.mark.parametrize("number", [torch.nan, torch.inf, -torch.inf])
def test_what_is_no_number_is_left_to_the_merge_to_refuse(number: float, pico: Pico, sources: list[Checkpoint]) -> None:
    """No warning of numpy's comes before the sentence that names source and tensor."""
    broken = pico.source("broken")

    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors[MATRICES[0]].view(-1)[0] = number

    rewrite(broken.folder, change)
    head_agreement([sources[0], open_checkpoint(broken.folder)])


def test_strangers_are_named_in_a_warning(pico: Pico, sources: list[Checkpoint]) -> None:
    agreement = head_agreement([*sources, pico.source("stranger", head_seed=1)])
    assert agreement is not None
    assert abs(agreement.cosine) < 0.15 < TOO_LOW
    assert agreement.warning is not None
    assert (
        f"of {agreement.first} and stranger have cosine {agreement.cosine:.2f}: they were initialised independently"
        in (agreement.warning)
    )


def test_opposite_heads_are_worse_than_strangers(pico: Pico) -> None:
    first, second = pico.source("first"), pico.source("first/copy")
    rewrite(second.folder, lambda tensors: tensors.update({name: -state(first)[name] for name in MATRICES}))
    agreement = head_agreement([first, open_checkpoint(second.folder)])
    assert agreement is not None
    assert agreement.cosine == pytest.approx(-1)


def test_one_source_or_none_with_a_head_has_nothing_to_agree_with(sources: list[Checkpoint], base: Checkpoint) -> None:
    assert head_agreement(sources[:1]) is None
    assert head_agreement([base, base]) is None


def test_a_head_of_zeros_has_no_direction(pico: Pico, sources: list[Checkpoint]) -> None:
    zero = pico.source("zero")
    rewrite(zero.folder, lambda tensors: [tensors[name].zero_() for name in MATRICES])
    agreement = head_agreement([sources[0], open_checkpoint(zero.folder, "zero")])
    assert agreement is not None
    assert agreement.cosine == 0


def test_biases_do_not_count(pico: Pico, sources: list[Checkpoint]) -> None:
    biased = pico.source("biased")
    before = head_agreement([*sources, open_checkpoint(biased.folder)])
    rewrite(biased.folder, lambda tensors: tensors["classifier.dense.bias"].fill_(-100))
    after = head_agreement([*sources, open_checkpoint(biased.folder)])
    assert before is not None
    assert after is not None
    assert before.cosine == after.cosine
