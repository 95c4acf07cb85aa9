"""A token of the hub stays where it is: no record, card, log or message of a run holds it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from bad_input import EXPERIMENT, workshop

from sprachbund.cli import run

TOKEN = "hf_" + "NobodyMustEverSeeThisOne" * 2


def test_no_file_and_no_message_of_a_run_holds_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    workshop(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPRACHBUND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HUGGING_FACE_HUB_TOKEN", TOKEN)
    with caplog.at_level("DEBUG"):
        assert run(shlex.split(f"{EXPERIMENT} --verbose")) == 0
        (tmp_path / "models" / "ro-RO" / "model.safetensors").write_bytes(b"broken")
        assert run(shlex.split(f"{EXPERIMENT} --overwrite")) == 2
    said = capfd.readouterr()
    assert said.err
    assert TOKEN not in said.out + said.err + caplog.text
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"experiment_progress.json", "results.json"} <= {path.name for path in written}
    assert not [path for path in written if TOKEN.encode() in path.read_bytes()]
