"""Zoos with a row per locale: each format says the same, names mean what they mean in templates, and what is amiss is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from pico import Pico

from sprachbund.checkpoints import Zoo, zoo_name
from sprachbund.errors import CheckpointError, UserError

SAME = {
    "zoo.csv": "locale,model\nsq-AL,models/a\nel-GR,org/greek@v2:best\n",
    "quoted.csv": 'model, locale\n"models/a",sq-AL\norg/greek@v2:best,el-GR\n',
    "zoo.tsv": "locale\tmodel\nsq-AL\tmodels/a\nel-GR\torg/greek@v2:best\n",
    "zoo.jsonl": '{"locale": "sq-AL", "model": "models/a"}\n\n{"model": "org/greek@v2:best", "locale": "el-GR"}\n',
    "zoo.json": '{"sq-AL": "models/a",\n\t"el-GR": "org/greek@v2:best"}',
    "zoo.yaml": "# mine\nsq-AL: models/a\nel-GR: 'org/greek@v2:best'\n",
    "ZOO.YML": "\ufeffsq-AL: models/a\nel-GR: org/greek@v2:best\n",
}


@pytest.mark.parametrize("name", SAME)
def test_every_format_says_the_same(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(SAME[name], encoding="utf-8")
    zoo = Zoo.parse(str(tmp_path / name))
    assert zoo.locales == ("sq-AL", "el-GR")
    assert [zoo.source(locale) for locale in zoo.locales] == ["models/a", "org/greek@v2:best"]


def test_a_template_names_no_locales() -> None:
    zoo = Zoo.parse("my/{locale}.csv")
    assert (zoo, zoo.locales, zoo.source("sq-AL")) == (Zoo("my/{locale}.csv"), None, "my/sq-AL.csv")


@pytest.mark.parametrize("text", ["my/model", "zoo.txt", "zoo"])
def test_what_is_neither_is_told_of_both(text: str) -> None:
    with pytest.raises(
        UserError, match=r"has no \{locale\} in it: write .* or name a file with a row per locale \(\.csv, "
    ):
        Zoo.parse(text)


def test_norway_is_no_boolean(tmp_path: Path) -> None:
    (tmp_path / "zoo.yaml").write_text("no: models/1\nyes: 12\n")
    assert Zoo.parse(str(tmp_path / "zoo.yaml")).rows == {"no": "models/1", "yes": "12"}


def test_folders_are_looked_for_beside_the_file(pico: Pico, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pico.source("sq")
    pico.source("el/best")
    pico.source("odd:name")
    file = pico.root / "zoo.csv"
    file.write_text(f"locale,model\nsq-AL,sq\nel-GR,el:best\nro-RO,./odd:name\nde-DE,{pico.root}/sq\nfr-FR,../gone\n")
    for here, named in ((tmp_path, "models/zoo.csv"), (pico.root, "zoo.csv"), (pico.root / "sq", "../zoo.csv")):
        monkeypatch.chdir(here)
        zoo = Zoo.parse(named)
        folders = {locale: zoo.checkpoint(locale).folder.resolve() for locale in ("sq-AL", "el-GR", "ro-RO", "de-DE")}
        assert folders == {
            "sq-AL": pico.root / "sq",
            "el-GR": pico.root / "el/best",
            "ro-RO": pico.root / "odd:name",
            "de-DE": pico.root / "sq",
        }
        assert zoo.missing(["sq-AL", "fr-FR", "ja-JP"]).keys() == {"fr-FR", "ja-JP"}
        with pytest.raises(CheckpointError, match=f"^{named} has no row for ja-JP: add one"):
            zoo.checkpoint("ja-JP")


def test_the_file_is_the_name_of_its_zoo(pico: Pico, monkeypatch: pytest.MonkeyPatch) -> None:
    pico.source("sq")
    pico.source("other/el")
    (pico.root / "zoo.json").write_text('{"name": "a card, for those who come by a template"}')
    (pico.root / "zoo.csv").write_text("locale,model\nsq-AL,sq\nel-GR,other/el\n")
    monkeypatch.chdir(pico.root)
    zoo = Zoo.parse("zoo.csv")
    assert {zoo_name(zoo.checkpoint(locale), locale) for locale in zoo.locales or ()} == {"zoo.csv"}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("zoo.csv", "", "names no source"),
        ("zoo.csv", "locale,model\n", "names no source"),
        ("zoo.csv", "locale,model\nsq-AL,a\nsq-AL,b\n", "line 3: sq-AL stands there twice"),
        ("zoo.csv", "locale,modell\nsq-AL,a\n", "Unknown column 'modell': did you mean model"),
        ("zoo.csv", "sq-AL,a\n", "Unknown column 'sq-AL'"),
        ("zoo.csv", "locale\nsq-AL\n", "needs the column 'model' once"),
        ("zoo.csv", "locale,model,model\nsq-AL,a,b\n", "needs the column 'model' once"),
        ("zoo.csv", "locale,model\nsq-AL\n", "line 2: there is no model"),
        ("zoo.csv", "locale,model\n,a\n", "line 2: there is no locale"),
        ("zoo.csv", "locale,model\nsq-AL,a,b\n", "line 2: there are more than two cells"),
        ("zoo.csv", 'locale,model\nsq-AL,"a\n', "this is no row of a table"),
        ("zoo.tsv", "locale,model\nsq-AL,a\n", "Unknown column 'locale,model'"),
        ("zoo.jsonl", "{\n", "line 1 is not JSON"),
        ("zoo.jsonl", "[1]\n", "line 1: this is no JSON object"),
        ("zoo.jsonl", '{"locale": "sq-AL"}\n', "needs the column 'model' once"),
        ("zoo.jsonl", '{"locale": "sq-AL", "model": 7}\n', "line 1: there is no model"),
        ("zoo.json", "", "names no source"),
        ("zoo.json", "{}", "names no source"),
        ("zoo.json", "[]", "no JSON object"),
        ("zoo.json", '{"sq-AL": "a", "sq-AL": "b"}', "entry sq-AL: sq-AL stands there twice"),
        ("zoo.json", '{"sq-AL": {"model": "a"}}', "entry sq-AL: there is no model"),
        ("zoo.yaml", "# nothing\n", "names no source"),
        ("zoo.yaml", "sq-AL: a\nsq-AL: b\n", "line 2: sq-AL stands there twice"),
        ("zoo.yaml", "- a\n", "is no mapping"),
        ("zoo.yaml", "sq-AL: [a]\n", "line 1: there is no model"),
        ("zoo.yaml", "a: b\n c: [\n", "line 2 is not YAML"),
        ("zoo.yaml", "sq-AL: a\x00\n", "is not YAML"),
    ],
)
def test_what_is_amiss_is_named(name: str, content: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=reason) as caught:
        Zoo.parse(str(tmp_path / name))
    assert str(tmp_path / name) in str(caught.value)


def test_a_file_that_is_not_there_or_not_utf_8_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--models: there is no file .*zoo\.csv: check the name\."):
        Zoo.parse(str(tmp_path / "zoo.csv"))
    (tmp_path / "zoo.csv").write_text("locale,model\nsq-AL,größe\n", encoding="latin-1")
    with pytest.raises(UserError, match=r"zoo\.csv is not UTF-8: save it as UTF-8\."):
        Zoo.parse(str(tmp_path / "zoo.csv"))
