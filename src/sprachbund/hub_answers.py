"""What answers as the hub is looked at before ``huggingface_hub`` uses it, whatever is asked for: models or rows of MASSIVE.

The client believes what a hub says: commits and ETags become names of files in its cache, listings are read to their end. Who
answers may be a mirror, or anybody's.
"""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from sprachbund.errors import HubError

__all__ = ["COMMIT", "MOST_PAGES", "MOST_SAID", "distrust", "listing", "odd"]

MOST_PAGES, MOST_SAID = 1_000, 200_000_000
"""Answers that make a listing, a page of a thousand files each, and bytes of any answer that is no file, decompressed."""
COMMIT = re.compile(r"[0-9a-f]{40}")
"""A revision, resolved."""
_NAMES_OF_FILES = ("ETag", "X-Linked-ETag", "X-Repo-Commit")
"""Headers that the client makes names of files of."""
_FILE_NAME = re.compile(r"[\w+=.:-]{1,150}", re.ASCII)
_asking: ContextVar[Iterator[int] | None] = ContextVar("_asking", default=None)
"""Numbers the answers to what is asked in a :func:`listing`; None elsewhere."""
_one_at_a_time = threading.Lock()


def odd(what: str) -> HubError:
    """Return the complaint of an answer that no hub gives."""
    return HubError(f"What answers as the hub is none ({what}): see what HF_ENDPOINT names, or try later.")


def distrust() -> None:
    """Let every answer be looked at before the client uses it, also by the sessions that it begins when a connection fails."""
    from huggingface_hub import set_client_factory

    # A factory that somebody has set, for a proxy, say, can be had nowhere else.
    from huggingface_hub.utils import _http

    with _one_at_a_time:
        if not isinstance(_http._GLOBAL_CLIENT_FACTORY, _Distrustful):
            set_client_factory(_Distrustful(_http._GLOBAL_CLIENT_FACTORY))


@dataclass(frozen=True)
class _Distrustful:
    """Makes sessions as the client would, whose answers are looked at."""

    make: Callable[[], Any]

    def __call__(self) -> Any:
        session = self.make()
        hooks = session.event_hooks
        session.event_hooks = {**hooks, "response": [*hooks["response"], _look_at]}
        return session


@contextmanager
def listing() -> Iterator[None]:
    """Let what is asked in the block, on this thread, be a listing: no answer to it is a file, and they have an end."""
    before = _asking.set(itertools.count(1))
    try:
        yield
    finally:
        _asking.reset(before)


def _look_at(response: Any) -> None:
    """Refuse headers that would name a file elsewhere, and what never ends.

    Raises:
        HubError: there is one.
    """
    pages, path = _asking.get(), response.request.url.path
    if pages is not None and next(pages) > MOST_PAGES:
        raise odd(f"a listing goes on after {MOST_PAGES:,} pages")
    if response.request.method == "HEAD":
        for header in _NAMES_OF_FILES:
            value = response.headers.get(header, "")
            name = value.removeprefix("W/").strip('"')
            if name and (not _FILE_NAME.fullmatch(name) or not name.strip(".")):
                raise odd(f"its {header} is {value!r:.100}")
    elif pages is not None or not response.is_success or ("/api/" in path and "/resolve/" not in path):
        response.stream = _cut_off(response)
        response.headers.pop("Content-Encoding", None)  # which that has undone


def _cut_off(response: Any) -> Any:
    """Return the bytes of an answer, decompressed, of which there may be so many."""
    import httpx2

    sent = httpx2.Response(
        response.status_code, headers=response.headers, stream=response.stream, request=response.request
    )

    class Stream(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            said = 0
            for part in sent.iter_bytes():
                said += len(part)
                if said > MOST_SAID:
                    raise odd(f"an answer goes on after {MOST_SAID:,} bytes")
                yield part

        def close(self) -> None:
            sent.close()

    return Stream()
