"""Where models run: on a GPU if there is one. It is no part of what a model is: a trained one is found again on any machine."""

from __future__ import annotations

import torch

from sprachbund.errors import UserError

__all__ = ["AUTO", "chosen", "uuid_of_gpu"]

AUTO = "auto"


def chosen(name: str = AUTO) -> torch.device:
    """Return the device of a name as torch writes it, or the first GPU, else the CPU, for ``auto``.

    Raises:
        UserError: there is no such device on this machine.
    """
    if name == AUTO:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"--device {name!r} is no device: name cpu, cuda, cuda:1, … or auto.") from error
    gpus = torch.cuda.device_count()
    if device.type == "cpu" or (device.type == "cuda" and (device.index or 0) < gpus):
        return device
    there = f"{gpus} GPU{'s' if gpus > 1 else ''}" if gpus else "no GPU that torch can use"
    raise UserError(f"--device {name}: this machine has {there}: leave --device out, or name another.")


def uuid_of_gpu() -> str | None:
    """Return the UUID of the GPU that models run on, as NVIDIA's driver writes it; None where they run elsewhere."""
    device = chosen()
    if device.type != "cuda" or torch.version.hip:
        return None
    return f"GPU-{torch.cuda.get_device_properties(device).uuid}"
