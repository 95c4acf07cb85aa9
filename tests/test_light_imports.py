"""What must answer at once loads nothing heavy: each case runs in a fresh interpreter, which then reads its sys.modules."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sprachbund.checkpoints import Checkpoint

HEAVY = {"torch", "transformers", "scipy", "pyarrow", "huggingface_hub"}

COMMANDS = {
    "help": ["--help"],
    "help of a command": ["experiment", "--help"],
    "list of locales": ["experiment", "--list-locales"],
    "similarity": ["similarity", "sq-AL"],
    "original selection": ["similarity", "sq-AL", "--selection", "original"],
    "similarity of another name": ["similarity", "sq-AL", "--similarity", "uriel:fam+uriel:geo"],
    "list of similarities": ["similarity", "--list"],
    "methods": ["methods"],
}


def loaded_by(code: str) -> tuple[set[str], str]:
    """Return the top-level modules that some code loads, and what it printed."""
    program = f"import sys\n{code}\nprint('loaded:', *sorted({{name.partition('.')[0] for name in sys.modules}}))"
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert process.returncode == 0, process.stderr
    printed, _, modules = process.stdout.rpartition("loaded:")
    return set(modules.split()), printed


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_commands_that_load_nothing_heavy(arguments: list[str]) -> None:
    modules, printed = loaded_by(f"from sprachbund.cli import run\nassert run({arguments!r}) == 0")
    assert printed.strip()
    assert not modules & HEAVY


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("sprachbund", HEAVY | {"numpy", "pydantic"}),
        ("sprachbund.api", HEAVY),
        ("sprachbund.merging", HEAVY),
        ("sprachbund.similarity", HEAVY),
        ("sprachbund.methods", HEAVY),
        ("sprachbund.data", HEAVY | {"babel"}),
        ("sprachbund.choosing", HEAVY),
        ("sprachbund.mergekit", HEAVY),
    ],
)
def test_modules_that_load_nothing_heavy(module: str, absent: set[str]) -> None:
    modules, _ = loaded_by(f"import {module}")
    assert "sprachbund" in modules
    assert not modules & absent


def test_a_merge_of_any_checkpoints_loads_nothing_heavy(
    sources: list[Checkpoint], base: Checkpoint, tmp_path: Path
) -> None:
    named = [str(source.folder) for source in sources]
    line = ["merge", "--source", *named, "--method", "ties", "--base", str(base.folder), "--out", str(tmp_path / "out")]
    modules, _ = loaded_by(f"from sprachbund.cli import run\nassert run({line!r}) == 0")
    assert (tmp_path / "out" / "model.safetensors").is_file()
    assert not modules & HEAVY


def test_a_report_and_the_tables_load_no_torch(tmp_path: Path) -> None:
    fixture = Path(__file__).parent / "fixtures" / "record_v2"
    shutil.copytree(fixture, tmp_path / "results" / "average_sq-AL")
    for line in (["report", "--out", str(tmp_path / "page.html")], ["aggregate", "--output-dir", str(tmp_path)]):
        line += ["--results-dir", str(tmp_path / "results")]
        modules, _ = loaded_by(f"from sprachbund.cli import run\nassert run({line!r}) == 0")
        assert not modules & {"torch", "transformers", "huggingface_hub"}
    assert (tmp_path / "page.html").is_file()


def test_something_heavy_would_be_seen() -> None:
    modules, _ = loaded_by("import sprachbund.inference")
    assert modules >= {"torch", "transformers"}
