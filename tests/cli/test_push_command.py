"""``sprachbund push``: what arrives on a hub on loopback, and what must not."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub import TOKEN, Hub, asked
from pico import Pico
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from sprachbund.cards import labels_met, read_blend, read_details
from sprachbund.checkpoints import hub as client
from sprachbund.checkpoints import locate
from sprachbund.cli import run

Capture = pytest.CaptureFixture[str]
PUSH = "push --model merged_models/average_merge_sq-AL --repo org/albanian"
MERGE = (
    "merge --mode average --target-lang sq-AL --models {root}/models/{{locale}} --sources ro-RO el-GR --num-languages 2 "
    "--method ties --base {root}/models/base --quiet"
)
FILES = {
    "README.md",
    "config.json",
    "merge_details.json",
    "merge_details.txt",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
}
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload:DeprecationWarning")  # of the client


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as served:
        yield served


@pytest.fixture
def home(hub: Hub, here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A merged model in the current folder, and a client that asks the hub of the test."""
    monkeypatch.setattr(client, "_listings", {})
    factory = Pico(here / "models")
    factory.base()
    for locale in ("ro-RO", "el-GR"):
        factory.source(locale)
    assert run(shlex.split(MERGE.format(root=here))) == 0
    with asked(hub, here.parent / "home", token=TOKEN):
        yield here.parent / "home"


def typed(line: str, capsys: Capture) -> str:
    capsys.readouterr()
    assert run(shlex.split(line)) == 0, capsys.readouterr().err
    out, err = capsys.readouterr()
    assert TOKEN not in out + err
    return out


def refused(line: str, capsys: Capture) -> str:
    capsys.readouterr()
    assert run(shlex.split(line)) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("error: ")) == ("", 1)
    assert TOKEN not in err
    return err


def test_what_is_pushed_is_the_model_and_loads_as_one(hub: Hub, home: Path, here: Path, capsys: Capture) -> None:
    folder = here / "merged_models/average_merge_sq-AL"
    (folder / "notes-of-mine.txt").write_text("private")
    (folder / "optimizer.pt").write_bytes(b"o")
    assert "7 files" in typed(PUSH, capsys)
    files = hub.files("org/albanian")
    assert files.keys() == FILES
    for name in ("model.safetensors", "tokenizer.json", "README.md", "config.json"):
        assert files[name] == (folder / name).read_bytes()
    assert not hub.model("org/albanian").private
    fetched = locate("org/albanian")
    assert read_details(fetched.folder).candidate == read_details(folder).candidate  # type: ignore[union-attr]
    AutoModelForSequenceClassification.from_pretrained(fetched.folder)
    AutoTokenizer.from_pretrained(fetched.folder)


def test_no_path_of_this_machine_is_pushed(hub: Hub, home: Path, here: Path, capsys: Capture) -> None:
    folder = here / "merged_models/average_merge_sq-AL"
    for name, key in (("config.json", "_name_or_path"), ("tokenizer_config.json", "name_or_path")):
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**content, key: f"{here}/models/ro-RO"}))
    assert str(here).encode() in (folder / "merge_details.json").read_bytes()
    typed(PUSH, capsys)
    for name, content in hub.files("org/albanian").items():
        assert str(here).encode() not in content, name
    details = json.loads(hub.files("org/albanian")["merge_details.json"])
    assert [source["model"] for source in details["sources"]] == ["ro-RO", "el-GR"]
    assert (details["base"]["model"], details["zoo"]) == ("base", "path/to/{locale}")
    assert "_name_or_path" not in json.loads(hub.files("org/albanian")["config.json"])


def test_a_card_that_somebody_wrote_on_is_sent_as_it_is_but_for_no_place(
    hub: Hub, home: Path, here: Path, capsys: Capture
) -> None:
    card = here / "merged_models/average_merge_sq-AL/README.md"
    written = card.read_text(encoding="utf-8") + "\nThanks to all.\n"
    card.write_text(written, encoding="utf-8")
    typed(PUSH, capsys)
    assert hub.files("org/albanian")["README.md"].decode() == written
    card.write_text(f"{written}See {here}/models/ro-RO.", encoding="utf-8")
    assert "README.md names a place on this machine" in refused(PUSH, capsys)
    card.unlink()
    assert "has no model card: write it (sprachbund card --model" in refused(PUSH, capsys)


def test_a_blend_and_a_wide_head_are_pushed_with_all_they_need(
    hub: Hub, home: Path, here: Path, capsys: Capture
) -> None:
    assert run(shlex.split("merge --source models/ro-RO models/el-GR --out blended --quiet")) == 0
    typed("push --model blended --repo org/blend", capsys)
    assert hub.files("org/blend").keys() == FILES - {"merge_details.json", "merge_details.txt"} | {"blend.json"}
    assert json.loads(hub.files("org/blend")["blend.json"])["asked"]["sources"] == ["ro-RO", "el-GR"]
    line = "merge --mode manual --target-lang sq-AL --models models/{locale} --sources ro-RO el-GR --head-policy wide --quiet"
    assert run(shlex.split(line)) == 0
    typed("push --model merged_models/manual_merge_sq-AL --repo org/wide", capsys)
    assert hub.files("org/wide").keys() == FILES | {"modeling_wide.py"}


