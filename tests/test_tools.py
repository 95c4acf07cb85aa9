"""The programs of tools/: each can still be imported, although nobody may have run it for long."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = sorted(path.stem for path in (ROOT / "tools").glob("*.py"))
OURS = {"sprachbund", *TOOLS, *(path.stem for path in (ROOT / "tests").iterdir())}


@pytest.mark.filterwarnings("default")  # what other libraries say of each other is not our fault
@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_can_be_imported(name: str, tool_named: Callable[[str], ModuleType]) -> None:
    try:
        tool_named(name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in OURS:
            raise
        pytest.skip(f"{missing}, which {name} takes, is not installed")


def test_without_the_right_to_mount_no_fault_takes_a_disk(
    tool_named: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tool = tool_named("inject_faults")
    met: list[str] = []

    class Bench:
        def __init__(self, *where: object) -> None:
            pass

        def meet(self, kind: Any, name: str, moment: int, times: int) -> Any:
            met.append(kind.fault)
            return tool.Found(kind.what, name, str(moment))

    monkeypatch.setattr(tool, "in_a_name_space", lambda: False)
    monkeypatch.setattr(tool, "Killer", nullcontext)
    monkeypatch.setattr(tool, "Bench", Bench)
    monkeypatch.setattr(sys, "argv", ["inject_faults", "--times", "1", "--out", str(tmp_path / "faults.jsonl")])
    assert tool.main() == 0
    assert set(met) == {kind.fault for kind in tool.KINDS} - {"tmpfs", "tmpfs-ro"}
