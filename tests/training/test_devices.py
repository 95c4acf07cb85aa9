"""Where training happens: chosen by name, and whatever is computed together lies there.

No GPU is needed: tensors on torch's ``meta`` device stand for those on one, and every operation that would be given tensors of
both kinds is an error, as it is on a GPU.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from pico import config, tokenizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import XLMRobertaForMaskedLM, XLMRobertaForSequenceClassification

from sprachbund import coefficients, distillation, inference
from sprachbund.adaptation import DistillationSettings
from sprachbund.errors import UserError
from sprachbund.inference import devices
from sprachbund.training import finetune, pretrain
from sprachbund.training.settings import FinetuneSettings, PretrainSettings

ELSEWHERE = torch.device("meta")
MOVES = {"aten::_to_copy", "aten::copy_"}
TEXTS = [[0, 5, 6, 7, 2], [0, 5, 2]] * 8


class Apart(TorchDispatchMode):
    """Refuses operations on tensors of two devices; single numbers may come from anywhere, as on a GPU."""

    chosen = 0
    """How many places the last mask chose that moved."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor) and leaf.dim()]
        found = {tensor.device.type for tensor in tensors}
        name = func._schema.name
        if len(found) > 1 and name not in MOVES:
            raise AssertionError(f"{name} is given tensors of {found}")
        if name == "aten::_local_scalar_dense" and args[0].device == ELSEWHERE:
            return False  # whether nothing is padding
        if name == "aten::index" and args[1][0].dtype == torch.bool and args[0].device == ELSEWHERE:
            return torch.empty(self.chosen, *args[0].shape[2:], device=ELSEWHERE)  # nobody there can count
        if name == "aten::_to_copy" and args[0].dtype == torch.bool and args[0].device != ELSEWHERE:
            self.chosen = int(args[0].sum())
        return func(*args, **kwargs)


def moved(kind: Any, **shape: Any) -> Any:
    model = kind(config(**shape))
    torch.nn.Module.to(model, ELSEWHERE)
    return model


def test_it_notices_tensors_that_stayed_behind() -> None:
    with Apart(), pytest.raises(AssertionError, match="is given tensors of"):
        torch.ones(2, 2) @ torch.ones(2, 2, device=ELSEWHERE)


def test_fine_tuning_moves_what_it_needs() -> None:
    model = moved(XLMRobertaForSequenceClassification, num_labels=2)
    settings = FinetuneSettings(batch=4, accumulate=2)
    with Apart():
        (one, two) = finetune._losses(model, TEXTS, [0, 1] * 8, settings, random.Random(0))(0)
    assert one.device == two.device == ELSEWHERE


def test_distilling_moves_what_it_needs() -> None:
    model = moved(XLMRobertaForSequenceClassification, num_labels=2)
    steps = distillation._steps(TEXTS, DistillationSettings(batch=4))
    with Apart():
        (loss,) = distillation._losses(model, steps, torch.full((len(TEXTS), 2), 0.5))(0)
    assert loss.device == ELSEWHERE


def test_learning_coefficients_moves_what_it_needs() -> None:
    model = moved(XLMRobertaForSequenceClassification, num_labels=2).requires_grad_(False)
    stacks = {name: torch.stack([tensor] * 3) for name, tensor in model.named_parameters()}
    scores = torch.zeros(3, device=ELSEWHERE, requires_grad=True)
    weights = dict.fromkeys(stacks, torch.softmax(scores, dim=0))
    with Apart():
        logits = coefficients._merged_logits(model, stacks, weights, inference.pad(TEXTS[:4], 1))
        logits.sum().backward()  # type: ignore[no-untyped-call]
    assert scores.grad is not None
    assert scores.grad.device == logits.device == ELSEWHERE


@pytest.mark.parametrize("stage", [pretrain._language_modelling, pretrain._translation_ranking])
@pytest.mark.parametrize("step", [0, 1])
def test_pre_training_moves_what_it_needs(stage: Any, step: int) -> None:
    model = moved(XLMRobertaForMaskedLM)
    text = pretrain._ParallelText([TEXTS[:2]] * 8)
    settings = PretrainSettings(mlm_batch=4, ranking_batch=4)
    torch.manual_seed(0)
    with Apart():
        (loss,) = stage(model, tokenizer(), text, settings, random.Random(0))(step)
    assert loss.device == ELSEWHERE


@pytest.mark.parametrize(("gpus", "chosen"), [(0, "cpu"), (2, "cuda")])
def test_auto_is_a_gpu_if_there_is_one(gpus: int, chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert devices.chosen() == torch.device(chosen)
    assert devices.chosen("cpu") == torch.device("cpu")
    if gpus:
        assert devices.chosen("cuda:1") == torch.device("cuda", 1)


@pytest.mark.parametrize(
    ("name", "gpus", "message"),
    [
        ("cuda", 0, "no GPU that torch can use"),
        ("cuda:1", 1, "has 1 GPU: leave --device out"),
        ("cuda:2", 2, "has 2 GPUs"),
        ("meta", 0, "no GPU that torch can use"),
        ("gpu", 0, "'gpu' is no device: name cpu, cuda, cuda:1"),
    ],
)
def test_what_is_not_there_is_refused(name: str, gpus: int, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(UserError, match=message):
        devices.chosen(name)
