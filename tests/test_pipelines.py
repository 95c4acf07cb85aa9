"""What transformers' own pipeline says of whatever is written here: names of intents, however the sources had them."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from pico import Pico
from transformers import pipeline
from workshop import make_workshop

from sprachbund.cli import run
from sprachbund.data.massive import INTENTS

NAMES = ("de-DE", "fr-FR", "sq-AL")
NUMBERED = tuple(f"LABEL_{number}" for number in range(len(INTENTS)))
DATA = "--data split:massive:data"
MERGE = f"merge --mode average --target-lang sq-AL --num-languages 2 --sources de-DE fr-FR {DATA}"
ADAPT = f"adapt --target sq-AL --sources de-DE fr-FR {DATA} --jobs 1 --out out"
EXPERIMENT = f"experiment --locales sq-AL --variants average pick-confidence --num-languages 2 {DATA}"
MERGED = "merged_models/average_merge_sq-AL"


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources that name their intents, in ``models``, and the same that only number them, in ``numbered``."""
    folder = make_workshop(tmp_path_factory.mktemp("workshop"), NAMES, NAMES)
    for locale in NAMES:
        Pico(folder / "numbered").source(locale, labels=NUMBERED)
    return folder


@pytest.mark.usefixtures("one_core")
@pytest.mark.parametrize("models", ["models", "numbered"])
@pytest.mark.parametrize(
    ("line", "made"),
    [
        (MERGE, MERGED),
        (f"{MERGE} --head-policy wide", MERGED),
        (f"{ADAPT} --method pick-confidence", "out"),
        (f"{ADAPT} --method merge-top-3", "out"),
        (f"{ADAPT} --method merge-wide", "out"),
        (f"{ADAPT} --method distilled-pick-uniform --epochs 1", "out"),
        (f"{EXPERIMENT} --sources {' '.join(NAMES)}", MERGED),
    ],
)
def test_a_pipeline_gives_the_names_of_intents(
    models: str, line: str, made: str, workshop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPRACHBUND_CACHE", str(tmp_path / "cache"))
    for name in ("data", models):
        (tmp_path / name).symlink_to(workshop / name)
    assert run([*shlex.split(line), "--models", f"{models}/{{locale}}", "--quiet"]) == 0
    folder = tmp_path / made
    trusted = (folder / "modeling_wide.py").exists()
    assert trusted == ("wide" in line)
    classify = pipeline("text-classification", str(folder), trust_remote_code=trusted, top_k=None)
    (found,) = classify(["bala dono"])
    assert sorted(each["label"] for each in found) == sorted(INTENTS)


def test_a_blend_names_intents_as_its_sources_do(
    workshop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workshop)
    out = str(tmp_path / "out")
    assert run(["merge", "--source", "models/de-DE", "models/fr-FR", "--out", out, "--quiet"]) == 0
    assert pipeline("text-classification", out)("bala")[0]["label"] in INTENTS
