"""In what numbers a classifier answers: fp32, half as many bits, or whole numbers; and where.

What is made cheaper is the encoder, which does all but a thousandth of the work. The head stays in fp32, so that logits are not
rounded to eight bits, where the two best of sixty labels are often equal.

int8: y = W x of each linear layer becomes s_x s_w (W_q x_q). A weight has a scale for each row, found once; an input has one
for each token, found as it comes (Dettmers et al. 2022, "LLM.int8()", arXiv:2208.07339, vector-wise quantisation without its
outliers). With one scale for a whole batch, as in torch's own dynamic quantisation, answers would hang on what stands beside
a text.
"""

from __future__ import annotations

from typing import Any

import torch

from sprachbund.config import EXACT, Precision
from sprachbund.errors import UserError
from sprachbund.inference import devices

__all__ = ["check_precision", "ready"]

LEVELS = 127
"""Whole numbers on each side of 0."""
TINY = 1e-12
_SIXTEEN_BITS = {"bf16": torch.bfloat16, "fp16": torch.float16}


def check_precision(precision: Precision) -> None:
    """Refuse what cannot run where models run here.

    Raises:
        UserError: says why, and what to take instead.
    """
    gpu = devices.chosen().type == "cuda"
    if precision == "fp16" and not gpu:
        raise UserError("--precision fp16 needs a GPU that torch can use, and there is none: take bf16, int8 or fp32.")
    if precision == "int8" and gpu:
        raise UserError("--precision int8 runs on a CPU only, and models run on the GPU here: take bf16 or fp16.")
    if precision == "int8" and not _multiplies_bytes():
        raise UserError("--precision int8 needs an x86 processor with VNNI instructions: take bf16 or fp32.")


def _multiplies_bytes() -> bool:
    """Return whether oneDNN multiplies bytes without overflow: earlier processors add pairs of products in 16 bits."""
    can = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return hasattr(torch.ops.onednn, "qlinear_pointwise") and any(can.get(f"{kind}_vnni") for kind in ("avx512", "avx"))


def ready(model: torch.nn.Module, precision: Precision = EXACT) -> torch.nn.Module:
    """Return a classifier that answers in a precision, on the device that is chosen here; the one that was given is used up.

    Raises:
        UserError: it cannot run here.
    """
    check_precision(precision)
    if precision != EXACT:
        body: Any = model.base_model
        for child in model.children():
            if child is not body:
                child.register_forward_pre_hook(_in_fp32)
        if precision == "int8":
            _quantise(body)
        else:
            body.to(_SIXTEEN_BITS[precision])
    return model.to(devices.chosen())


def _in_fp32(module: torch.nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(given.float() if isinstance(given, torch.Tensor) else given for given in inputs)


def _quantise(body: torch.nn.Module) -> None:
    """Put an :class:`_Int8Linear` in the place of each linear layer."""
    for parent in list(body.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is torch.nn.Linear:  # what inherits from it may do something else
                setattr(parent, name, _Int8Linear(child))


class _Int8Linear(torch.nn.Module):
    """y[t] = s_x[t] · s_w · (W_q x_q[t]) + b, with x ≈ s_x x_q and W ≈ s_w W_q in whole numbers from -127 to 127."""

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()  # [out, in]
        scales = weight.abs().amax(dim=1).div_(LEVELS).clamp_min_(TINY)
        whole = (weight / scales[:, None]).round_().to(torch.int8)
        self.register_buffer("weight", torch.ops.onednn.qlinear_prepack(whole, None))
        self.register_buffer("scales", scales)
        self.register_buffer("zeros", torch.zeros(len(scales), dtype=torch.long))
        bias = torch.zeros(len(scales)) if linear.bias is None else linear.bias.detach()
        self.register_buffer("bias", bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``[*, out]`` for ``[*, in]``."""
        scales = x.abs().amax(dim=-1, keepdim=True).div_(LEVELS).clamp_min_(TINY)
        # oneDNN wants inputs from 0 to 255; + 0.5 rounds, as the cast cuts off.
        whole = torch.div(x, scales).add_(LEVELS + 1.5).to(torch.uint8)
        y: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
            whole, 1.0, LEVELS + 1, self.weight, self.scales, self.zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )
        return y.mul_(scales).add_(self.bias)  # type: ignore[arg-type]  # a buffer
