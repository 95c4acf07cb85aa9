"""requirements.lock fits pyproject.toml, has a hash for all, and names no index; what does not fit is said."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

GOOD = "numpy==2.1.0 \\\n    --hash=sha256:aa\nfoo-bar==1.0 ; python_full_version < '3.12' \\\n    --hash=sha256:bb\n"


@pytest.fixture(scope="module")
def tool(tool_named: Callable[[str], ModuleType]) -> ModuleType:
    pytest.importorskip("packaging")
    return tool_named("check_lock")


def test_the_lock_fits(tool: ModuleType) -> None:
    assert list(tool.misfits(tool.LOCK.read_text(encoding="utf-8"), *tool.asked())) == []


@pytest.mark.parametrize(
    ("lock", "asked", "said"),
    [
        (GOOD, ["numpy>=2.2"], "asks for numpy>=2.2, and there is 2.1.0"),
        (GOOD, ["scipy"], "asks for scipy, and there is none"),
        (GOOD, ["torch>=3"], "asks for torch>=3, and there is 2.13.0"),
        ("numpy==2.1.0\n", ["numpy"], "numpy has no hash"),
        (GOOD + "--extra-index-url https://here.example/simple\n", ["numpy"], "any index"),
    ],
)
def test_what_does_not_fit_is_said(tool: ModuleType, lock: str, asked: list[str], said: str) -> None:
    (found,) = tool.misfits(lock, asked, "torch==2.13.0")
    assert said in found


def test_a_lock_that_fits_has_nothing_to_say(tool: ModuleType) -> None:
    assert list(tool.misfits(GOOD, ["numpy>=2", "Foo_Bar<2", "torch"], "torch==2.13.0")) == []


def test_an_audit_that_nobody_answers_is_skipped(
    tool: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tool, "SERVICE", "http://127.0.0.1:9/")
    assert tool.audit() == 0
    assert "audit skipped: http://127.0.0.1:9/ cannot be reached" in capsys.readouterr().out