def test_a_branch_and_a_private_repository(hub: Hub, home: Path, capsys: Capture) -> None:
    typed(f"{PUSH} --private --revision trial", capsys)
    assert hub.model("org/albanian").private
    assert hub.files("org/albanian", branch="trial").keys() == FILES
    assert hub.files("org/albanian") == {}
    typed(f"{PUSH} --revision trial", capsys)  # once more: both are there
    assert hub.files("org/albanian", branch="trial").keys() == FILES


def test_what_shall_be_private_is_not_pushed_where_all_can_see_it(hub: Hub, home: Path, capsys: Capture) -> None:
    hub.add("org/albanian", {"README.md": b"# Mine\n"})
    assert "is there and public" in refused(f"{PUSH} --private", capsys)
    assert hub.files("org/albanian").keys() == {"README.md"}


def test_a_dry_run_asks_nobody(hub: Hub, home: Path, here: Path, capsys: Capture) -> None:
    found = json.loads(typed(f"{PUSH} --dry-run --json", capsys))
    assert found["files"].keys() == FILES
    assert found["pushed"] is None
    assert hub.requests == []
    assert hub.repositories == {}
    assert "nothing was asked or sent" in typed(f"{PUSH} --dry-run", capsys)


@pytest.mark.parametrize(
    "name", ["", "a b", "a..b", "-x", "x/", "x.lock", "a~1", "refs/heads/x", "0a" * 20, ".x", "a\\b"]
)
def test_a_branch_has_a_name_that_git_allows(name: str, hub: Hub, home: Path, capsys: Capture) -> None:
    line = [*shlex.split(PUSH), "--dry-run", f"--revision={name}"]
    assert "is no name of a branch" in refused(shlex.join(line), capsys)
    assert hub.requests == []


@pytest.mark.parametrize(
    "front", ["license: [mit", "- a list", "model-index: nonsense", "model-index:\n- name: x\n  results:\n  - task: {}"]
)
def test_a_front_matter_that_cannot_be_read_is_told_before_anybody_is_asked(
    front: str, hub: Hub, home: Path, here: Path, capsys: Capture
) -> None:
    (here / "merged_models/average_merge_sq-AL/README.md").write_text(f"---\n{front}\n---\n# Mine\n")
    said = refused(f"{PUSH} --dry-run", capsys)
    assert "The front matter of merged_models/average_merge_sq-AL/README.md cannot be read" in said
    assert hub.requests == []


def test_a_blend_that_was_pushed_is_known_for_what_it_is(hub: Hub, home: Path, here: Path, capsys: Capture) -> None:
    (here / "models/ro-RO/training.json").write_text('{"locale": "ro-RO"}')
    assert run(shlex.split("merge --source models/ro-RO models/el-GR --out blended --quiet")) == 0
    typed("push --model blended --repo org/blend", capsys)
    fetched = locate("org/blend")
    assert read_blend(fetched.folder).candidate == read_blend(here / "blended").candidate  # type: ignore[union-attr]
    assert labels_met(fetched.folder) == ("ro-RO",)


def test_programs_get_the_commit(hub: Hub, home: Path, capsys: Capture) -> None:
    found = json.loads(typed(f"{PUSH} --json", capsys))
    assert found["pushed"] == {"url": f"{hub.url}/org/albanian", "commit": hub.model("org/albanian").branches["main"]}


@pytest.mark.parametrize("name", ["albanian", "a/b/c", "org/", "/x", "org/al banian", "org/--x", "-org/x", "", "../x"])
def test_a_repository_has_an_owner_and_a_name(name: str, hub: Hub, home: Path, capsys: Capture) -> None:
    line = shlex.join(["push", "--model", "merged_models/average_merge_sq-AL", f"--repo={name}"])
    assert "write OWNER/NAME" in refused(line, capsys)
    assert hub.requests == []


def test_without_a_token_the_network_or_the_right_one_sentence_says_so(hub: Hub, home: Path, capsys: Capture) -> None:
    assert "has no right to write to somebody-else/x" in refused(f"{PUSH[:-12]}somebody-else/x", capsys)
    with asked(hub, home, token="hf_unknown"):
        assert "does not know the token" in refused(PUSH, capsys)
    with pytest.MonkeyPatch.context() as patch:  # ends before that of `home`, which has set the variable
        patch.delenv("HF_TOKEN")
        assert "There is no token to push" in refused(PUSH, capsys)
    with asked(hub, home, token=TOKEN, offline=True):
        assert "Offline mode is on" in refused(PUSH, capsys)
    hub.stop()
    assert "The hub cannot be reached" in refused(PUSH, capsys)
    assert hub.repositories == {}


def test_what_was_not_made_here_is_not_pushed(hub: Hub, home: Path, capsys: Capture) -> None:
    assert "nothing says how it was made" in refused("push --model models/ro-RO --repo org/x", capsys)
    assert "There is no folder nowhere" in refused("push --model nowhere --repo org/x", capsys)
    assert hub.requests == []
