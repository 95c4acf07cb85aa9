"""Looking at results must cost nothing that it doesn't use."""

from __future__ import annotations

import subprocess
import sys

import sprachbund.report

HEAVY = {"torch", "transformers", "scipy", "pyarrow", "matplotlib", "jinja2", "huggingface_hub", "pandas"}


def test_importing_the_report_loads_nothing_heavy() -> None:
    code = "import sys, sprachbund.report; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "sprachbund" in loaded
    assert HEAVY.isdisjoint(loaded)


def test_everything_public_is_there() -> None:
    assert len(set(sprachbund.report.__all__)) == len(sprachbund.report.__all__)
    for name in sprachbund.report.__all__:
        assert hasattr(sprachbund.report, name)
