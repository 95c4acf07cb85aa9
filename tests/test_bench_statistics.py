"""The tool that times statistics: too slow is an error."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

TOOL = runpy.run_path(str(Path(__file__).parents[1] / "tools" / "bench_statistics.py"))


@pytest.mark.parametrize(("allowed", "within"), [(60.0, True), (None, True), (0.0, False)])
def test_what_takes_longer_than_is_allowed_is_said_and_told(
    allowed: float | None, within: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert TOOL["timed"]("a sum", allowed, lambda: sum(range(1000))) is within
    assert ("too long" in capsys.readouterr().out) is not within


@pytest.mark.parametrize("slow", [True, False])
def test_it_fails_where_one_is_too_slow(slow: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    main = TOOL["main"]
    monkeypatch.setitem(
        main.__globals__, "timed", lambda what, allowed, work: not (slow and what.startswith("macro-F1"))
    )
    monkeypatch.setitem(main.__globals__, "IDS", 60)
    assert main() == int(slow)
