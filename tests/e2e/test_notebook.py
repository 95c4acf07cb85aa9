"""The notebook runs from its first cell to its picture, on the embedded models of the tiny size that these tests share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebooks" / "from-merge-to-plot.ipynb"


def read() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_holds_no_output() -> None:
    """What a run prints is of one machine; a notebook with it would change at each run."""
    nbformat.validate(read())
    cells = [cell for cell in read().cells if cell.cell_type == "code"]
    assert [cell for cell in cells if cell.outputs or cell.execution_count is not None] == []
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert "/home/" not in text
    assert "/tmp" not in text


@pytest.mark.filterwarnings("default::DeprecationWarning", "default::UserWarning")  # of the kernel's own libraries
def test_it_runs_to_its_picture(tiny: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = NotebookClient(read(), timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    *_, drawn = [cell for cell in done.cells if cell.cell_type == "code"]
    (output,) = drawn.outputs
    assert output.data["image/svg+xml"].lstrip().startswith("<svg")
    printed = "".join(out.text for cell in done.cells for out in cell.get("outputs", []) if out.get("name") == "stdout")
    assert printed.count("sq-AL") == 3, "one row for each of three variants"
    assert "has seen of Albanian: unlabelled" in printed
