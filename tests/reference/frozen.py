"""What is frozen: mergekit's recipes, and the numbers that both tools came to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from reference import checkpoints
from safetensors.numpy import load_file

HERE = Path(__file__).parent
RECIPES: Mapping[str, Mapping[str, Any]] = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(HERE.glob("recipes/*.yml"))
}
FLOAT32 = 1e-6
"""By what part of a tensor's largest number results may differ where both tools work in float32."""


def of_mergekit(case: str) -> Mapping[str, np.ndarray]:
    """The whole checkpoint that a recipe made."""
    tensors = load_file(HERE / "golden" / "mergekit" / f"{case}.safetensors")
    assert tensors.keys() == checkpoints.shapes().keys()
    return tensors


def of_fusionbench(case: str) -> Mapping[str, np.ndarray]:
    """The tensors that a function made."""
    return load_file(HERE / "golden" / "fusionbench" / f"{case}.safetensors")


def cases(tool: str) -> set[str]:
    """The cases of ``mergekit`` or ``fusionbench`` that have a golden file."""
    return {path.stem for path in HERE.glob(f"golden/{tool}/*.safetensors")}


def agree(merged: np.ndarray, expected: np.ndarray, name: str, tolerance: float) -> None:
    np.testing.assert_allclose(merged, expected, rtol=0, atol=tolerance * np.abs(expected).max(), err_msg=name)
