"""Whatever answers as a hub, there is a model or one sentence, and nothing is written outside the hub's cache.

The client is the real one, the hub that of ``tests/hub.py``; its answers are spoiled on their way. More examples for
a long run: ``HYPOTHESIS_EXAMPLES=1000 pytest tests/hostile/test_hub_answers.py``.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hostile.parsers import model_files
from hostile.spoiled import WORDS, values
from hub import Answer, Hub, asked
from huggingface_hub import close_session, constants, get_session, hf_hub_download
from huggingface_hub.utils import _http
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from published import publish_data

from sprachbund import hub_answers
from sprachbund.checkpoints import Checkpoint, locate
from sprachbund.checkpoints import hub as client
from sprachbund.data.massive_hub import open_hub
from sprachbund.errors import DataError, UserError
from sprachbund.parallel import side_by_side

EXAMPLES = int(os.environ.get("HYPOTHESIS_EXAMPLES", "20"))
MODEL = "org/name"
PLACES = (
    "../../../../x",
    "/tmp/x",
    "..",
    ".",
    "a/../../x",
    "a\0b",
    "x" * 5000,
    "",
    "config.json/x",
    "a\\..\\x",
    "con\nfig",
)
QUESTIONS = {
    "info": rf"/api/models/{MODEL}(/revision/[^/]+)?(\?.*)?",
    "listing": rf"/api/models/{MODEL}/tree/.*",
    "file": rf"/{MODEL}/resolve/.*",
    "data": r"/api/datasets/AmazonScience/massive/revision/.*",
    "data file": r"/datasets/AmazonScience/massive/resolve/.*",
    "anything": r".*",
}
Spoil = Callable[[str, str, Answer], Answer]
Publish = Callable[[Hub], None]


def a_model(hub: Hub) -> None:
    hub.add(MODEL, model_files())


def rows_of_massive(hub: Hub) -> None:
    publish_data(hub, ["sq-AL"])


@contextmanager
def served(folder: Path, monkeypatch: pytest.MonkeyPatch, spoil: Spoil, publish: Publish = a_model) -> Iterator[Path]:
    """A hub that spoils its answers; the cache is deep in the folder, so that ways out of it end in the folder."""
    home = folder / "1" / "2" / "3" / "4" / "5" / "home"
    monkeypatch.setattr(client, "_listings", {})
    monkeypatch.setattr(client, "_answering", set())
    monkeypatch.setattr(client, "PAUSE", 0.0)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the client waits before it tries again
    with Hub() as hub, asked(hub, home):
        publish(hub)
        hub.spoil = spoil
        yield home


def assert_all_inside(folder: Path, home: Path) -> None:
    """Nothing lies outside the hub's cache."""
    assert not [path for path in folder.rglob("*") if not path.is_dir() and home / "hub" not in path.parents]


def found(folder: Path, monkeypatch: pytest.MonkeyPatch, spoil: Spoil) -> Checkpoint | str:
    """The model, or the sentence; nothing lies outside the cache."""
    with served(folder, monkeypatch, spoil) as home:
        try:
            outcome: Checkpoint | str = locate(MODEL)
        except UserError as error:
            outcome = str(error)
            assert "\n" not in outcome
            assert len(outcome.split()) < 200
    assert_all_inside(folder, home)
    return outcome


def where(question: str, spoil: Callable[[Answer], Answer], method: str = ".*") -> Spoil:
    """Spoil the answers to one kind of question."""

    def spoiled_answer(how: str, path: str, answer: Answer) -> Answer:
        asks = re.fullmatch(QUESTIONS[question], path) and re.fullmatch(method, how)
        return spoil(answer) if asks else answer

    return spoiled_answer


def body(content: bytes) -> Callable[[Answer], Answer]:
    return lambda answer: replace(answer, body=content, headers={**answer.headers, "Content-Length": str(len(content))})


def entries(**changes: Any) -> Callable[[Answer], Answer]:
    """A listing whose first file says something else."""

    def spoil(answer: Answer) -> Answer:
        listing = json.loads(answer.body)
        told = [{**listing[0], **changes}, *listing[1:]] if isinstance(listing, list) else {**listing, **changes}
        return body(json.dumps(told).encode())(answer)

    return spoil


def headers(**changes: str) -> Callable[[Answer], Answer]:
    named = {name.replace("_", "-"): value for name, value in changes.items()}
    return lambda answer: replace(answer, headers={**answer.headers, **named})


