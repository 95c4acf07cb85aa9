"""Models on the hub: the real client, and a hub on loopback that is not always in the mood."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hub import TOKEN, Files, Hub, asked, tree_of
from peft import LoraConfig, get_peft_model
from pico import Pico
from safetensors.torch import load_file
from tqdm import tqdm
from transformers import AutoModelForSequenceClassification

from sprachbund.checkpoints import Checkpoint, Zoo, check_base, locate, models_in, on_the_hub, zoo_name
from sprachbund.checkpoints import hub as client
from sprachbund.checkpoints.hub import HubModel, fetch, find, look_up, to_download
from sprachbund.checkpoints.zoo import source_locale
from sprachbund.errors import CheckpointError

Told = list[tuple[str, int, int]]
COMMIT = re.compile(r"[0-9a-f]{40}")


def quiet(stage: str, done: int, total: int) -> None:
    """Nobody reads."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as served:
        yield served


@pytest.fixture
def home(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the client keeps its cache; it asks the hub of the test, and remembers nothing of other tests."""
    monkeypatch.setattr(client, "_listings", {})
    monkeypatch.setattr(client, "PAUSE", 0.01)
    monkeypatch.chdir(tmp_path)
    with asked(hub, tmp_path / "home"):
        yield tmp_path / "home"


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it be another process."""
    monkeypatch.setattr(client, "_listings", {})


def model(seed: str, size: int = 1000) -> Files:
    """The files of a model, as far as the hub cares; each seed has a file of weights of its own."""
    weights = hashlib.shake_128(seed.encode()).digest(size)
    return {"config.json": f'{{"seed": "{seed}"}}'.encode(), "model.safetensors": weights, "tokenizer.json": b"{}"}


def under(folder: str, files: Files) -> Files:
    return {f"{folder}/{path}": content for path, content in files.items()}


def downloads(hub: Hub) -> list[str]:
    """The files whose bytes were asked for."""
    return [
        path.partition("/resolve/")[2].partition("/")[2]
        for method, path in hub.requests
        if method == "GET" and "/resolve/" in path
    ]


def content(folder: Path) -> Files:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- what is fetched ---------------------------------------------------------------------------------------------------


def test_of_a_repository_only_what_makes_the_model_is_fetched(hub: Hub, home: Path) -> None:
    beside = {"training.json": b"t", "token_counts.npy": b"n", "merge_details.json": b"d"}
    idle = {
        "optimizer.bin": b"o",
        "pytorch_model.bin": b"p",
        "model-00001-of-00002.safetensors": b"s",
        "run/events": b"e",
    }
    files = model("a") | beside
    commit = hub.add(
        "org/zoo",
        under("epoch-9", files | idle) | under("epoch-1", model("b")) | {"zoo.json": b"z", "README.md": b"r"},
    )
    found = find(HubModel("org/zoo", subfolder="epoch-9"))
    assert (found.folder.name, found.folder.parent.name, found.commit) == ("epoch-9", commit, commit)
    assert content(found.folder) == files
    assert sorted(downloads(hub)) == sorted([*under("epoch-9", files), "zoo.json", "README.md"])


def test_a_model_is_whole_without_its_card(hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("org/model", model("a") | {"README.md": b"---\nlicense: mit\n---\n"})
    hub.model("org/model").lies["README.md"] = 5  # so that it does not arrive
    assert content(find(HubModel("org/model")).folder) == model("a")
    forget(monkeypatch)
    monkeypatch.setattr(client, "_answering", set())
    hub.stop()
    assert content(find(HubModel("org/model")).folder) == model("a")  # nobody is asked for it where nobody answers


@pytest.mark.parametrize(
    "weights",
    [
        {
            "model.safetensors.index.json": b"{}",
            "model-00001-of-00002.safetensors": b"1",
            "model-00002-of-00002.safetensors": b"2",
        },
        {"pytorch_model.bin": b"b"},
        {"pytorch_model.bin.index.json": b"{}", "pytorch_model-00001-of-00001.bin": b"b"},
        {"adapter_config.json": b"{}", "adapter_model.safetensors": b"a"},
        {"adapter_config.json": b"{}", "adapter_model.bin": b"a"},
    ],
    ids=["in several files", "pickled", "pickled in several files", "an adapter", "a pickled adapter"],
)
def test_weights_are_fetched_as_the_repository_keeps_them(weights: Files, hub: Hub, home: Path) -> None:
    files = {"config.json": b"{}", **weights}
    hub.add("org/name", files)
    assert content(find(HubModel("org/name", allow_pickle=True)).folder) == files


@pytest.mark.parametrize(
    "weights",
    [
        {"pytorch_model.bin": b"b"},
        {"pytorch_model.bin.index.json": b"{}", "pytorch_model-00001-of-00001.bin": b"b"},
        {"adapter_config.json": b"{}", "adapter_model.bin": b"a", "model.safetensors": b"not that of the adapter"},
    ],
    ids=["whole", "in several files", "an adapter"],
)
def test_of_a_model_that_is_a_pickle_nothing_is_fetched_unasked(weights: Files, hub: Hub, home: Path) -> None:
    hub.add("org/name", under("last", {"config.json": b"{}", **weights}))
    for look in (lambda: locate("org/name", "last"), lambda: find(HubModel("org/name", subfolder="last"))):
        with pytest.raises(
            CheckpointError, match=r"org/name:last on the hub has its weights only as a pickle \(.*\.bin"
        ):
            look()
    zoo = Zoo("org/name:{locale}")
    assert "--allow-pickle" in zoo.missing(["last"])["last"]
    assert to_download([HubModel("org/name", subfolder="last")]) == 0
    assert models_in("org/name") == (False, ["last"])
    assert downloads(hub) == []


@pytest.mark.parametrize(
    ("files", "idle"),
    [
        ({"model.safetensors": b"m"}, {"pytorch_model.bin": b"b", "adapter_model.bin": b"b"}),
        (
            {"adapter_config.json": b"{}", "adapter_model.safetensors": b"a"},
            {"pytorch_model.bin": b"b", "model.safetensors": b"m"},
        ),
    ],
    ids=["a model", "an adapter"],
)
def test_a_pickle_beside_what_is_read_is_left_where_it_is(files: Files, idle: Files, hub: Hub, home: Path) -> None:
    hub.add("org/name", {"config.json": b"{}", **files, **idle})
    assert content(find(HubModel("org/name")).folder) == {"config.json": b"{}", **files}


def test_a_name_may_say_branch_tag_or_commit(hub: Hub, home: Path) -> None:
    first = hub.add("org/name", model("old"), branch="refs/pr/1")
    second = hub.add("org/name", model("new"))
    for revision, commit in (("", second), ("main", second), ("refs/pr/1", first), (first, first)):
        found = find(HubModel("org/name", revision))
        assert found.commit == commit
        assert content(found.folder) == hub.model("org/name").commits[commit]


def test_a_repository_may_have_no_owner(hub: Hub, home: Path) -> None:
    hub.add("xlm-roberta-base", model("base"))
    checkpoint = locate("xlm-roberta-base")
    assert (checkpoint.name, checkpoint.config) == ("xlm-roberta-base", {"seed": "base"})


def in_shards(source: Checkpoint, folder: Path) -> Path:
    """A source once more, in files of 8 kB."""
    loaded = AutoModelForSequenceClassification.from_pretrained(source.folder)
    loaded.save_pretrained(folder, max_shard_size="8KB")
    shutil.copy(source.folder / "tokenizer.json", folder)
    return folder


def test_sources_in_shards_and_pickled_are_the_same_sources(
    hub: Hub, home: Path, pico: Pico, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPRACHBUND_CACHE", str(pico.root / "cache"))
    source = pico.source("source")
    commit = hub.add("org/name_de-DE", in_shards(source, pico.root / "shards"))
    pickled = tree_of(source.folder)
    stream = io.BytesIO()
    torch.save(load_file(source.folder / "model.safetensors"), stream)
    del pickled["model.safetensors"]
    hub.add("org/name_fr-FR", pickled | {"pytorch_model.bin": stream.getvalue()})
    assert Zoo("org/name_{locale}").missing(["de-DE", "fr-FR"]).keys() == {"fr-FR"}
    zoo = Zoo.parse("org/name_{locale}", allow_pickle=True)
    assert zoo.missing(["de-DE", "fr-FR"]) == zoo.fetch(["de-DE", "fr-FR"], quiet) == {}
    for locale in ("de-DE", "fr-FR"):
        found = zoo.checkpoint(locale)
        assert found.tensors.keys() == source.tensors.keys()
        assert all((found.file.read(name) == source.file.read(name)).all() for name in source.tensors)
        assert (zoo_name(found, locale), source_locale(found)) == (zoo.template, locale)
    assert zoo.checkpoint("de-DE").reference == f"org/name_de-DE@{commit}"
    assert "pickled" in zoo.checkpoint("fr-FR").note


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_an_adapter_finds_its_base_on_the_hub(
    hub: Hub, home: Path, pico: Pico, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPRACHBUND_CACHE", str(pico.root / "cache"))
    base = pico.base()
    hub.add("org/base", base.folder)
    loaded = AutoModelForSequenceClassification.from_pretrained(base.folder, num_labels=3)
    adapted = get_peft_model(loaded, LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query"]))
    adapted.save_pretrained(pico.root / "adapter")
    card = pico.root / "adapter" / "adapter_config.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"base_model_name_or_path": "org/base"}))
    commit = hub.add("org/adapters", under("de-DE", tree_of(card.parent)) | {"zoo.json": b'{"name": "mine"}'})
    found = Zoo("org/adapters:{locale}").checkpoint("de-DE")
    assert found.note.startswith("is an adapter of org/base: ")
    assert (found.reference, found.place) == (f"org/adapters@{commit}:de-DE", "org/adapters:de-DE")
    assert (len(found.labels), zoo_name(found, "de-DE"), source_locale(found)) == (3, "mine", "de-DE")
    check_base(base, found)


# --- what is asked for -------------------------------------------------------------------------------------------------


def test_a_name_is_asked_for_once_in_a_process_and_its_files_once_ever(
    hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("org/name", model("a"))
    first = find(HubModel("org/name"))
    hub.requests.clear()
    assert find(HubModel("org/name")) == first
    assert hub.requests == []
    forget(monkeypatch)
    assert find(HubModel("org/name")) == first
    assert hub.requests == [("GET", "/api/models/org/name")]  # whether it has changed


def test_offline_nothing_is_asked_for(hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("org/name", model("a"))
    first = find(HubModel("org/name"))
    hub.requests.clear()
    forget(monkeypatch)
    with asked(hub, home, offline=True):
        assert find(HubModel("org/name")) == first
        assert find(HubModel("org/name", first.commit)) == first
    assert hub.requests == []


def test_when_the_hub_is_gone_the_cache_is_enough(hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("org/name", model("a"))
    first = find(HubModel("org/name"))
    hub.stop()
    forget(monkeypatch)
    assert find(HubModel("org/name")) == first


def test_what_another_tool_has_fetched_is_used_offline(hub: Hub, home: Path) -> None:
    from huggingface_hub import hf_hub_download

    commit = hub.add("org/name", model("a"))
    for file in model("a"):
        hf_hub_download("org/name", file)
    hub.requests.clear()
    with asked(hub, home, offline=True):
        assert find(HubModel("org/name")).commit == commit
    assert hub.requests == []


def test_a_snapshot_that_is_not_whole_is_not_used_offline(
    hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("org/name", model("a"))
    (find(HubModel("org/name")).folder / "tokenizer.json").unlink()
    forget(monkeypatch)
    with (
        asked(hub, home, offline=True),
        pytest.raises(CheckpointError, match=r"Only a part of org/name is in the hub's cache"),
    ):
        find(HubModel("org/name"))


# --- many at once, on one bar ------------------------------------------------------------------------------------------


def test_all_sources_are_fetched_together_on_one_bar_of_bytes(hub: Hub, home: Path) -> None:
    told: Told = []
    models = [HubModel(f"org/{name}") for name in "abcd"]
    for place in models:
        hub.add(place.repository, model(place.repository, size=100_000))
    find(models[0])
    assert look_up(models) == {}
    assert fetch(models, lambda *stage: told.append(stage)) == {}
    total = sum(len(content) for place in models[1:] for content in model(place.repository, size=100_000).values())
    assert told[0] == ("downloading", 0, total)  # what the cache holds does not count
    assert told[-1] == ("downloading", total, total)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert fetch(models, lambda *stage: told.append(("again", 0, 0))) == {}
    assert told[-1] != ("again", 0, 0)


def test_a_connection_that_is_cut_is_continued_where_it_was(
    hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the client waits for a second
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # what of a chunk has arrived is lost; it is 10 MB
    told: Told = []
    size = 3_000_000
    hub.add("org/name", model("a", size))
    hub.model("org/name").cuts["model.safetensors"] = 1_000_000
    found = find(HubModel("org/name"), lambda *stage: told.append(stage))
    assert content(found.folder) == model("a", size)
    assert downloads(hub).count("model.safetensors") == 2
    assert hub.sent["model.safetensors"] == size  # no byte twice
    assert told[-1][1] == told[-1][2]


def test_a_download_that_fails_keeps_the_files_that_are_whole(
    hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("org/name", model("a"))
    hub.model("org/name").lies["model.safetensors"] = 1007
    with pytest.raises(
        CheckpointError, match=r"A file of org/name arrived with another size than the hub says: try again"
    ):
        find(HubModel("org/name"))
    hub.model("org/name").lies.clear()
    hub.requests.clear()
    assert content(find(HubModel("org/name")).folder) == model("a")
    assert downloads(hub) == ["model.safetensors"]


def test_a_command_that_is_killed_keeps_the_files_that_have_arrived(hub: Hub, home: Path) -> None:
    hub.add("org/name", model("a", 20_000))
    hub.model("org/name").holds["model.safetensors"] = 10_000
    program = "from sprachbund.checkpoints import locate; locate('org/name')"
    with subprocess.Popen([sys.executable, "-c", program], env=hub.environment(home)) as process:
        assert hub.held.wait(60)
        while len(list(home.rglob("snapshots/*/*.json"))) < 2:
            time.sleep(0.01)
        process.kill()
    hub.go_on.set()
    hub.requests.clear()
    assert content(find(HubModel("org/name")).folder) == model("a", 20_000)
    assert downloads(hub) == ["model.safetensors"]


def test_ctrl_c_waits_for_no_download(hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    hub.add("org/name", {"config.json": b"{}", "model.safetensors": bytes(5_000_000)})
    hub.model("org/name").holds["model.safetensors"] = 1_000_000

    def press(stage: str, done: int, total: int) -> None:
        if done > 100_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find(HubModel("org/name"), press)
    hub.go_on.set()
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]
    for thread in threads:
        thread.join(timeout=10)
    assert not any(thread.is_alive() for thread in threads)
    assert not list(home.rglob("*.incomplete"))
    assert sum(path.stat().st_size for path in home.rglob("blobs/*")) < 1000


def test_one_source_that_fails_does_not_stop_the_others(hub: Hub, home: Path) -> None:
    zoo = Zoo("org/name-{locale}")
    for locale in ("de-DE", "fr-FR"):
        hub.add(zoo.source(locale), model(locale))
    hub.model("org/name-de-DE").lies["model.safetensors"] = 7
    assert zoo.missing(["de-DE", "fr-FR"]) == {}
    failed = zoo.fetch(["de-DE", "fr-FR"], quiet)
    assert list(failed) == ["de-DE"]
    assert zoo.checkpoint("fr-FR").config == {"seed": "fr-FR"}


def test_what_is_missing_is_known_before_a_model_is_on_its_way(hub: Hub, home: Path) -> None:
    zoo = Zoo("org/name-{locale}:{locale}")
    hub.add("org/name-de-DE", under("de-DE", model("de-DE")))
    hub.add("org/name-fr-FR", under("fr_FR", model("fr-FR")))
    missing = zoo.missing(["de-DE", "fr-FR", "ja-JP"])
    assert missing["fr-FR"] == "org/name-fr-FR on the hub has no subfolder fr-FR: did you mean fr_FR?"
    assert missing["ja-JP"].startswith("org/name-ja-JP:ja-JP is not a folder here, and the hub shows no such")
    assert list(missing) == ["fr-FR", "ja-JP"]
    assert downloads(hub) == []


# --- who says no -------------------------------------------------------------------------------------------------------


def test_a_private_repository_opens_with_the_user_s_token(
    hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("org/name", model("a"), private=True)
    with pytest.raises(CheckpointError, match=r"or is private \(hf auth login, or HF_TOKEN\)"):
        find(HubModel("org/name"))
    with asked(hub, home, token=TOKEN):
        assert content(find(HubModel("org/name")).folder) == model("a")
        with pytest.raises(CheckpointError, match="it was taken off"):
            find(HubModel("org/gone"))
    forget(monkeypatch)
    home.mkdir(exist_ok=True)
    (home / "token").write_text(TOKEN)  # where hf auth login puts it
    assert find(HubModel("org/name")).folder.is_dir()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "org/gone",
            r"org/gone is not a folder here, and the hub shows no such repository: it was taken off, .*\.",
        ),
        ("org/name@v9", r"org/name on the hub has no revision v9: check what stands after the @\."),
        ("org/name:epoch-8", r"org/name on the hub has no subfolder epoch-8: did you mean epoch-9\?"),
        (
            "org/name",
            r"org/name on the hub has no config.json; checkpoints in its subfolders: epoch-9 \(name one with --model",
        ),
        ("org/name:notes", r"org/name:notes on the hub has no config.json; check the name\."),
        (
            "org/plain:epoch-9",
            r"org/plain on the hub has no subfolder epoch-9: none of its subfolders holds a model, check",
        ),
        (
            "org/gated",
            r"org/gated on the hub is gated: ask for access on its page there, then log in \(hf auth login, or HF_",
        ),
        ("org--name", r"There is no folder org--name: check the name\."),
        ("./org", r"There is no folder org: check the name\."),
    ],
)
def test_names_that_stand_for_nothing(name: str, said: str, hub: Hub, home: Path) -> None:
    hub.add("org/name", under("epoch-9", model("a")) | {"notes/read.me": b""})
    hub.add("org/plain", model("b"))
    hub.add("org/gated", model("c"), gated=True)
    with pytest.raises(CheckpointError, match=said) as caught:
        locate(name)
    assert str(home) not in str(caught.value)


def test_offline_what_the_cache_does_not_hold_is_said_so(hub: Hub, home: Path) -> None:
    with (
        asked(hub, home, offline=True),
        pytest.raises(CheckpointError, match=r"and offline mode is on \(HF_HUB_OFFLINE\)"),
    ):
        find(HubModel("org/name"))
    assert hub.requests == []


def test_a_hub_that_says_nothing_is_not_waited_for(
    hub: Hub, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "TIMEOUT", 0.2)
    hub.add("org/name", model("a"))
    first = find(HubModel("org/name"))
    forget(monkeypatch)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        hub.url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        started = time.monotonic()
        with asked(hub, home):
            assert find(HubModel("org/name")) == first
            failures = look_up(HubModel(f"org/{number}") for number in range(100))
        assert time.monotonic() - started < 5
    assert len(failures) == 100
    assert all("the hub cannot be reached (timed out)" in str(error) for error in failures.values())


@pytest.mark.parametrize("error", ["httpx2.ReadError", "RuntimeError"])
def test_what_the_client_does_not_continue_is_begun_again(
    error: str, hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx2
    import huggingface_hub

    told: Told = []
    download, broken = (
        huggingface_hub.hf_hub_download,
        {"httpx2.ReadError": httpx2.ReadError, "RuntimeError": RuntimeError}[error],
    )
    failures = [broken("reset by peer"), broken("reset by peer")]

    def fails_at_first(*arguments: str, tqdm_class: type[tqdm], **more: object) -> str:
        if failures and arguments[1] == "model.safetensors":
            tqdm_class().update(500)
            raise failures.pop()
        return download(*arguments, tqdm_class=tqdm_class, **more)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fails_at_first)
    hub.add("org/name", model("a"))
    assert content(find(HubModel("org/name"), lambda *stage: told.append(stage)).folder) == model("a")
    assert told[-1][1] == told[-1][2]
    hub.add("org/other", model("b"))
    failures += [broken("reset by peer")] * client.TRIES
    with pytest.raises(CheckpointError, match=r"the hub cannot be reached \(reset by peer\)"):
        find(HubModel("org/other"))


def test_a_hub_that_cannot_be_reached_is_said_so(hub: Hub, home: Path) -> None:
    hub.stop()
    with pytest.raises(
        CheckpointError, match=r"the hub cannot be reached \(.*refused\): check the name and the network"
    ):
        find(HubModel("org/name"))


def test_a_full_disk_is_no_fault_of_the_hub(hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    hub.add("org/name", model("a"))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", full)
    with pytest.raises(OSError, match="No space left"):
        find(HubModel("org/name"))


# --- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("org/name", HubModel("org/name")),
        ("name", HubModel("name")),
        ("org/name@v2", HubModel("org/name", "v2")),
        ("org/name:a/b", HubModel("org/name", "", "a/b")),
        ("org/name@refs/pr/1:a", HubModel("org/name", "refs/pr/1", "a")),
        ("/org/name", None),
        ("./name", None),
        ("~/name", None),
        ("a/b/c", None),
    ],
)
def test_one_grammar_for_names(name: str, place: HubModel | None) -> None:
    assert on_the_hub(name) == place
    assert place is None or str(place) == name


def test_records_name_a_source_with_its_commit_and_the_zoo_as_it_was_typed(hub: Hub, home: Path) -> None:
    zoo = Zoo("org/name_{locale}@main:epoch_{locale}")
    commit = hub.add("org/name_de-DE", under("epoch_de-DE", model("a")))
    checkpoint = zoo.checkpoint("de-DE")
    assert checkpoint.name == "org/name_de-DE@main:epoch_de-DE"
    assert checkpoint.reference == f"org/name_de-DE@{commit}:epoch_de-DE"
    assert locate(*checkpoint.reference.rsplit(":", 1)).folder == checkpoint.folder
    assert zoo_name(checkpoint, "de-DE") == zoo.template
    assert source_locale(checkpoint) == "de-DE"


@pytest.mark.parametrize("template", ["org/zoo_{locale}", "org/zoo:{locale}", "org/zoo:xlmr/deep/{locale}"])
def test_a_zoo_on_the_hub_has_the_name_that_its_card_says(template: str, hub: Hub, home: Path) -> None:
    place = on_the_hub(template.replace("{locale}", "de-DE"))
    assert place is not None
    files = under(place.subfolder, model("a")) if place.subfolder else model("a")
    hub.add(place.repository, files | {"zoo.json": b'{"name": "mine"}'})
    assert zoo_name(Zoo(template).checkpoint("de-DE"), "de-DE") == "mine"


def test_the_models_in_a_repository(hub: Hub, home: Path) -> None:
    hub.add(
        "org/name", under("b", model("b")) | under("a", model("a")) | under("a/deeper", model("c")) | {"notes/x": b""}
    )
    hub.add("org/single", model("d"))
    assert models_in("org/name") == (False, ["a", "b"])
    assert models_in("org/single") == (True, [])
    assert downloads(hub) == []


# --- the hub itself ----------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload:DeprecationWarning")  # of the client, about itself
def test_what_is_pushed_can_be_read_back(hub: Hub, home: Path, tmp_path: Path) -> None:
    from huggingface_hub import HfApi

    files = model("a") | {"README.md": b"---\nlicense: mit\n---\n", "more/notes.txt": b"n"}
    for path, content_of in files.items():
        (tmp_path / "model" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / path).write_bytes(content_of)
    with asked(hub, home, token=TOKEN):
        api = HfApi()
        api.create_repo("org/pushed", private=True)
        pushed = api.upload_folder(repo_id="org/pushed", folder_path=tmp_path / "model")
        assert hub.files("org/pushed") == files
        assert find(HubModel("org/pushed")).commit == pushed.oid
    assert hub.model("org/pushed").private


def test_a_data_set_s_branch_of_parquet_files(hub: Hub, home: Path) -> None:
    from huggingface_hub import hf_hub_download

    hub.add("org/data", {"de-DE/test/0000.parquet": b"PAR1"}, kind="datasets", branch="refs/convert/parquet")
    path = hf_hub_download("org/data", "de-DE/test/0000.parquet", repo_type="dataset", revision="refs/convert/parquet")
    assert Path(path).read_bytes() == b"PAR1"
    assert hub.asked_for("refs%2Fconvert%2Fparquet")
