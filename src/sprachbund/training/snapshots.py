"""Where a long training stands, kept every so often, so that a killed one goes on from there.

All that decides the next step is in the file: tensors, optimizer, schedule and both sources of chance. A training that was
killed and goes on ends with the same bits as one that was not, on the same machine.
"""

from __future__ import annotations

import io
import pickle
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from sprachbund import files
from sprachbund.errors import is_no_memory

__all__ = ["Snapshots"]

SECONDS = 60.0
"""Between two snapshots at least; about so much work is lost."""
LARGEST_SHARE = 0.05
"""Of the time that snapshots may take: those of large models are kept less often."""


@dataclass
class Snapshots:
    """The snapshot of one training, in a file beside its result."""

    path: Path
    digest: str
    """Of all that decides what is trained: a snapshot of another training is not believed."""
    lot: random.Random
    """The source of chance of the data; that of torch is known."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    """Where is trained: a GPU has a source of chance of its own."""
    _last: float = field(default_factory=time.monotonic)
    _pause: float = 0.0

    def reached(self) -> str | None:
        """Return the stage that the training was in, None where nothing is known."""
        state = self._read()
        return state["stage"] if state else None

    def restore(self, stage: str, **parts: Any) -> int:
        """Bring model, optimizer and schedule to where the training of this stage was; return how many steps are done."""
        state = self._read()
        if state is None or state["stage"] != stage:
            return 0
        for name, part in parts.items():
            part.load_state_dict(state[name])
        torch.set_rng_state(state["torch"])
        if self.device.type == "cuda" and state["cuda"] is not None:
            torch.cuda.set_rng_state(state["cuda"], self.device)
        version, numbers, rest = state["lot"]
        self.lot.setstate((version, tuple(numbers), rest))
        return int(state["step"])

    def keep(self, stage: str, step: int, **parts: Any) -> None:
        """Write where the training stands, if the last time is long enough ago."""
        begun = time.monotonic()
        if begun - self._last < max(SECONDS, self._pause):
            return
        state = {"digest": self.digest, "stage": stage, "step": step, "lot": self.lot.getstate()}
        state |= {"torch": torch.get_rng_state(), "cuda": self._chance_of_gpu()}
        state |= {name: part.state_dict() for name, part in parts.items()}
        content = io.BytesIO()  # torch writes to disk in a library whose errors do not know a full one
        torch.save(state, content)
        files.write_bytes(self.path, content.getbuffer())
        self._last = time.monotonic()
        self._pause = (self._last - begun) / LARGEST_SHARE

    def _chance_of_gpu(self) -> torch.Tensor | None:
        return torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None

    def _read(self) -> dict[str, Any] | None:
        try:
            state: dict[str, Any] = torch.load(self.path, weights_only=True, map_location="cpu")
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:  # there is none, or none to be read
            if is_no_memory(error):
                raise
            return None
        return state if isinstance(state, dict) and state.get("digest") == self.digest else None