def test_a_hub_that_is_one_gives_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = found(tmp_path, monkeypatch, lambda method, path, answer: answer)
    assert isinstance(opened, Checkpoint)
    assert opened.labels == ("a", "b")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (where("info", entries(sha="../../../../x")), r"\.\./x is no commit"),
        (where("info", entries(sha=None)), "cannot be understood"),
        (where("info", body(b"<html>log in</html>")), "cannot be understood"),
        (where("info", body(b"[" * 100_000)), "cannot be understood"),
        (
            where("listing", entries(path="../../../../x/config.json")),
            "lists '../../../../x/config.json', which is no file",
        ),
        (where("listing", entries(path="/tmp/config.json")), "lists '/tmp/config.json', which is no file"),
        (where("listing", entries(path="a\\b\0")), "which is no file in a folder"),
        (where("listing", entries(path=7)), "cannot be understood"),
        (where("listing", entries(size="many")), "has 'many' bytes"),
        (where("listing", entries(size=-1)), "has -1 bytes"),
        (where("file", headers(ETag='"../../../../../../x"'), "HEAD"), r"its ETag is '\"../../../../../../x\"'"),
        (where("file", headers(X_Linked_ETag='"a/b"'), "HEAD"), "its X-Linked-ETag is"),
        (where("file", headers(X_Repo_Commit="../../x"), "HEAD"), "its X-Repo-Commit is"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_answer_that_no_hub_gives_is_told(
    spoil: Spoil, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = found(tmp_path, monkeypatch, spoil)
    assert isinstance(outcome, str)
    assert re.search(said, outcome), outcome


@pytest.mark.parametrize("then", ["", "/api/{}", f"/{MODEL}/resolve/main/{{}}"])
def test_a_listing_without_end_is_left(then: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the hub says that the next page is."""
    monkeypatch.setattr(hub_answers, "MOST_PAGES", 5)
    pages = 0

    def endless(method: str, path: str, answer: Answer) -> Answer:
        nonlocal pages
        if re.fullmatch(QUESTIONS["listing"], path) or (pages and path == then.format(pages)):
            pages += 1
            following = then.format(pages) or path
            more = headers(Link=f'<{constants.ENDPOINT}{following}>; rel="next"')(replace(answer, status=200))
            return more if answer.status == 200 else body(b"[]")(more)
        return answer

    outcome = found(tmp_path, monkeypatch, endless)
    assert isinstance(outcome, str)
    assert "(a listing goes on after 5 pages)" in outcome
    assert pages <= 7


def test_pages_are_those_of_one_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_answers, "MOST_PAGES", 5)
    with served(tmp_path, monkeypatch, lambda method, path, answer: answer):
        for _ in range(10):
            client._listings.clear()
            assert isinstance(locate(MODEL), Checkpoint)


ENDLESS = (
    "What answers as the hub is none (an answer goes on after 100,000 bytes): see what HF_ENDPOINT names, or try later."
)


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize("question", ["info", "listing", "file"])
def test_an_answer_without_end_is_left(
    question: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_answers, "MOST_SAID", 100_000)
    padded = where(question, lambda answer: body(answer.body + b" " * 200_000)(replace(answer, status=status)), "GET")
    outcome = found(tmp_path, monkeypatch, padded)
    if (question, status) == ("file", 200):
        assert isinstance(outcome, str)
        assert "is none (a file goes on after" in outcome
    else:
        assert outcome == ENDLESS


def zipped(more: bytes) -> Callable[[Answer], Answer]:
    return lambda answer: headers(Content_Encoding="gzip")(body(gzip.compress(answer.body + more))(answer))


def test_bytes_are_counted_as_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_answers, "MOST_SAID", 100_000)
    assert isinstance(found(tmp_path / "small", monkeypatch, where("info", zipped(b""))), Checkpoint)
    assert found(tmp_path / "large", monkeypatch, where("info", zipped(b" " * 1_000_000))) == ENDLESS


def test_sessions_that_begin_later_are_looked_at_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client begins a new one when a connection fails; who has set how they are made is still heard."""
    made: list[object] = []

    def own() -> Any:
        made.append(session := default())
        return session

    default = _http.default_client_factory
    monkeypatch.setattr(_http, "_GLOBAL_CLIENT_FACTORY", own)
    with served(tmp_path, monkeypatch, where("file", headers(ETag='"../../../x"'), "HEAD")) as home:
        for _, error in side_by_side(lambda _: hub_answers.distrust(), range(8), 8):
            assert error is None
        for _ in range(2):
            close_session()
            assert get_session() is made[-1]
            assert get_session().event_hooks["response"] == [hub_answers._look_at]
            with pytest.raises(UserError, match="its ETag is"):
                hf_hub_download(MODEL, "config.json", cache_dir=home / "hub")
    assert len(made) >= 2


@pytest.fixture
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what was fetched before would be remembered: nothing was."""
    monkeypatch.setenv("SPRACHBUND_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (where("data", entries(sha="../../../../x")), "'../../../../x' is no commit"),
        (where("data", entries(sha=None)), "None is no commit"),
        (where("data", entries(sha=7)), "its answer cannot be understood"),
        (where("data", body(b"<html>log in</html>")), "the hub's AmazonScience/massive: "),
        (where("data", body(b"[]")), "its answer cannot be understood"),
        (where("data", body(b"[" * 100_000)), "the hub's AmazonScience/massive: "),
        (where("data", entries(siblings=[{}])), "its answer cannot be understood"),
        (where("data", entries(siblings=[{"rfilename": 7}])), "its answer cannot be understood"),
        (
            where("data", entries(siblings=[{"rfilename": "sq-AL/test/../../../../x.parquet"}])),
            "it has no Parquet files",
        ),
        (where("data", body(b" " * 200_000)), "an answer goes on after 100,000 bytes"),
        (where("data file", headers(ETag='"../../../../../../x"'), "HEAD"), "its ETag is"),
        (where("data file", headers(X_Repo_Commit="../../x"), "HEAD"), "its X-Repo-Commit is"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_rows_of_a_hub_that_is_none_are_one_sentence(
    spoil: Spoil, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_answers, "MOST_SAID", 100_000)
    with (
        served(tmp_path, monkeypatch, spoil, rows_of_massive) as home,
        pytest.raises(DataError, match=re.escape(said)) as error,
    ):
        [*open_hub()[0].rows("sq-AL", "test")]
    assert "\n" not in str(error.value)
    assert_all_inside(tmp_path, home)


@pytest.mark.usefixtures("own_cache")
def test_rows_of_a_hub_that_is_one_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(tmp_path, monkeypatch, lambda method, path, answer: answer, rows_of_massive):
        reader, _ = open_hub()
        assert reader.locales == {"sq-AL"}
        assert [*reader.rows("sq-AL", "test")]


def test_memory_that_runs_out_is_not_what_the_hub_said() -> None:
    with pytest.raises(MemoryError):
        client._in_our_words(MemoryError(), client.HubModel(MODEL))
    said = client._in_our_words(ValueError("'out of memory' is no date"), client.HubModel(MODEL))
    assert "cannot be understood" in str(said)


def test_a_file_that_goes_on_after_its_end_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    longer = where("file", lambda answer: body(answer.body + bytes(25_000_000))(answer), "GET")
    outcome = found(tmp_path, monkeypatch, longer)
    assert isinstance(outcome, str)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 80_000_000


@st.composite
def spoils(draw: st.DrawFn) -> Spoil:
    """One or two kinds of answers, with something done to them."""
    done: Mapping[str, st.SearchStrategy[Callable[[Answer], Answer]]] = {
        "body": st.builds(lambda seed: lambda answer: body(_spoiled(answer.body, seed))(answer), st.integers(0, 2**20)),
        "entries": st.builds(
            lambda name, value: _if_json(entries(**{name: value})),
            st.sampled_from(["path", "rfilename", "sha", "size", "oid", "lfs", "type", "siblings", "id", "gated"]),
            values() | st.sampled_from(PLACES),
        ),
        "headers": st.builds(
            lambda name, value: headers(**{name: value}),
            st.sampled_from(
                [
                    "ETag",
                    "X_Linked_ETag",
                    "X_Repo_Commit",
                    "X_Linked_Size",
                    "Location",
                    "Link",
                    "Content_Type",
                    "X_Error_Code",
                ]
            ),
            st.sampled_from(
                [place.replace("\0", "").replace("\n", "") for place in (*PLACES, *WORDS[:3], '<x>; rel="next"')]
            ),
        ),
        "length": st.builds(
            lambda length: headers(Content_Length=length), st.sampled_from(["0", "-1", "1", "many", "9"])
        ),
        "status": st.builds(
            lambda status: lambda answer: replace(answer, status=status),
            st.sampled_from([204, 301, 304, 400, 401, 404, 410]),
        ),
    }
    question = draw(st.sampled_from(list(QUESTIONS)))
    return where(question, draw(done[draw(st.sampled_from(list(done)))]), draw(st.sampled_from(["HEAD", "GET", ".*"])))


def _spoiled(content: bytes, seed: int) -> bytes:
    """What hypothesis makes of an answer, which is known only now."""
    kinds = (
        b"",
        b"<html></html>",
        b"null",
        b"[]",
        b"{}",
        b"[1]",
        b'"x"',
        b"[" * 3000,
        b"\xff\xfe",
        content[: len(content) // 2],
    )
    return kinds[seed % len(kinds)] if seed % 3 else content[: seed % (len(content) + 1)] + b"\0" + content[seed % 7 :]


def _if_json(spoil: Callable[[Answer], Answer]) -> Callable[[Answer], Answer]:
    def spoil_if(answer: Answer) -> Answer:
        try:
            return spoil(answer)
        except (ValueError, KeyError, IndexError, TypeError):
            return answer

    return spoil_if


@settings(
    max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(spoil=spoils())
def test_whatever_a_hub_says_there_is_a_model_or_one_sentence(spoil: Spoil) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        found(Path(folder), monkeypatch, spoil)
