"""The cache of the embedded models: made once, found again, a folder of its own for whatever decides what they are."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sprachbund.errors import UnknownName
from sprachbund.training import embedded
from sprachbund.training.embedded import SIZES, Embedded, chosen_size, ensure


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Instead of training, notes what would be made."""
    roots: list[Path] = []
    monkeypatch.setenv("SPRACHBUND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(embedded, "_make", lambda found, *rest: roots.append(found.root))
    return roots


def test_made_once_and_found_again(made: list[Path]) -> None:
    first, second = ensure("tiny"), ensure("tiny")
    assert first == second
    assert made == [first.root]
    card = json.loads((first.root / "zoo.json").read_text())
    assert card["name"] == f"embedded-{first.root.name}"
    assert first.data == "cldr:15"


def test_a_making_that_dies_is_not_taken_for_done(made: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def die(found: Embedded, *rest: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(embedded, "_make", die)
        with pytest.raises(KeyboardInterrupt):
            ensure("tiny")
    ensure("tiny")
    assert len(made) == 1


ELSEWHERE = """
import sys
from sprachbund import files
from sprachbund.training import embedded

def make(found, *rest):
    print(found.root, flush=True)
    sys.stdin.readline()

embedded._make = make
embedded.ensure("tiny")
"""


def test_who_comes_while_they_are_made_waits_and_finds_them(made: list[Path]) -> None:
    maker = subprocess.Popen(
        [sys.executable, "-c", ELSEWHERE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert maker.stdout is not None
    root = Path(maker.stdout.readline().strip())
    reports: list[tuple[str, int, int]] = []

    def report(stage: str, done: int, total: int) -> None:
        reports.append((stage, done, total))
        assert (root / "zoo.json").exists() == bool(done)
        if not done:
            maker.communicate("\n")

    assert ensure("tiny", report).root == root
    assert made == []
    assert [(stage.partition(" on ")[0], *rest) for stage, *rest in reports] == [
        (f"waiting for process {maker.pid}", 0, 1),
        (f"waiting for process {maker.pid}", 1, 1),
    ]


@pytest.mark.parametrize("what", ["pretrain", "finetune", "data", "code"])
def test_other_models_have_another_folder(what: str, made: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    before = ensure("tiny").root
    size = SIZES["tiny"]
    changes = {
        "pretrain": {"pretrain": size.pretrain.model_copy(update={"seed": 1})},
        "finetune": {"finetune": size.finetune.model_copy(update={"head_seed": 1})},
        "data": {"data": "cldr:16"},
        "code": {},
    }
    monkeypatch.setitem(SIZES, "tiny", replace(size, **changes[what]))
    if what == "code":
        monkeypatch.setattr(embedded, "CODE_VERSION", -1)
    assert ensure("tiny").root != before
    assert len(made) == 2


def test_published_names_stand_for_embedded_models(tmp_path: Path) -> None:
    found = Embedded("tiny", tmp_path, "cldr:15")
    name = "xlm-roberta-base_massive_k_sq-AL"
    assert found.local_name(f"haryoaw/{name}") == str(tmp_path / name)
    assert found.local_name("my/model") == "my/model"
    assert found.base == tmp_path / "base"
    assert found.template == f"{tmp_path}/xlm-roberta-base_massive_k_{{locale}}:alpha_0.5_{{locale}}_epoch-9"


def test_the_size_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPRACHBUND_DEMO_SIZE", raising=False)
    assert chosen_size() == "full"
    monkeypatch.setenv("SPRACHBUND_DEMO_SIZE", "tiny")
    assert chosen_size() == "tiny"
    monkeypatch.setenv("SPRACHBUND_DEMO_SIZE", "tinny")
    with pytest.raises(UnknownName, match="Unknown size in SPRACHBUND_DEMO_SIZE 'tinny': did you mean tiny"):
        chosen_size()
