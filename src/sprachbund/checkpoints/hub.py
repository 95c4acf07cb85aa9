"""Checkpoints on the Hugging Face hub: what a repository holds, and the few files of it that make a model, in a local folder.

All goes through ``huggingface_hub``: its cache (so that other tools share what was fetched), its offline mode, the user's
token. It is asked in two steps, for all models of a command at once. :func:`look_up` resolves revisions to commits and reads
listings, so that what is missing is known before a byte of a model is on its way; :func:`fetch` brings the files that are not
in the cache yet, several at a time. A connection that breaks is continued where it broke; a run that breaks keeps the files
that are whole. What was found is remembered in this process, so that nobody asks twice.

What answers is looked at before the client uses it, see ``hub_answers``.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Self

from sprachbund.checkpoints.checkpoint import (
    ADAPTER_CONFIG,
    COMPANIONS,
    CONFIG,
    TOKEN_COUNTS,
    TRAINING_CARD,
    WEIGHTS,
    ZOO_CARD,
)
from sprachbund.checkpoints.pickled import unasked
from sprachbund.errors import CheckpointError, HubError, is_no_room, nearest
from sprachbund.hub_answers import COMMIT, distrust, listing, odd
from sprachbund.parallel import Report, side_by_side

__all__ = ["Found", "HubModel", "cache_folder", "fetch", "find", "look_up", "subfolders", "to_download"]

AT_ONCE = 8
"""Requests that are under way at the same time."""
TIMEOUT = 10.0
"""Seconds that the hub may take to say that it is there."""
TRIES, PAUSE = 3, 1.0
"""How often a file is begun when the connection fails, and the seconds between."""
_BESIDE = (*COMPANIONS, ADAPTER_CONFIG, TRAINING_CARD, TOKEN_COUNTS, "merge_details.json", "blend.json")
"""Small files that say what a model is and what it has seen."""
_WEIGHTS = (
    (WEIGHTS,),
    ("*.safetensors", "*.safetensors.index.json"),
    ("pytorch_model*.bin", "pytorch_model*.bin.index.json"),
)
"""How tensors may be kept; the first that is there is taken, the others are the same again."""
_CARD = "README.md"
"""The model card says under which licence a model is. It is fetched if that can be had; a model is whole without it."""
_ADAPTERS = (("adapter_model.safetensors",), ("adapter_model.bin",))
_PICKLED = (*_WEIGHTS[-1], *_ADAPTERS[-1])
"""Those of them that are pickles."""


@dataclass(frozen=True)
class HubModel:
    """A place on the hub, as a user names it."""

    repository: str
    """``owner/name``, or ``name`` alone for some old ones."""
    revision: str = ""
    """Branch, tag or commit; empty for the main branch."""
    subfolder: str = ""
    """Empty where the repository itself is the model."""
    allow_pickle: bool = False
    """Whether its weights may be a pickle; one that is only there as that is else no model, and none of it is fetched."""

    def __str__(self) -> str:
        model = f"{self.repository}@{self.revision}" if self.revision else self.repository
        return f"{model}:{self.subfolder}" if self.subfolder else model


@dataclass(frozen=True)
class Found:
    """Where a model is on this machine."""

    folder: Path
    commit: str
    """40 hex digits."""


@dataclass(frozen=True)
class _Listing:
    """What a repository holds at one commit."""

    revision: Any
    """The client's own, which knows the commit."""
    folder: Path
    """Of the snapshot, in the client's cache; what was fetched is there."""
    sizes: Mapping[str, int]
    """Bytes of each file."""

    @property
    def commit(self) -> str:
        return str(self.revision.resolved)


_listings: dict[tuple[str, str], _Listing | CheckpointError] = {}
"""By repository and revision; failures only until somebody looks again."""
_answering: set[str] = set()
"""Addresses at which a hub has answered."""


# --- what is there -----------------------------------------------------------------------------------------------------


def look_up(models: Iterable[HubModel]) -> dict[HubModel, CheckpointError]:
    """Ask what the repositories hold; return the models that are not there, each with the reason. Nothing is fetched.

    Raises:
        OSError: there is no room for the listings.
    """
    models = list(dict.fromkeys(models))
    unknown = {(model.repository, model.revision): model for model in models if not _is_listed(model)}
    if unknown:
        for model, found in side_by_side(partial(_read_listing, _silence()), unknown.values(), AT_ONCE):
            listing = _in_our_words(found, model) if isinstance(found, BaseException) else found
            _listings[model.repository, model.revision] = listing
    return {model: error for model in models if (error := _absence(model))}


def listings() -> Mapping[tuple[str, str], _Listing]:
    """Return what repositories hold, as far as it is known here, for :func:`take_over` in another process."""
    return {place: found for place, found in _listings.items() if isinstance(found, _Listing)}


def take_over(known: Mapping[tuple[str, str], _Listing]) -> None:
    """Believe what another process knows of repositories, instead of asking the hub again; what lies elsewhere is of no use."""
    for place, found in known.items():
        if found.folder.is_dir():
            _listings.setdefault(place, found)


def subfolders(model: HubModel) -> list[str]:
    """Return the folders directly in a repository that hold a model, sorted.

    Raises:
        CheckpointError: there is no such repository or revision, or nobody can be asked.
    """
    look_up([model])
    return _models_in(_listing(model))


def _is_listed(model: HubModel) -> bool:
    return isinstance(_listings.get((model.repository, model.revision)), _Listing)


def _listing(model: HubModel) -> _Listing:
    found = _listings[model.repository, model.revision]
    if isinstance(found, CheckpointError):
        raise CheckpointError(str(found))
    return found


def _silence() -> Exception | None:
    """Return why the hub does not answer, None if it does or must not be asked.

    The client would ask for each repository anew, and wait without end for a hub that neither answers nor refuses.
    """
    import httpx2
    from huggingface_hub import constants, get_session

    if constants.is_offline_mode() or constants.ENDPOINT in _answering:
        return None
    try:
        distrust()
        get_session().head(constants.ENDPOINT, timeout=TIMEOUT)
    except httpx2.RequestError as error:
        return error
    _answering.add(constants.ENDPOINT)
    return None


def _read_listing(silence: Exception | None, model: HubModel) -> _Listing:
    from huggingface_hub import HfApi, constants, errors
    from huggingface_hub.file_download import repo_folder_name

    _quieten()
    distrust()
    repository, offline = model.repository, constants.is_offline_mode() or silence is not None
    try:
        with listing():
            revision = HfApi().resolve_revision(repository, revision=model.revision or None, local_files_only=offline)
            if not COMMIT.fullmatch(revision.resolved):
                raise odd(f"{revision.resolved} is no commit")
            place = cache_folder() / repo_folder_name(repo_id=repository, repo_type="model")
            folder = place / "snapshots" / revision.resolved
            return _Listing(revision, folder, _checked(_sizes(repository, revision, folder, offline=offline)))
    except (errors.RevisionResolutionError, errors.LocalEntryNotFoundError) as error:
        raise error from (silence or error.__cause__)


def _sizes(repository: str, revision: Any, folder: Path, *, offline: bool) -> dict[str, int]:
    """Return the bytes of all files: as the client remembers it, else as the hub says, else of those in the cache."""
    from huggingface_hub import get_cached_repo_tree, snapshot_download
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    with suppress(CachedRepoTreeNotFoundError):
        return {file.path: file.size for file in get_cached_repo_tree(repository, revision=revision)}
    # A snapshot of no file: what remains is the listing, which the client keeps for runs without the network.
    snapshot_download(repository, revision=revision, allow_patterns=[], local_files_only=offline, tqdm_class=_Bar)
    with suppress(CachedRepoTreeNotFoundError):
        return {file.path: file.size for file in get_cached_repo_tree(repository, revision=revision)}
    files = (path for path in folder.rglob("*") if path.is_file())  # another tool has fetched them, and no listing
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def _checked(sizes: Mapping[str, Any]) -> dict[str, int]:
    """Return what a listing says, if files of these names and sizes can be in a folder.

    Raises:
        CheckpointError: they cannot.
    """
    for path, size in sizes.items():
        parts = path.split("/")
        if not path.isprintable() or "\\" in path or not {"", ".", ".."}.isdisjoint(parts):
            raise odd(f"it lists {path!r:.100}, which is no file in a folder")
        if not isinstance(size, int) or size < 0:
            raise odd(f"it says that {path:.100} has {size!r:.40} bytes")
    return dict(sizes)


def _absence(model: HubModel) -> CheckpointError | None:
    """Return why there is no model at a place, None if there is one."""
    try:
        listing = _listing(model)
    except CheckpointError as error:
        return error
    inside = _inside(listing, model.subfolder)
    if CONFIG in inside or ADAPTER_CONFIG in inside:
        pickled = [name for name in inside if _is_any_of(name, _PICKLED) and _is_any_of(name, _weights(inside))]
        return unasked(f"{model} on the hub", min(pickled)) if pickled and not model.allow_pickle else None
    there = _models_in(listing)
    if model.subfolder and not inside:
        hint = nearest(model.subfolder, there) if there else "none of its subfolders holds a model, check the name."
        return CheckpointError(f"{model.repository} on the hub has no subfolder {model.subfolder}: {hint}")
    hint = (
        f"checkpoints in its subfolders: {', '.join(there)} (name one with --model-dir, or as {model}:{there[0]})."
        if there and not model.subfolder
        else "check the name."
    )
    return CheckpointError(f"{model} on the hub has no {CONFIG}; {hint}")


def _models_in(listing: _Listing) -> list[str]:
    paths = (PurePosixPath(path) for path in listing.sizes)
    return sorted({path.parts[0] for path in paths if len(path.parts) == 2 and path.name in (CONFIG, ADAPTER_CONFIG)})


def _inside(listing: _Listing, subfolder: str) -> list[str]:
    """Return the names of the files directly in a subfolder."""
    place = PurePosixPath(subfolder)
    return [PurePosixPath(path).name for path in listing.sizes if PurePosixPath(path).parent == place]


def _needed(listing: _Listing, subfolder: str) -> list[str]:
    """Return the paths of the files that make the model, and of what says which zoo it is of."""
    inside = _inside(listing, subfolder)
    names = [name for name in inside if _is_any_of(name, (*_BESIDE, *_weights(inside)))]
    paths = [(PurePosixPath(subfolder) / name).as_posix() for name in names]
    return [*paths, ZOO_CARD] if ZOO_CARD in listing.sizes and ZOO_CARD not in paths else paths


def _cards(listing: _Listing, subfolder: str) -> list[str]:
    """Return the paths of the model cards that speak of the model, as long as a hub is there to ask for them."""
    from huggingface_hub import constants

    if constants.is_offline_mode() or constants.ENDPOINT not in _answering:
        return []
    own = (PurePosixPath(subfolder) / _CARD).as_posix()
    return [path for path in dict.fromkeys((own, _CARD)) if path in listing.sizes]


def _weights(names: Sequence[str]) -> tuple[str, ...]:
    """Return how, of the files of a model, those with its tensors are called; of an adapter, its own."""
    ways = _ADAPTERS if ADAPTER_CONFIG in names else _WEIGHTS
    return next((way for way in ways if any(fnmatchcase(name, way[0]) for name in names)), ())


def _is_any_of(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


# --- bringing it here --------------------------------------------------------------------------------------------------


def find(model: HubModel, report: Report = lambda stage, done, total: None) -> Found:
    """Return where a model is on this machine; what is missing of it is fetched, ``report`` is told of bytes.

    Raises:
        CheckpointError: it is not there, or could not be fetched.
        OSError: there is no room.
    """
    if failures := look_up([model]) or fetch([model], report):
        raise failures[model]
    listing = _listing(model)
    return Found(listing.folder / model.subfolder, listing.commit)


def fetch(
    models: Iterable[HubModel], report: Report = lambda stage, done, total: None
) -> dict[HubModel, CheckpointError]:
    """Bring the files of models that :func:`look_up` has found; return those that did not arrive, each with the reason.

    ``report`` is told of bytes, over all models; what is in the cache does not count.

    Raises:
        OSError: there is no room.
    """
    missing = _not_in_cache(models)
    return _download(missing, report) if missing else {}


def to_download(models: Iterable[HubModel]) -> int:
    """Return how many bytes of the models that are there :func:`fetch` would bring."""
    models = list(models)
    absent = look_up(models)
    missing = _not_in_cache(model for model in models if model not in absent)
    return sum(_listing(model).sizes[path] for model, path in missing)


def cache_folder() -> Path:
    """Return where the client keeps what it has fetched."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE).expanduser()


def _not_in_cache(models: Iterable[HubModel]) -> list[tuple[HubModel, str]]:
    """Return the files that are needed and not there, each once, with the model that needs it."""
    missing: dict[tuple[Path, str], HubModel] = {}
    for model in models:
        listing = _listing(model)
        for path in (*_needed(listing, model.subfolder), *_cards(listing, model.subfolder)):
            if not (listing.folder / path).exists():
                missing.setdefault((listing.folder, path), model)
    return [(model, path) for (_, path), model in missing.items()]


def _download(wanted: Sequence[tuple[HubModel, str]], report: Report) -> dict[HubModel, CheckpointError]:
    count = _Count(sum(_listing(model).sizes[path] for model, path in wanted))
    failures: dict[HubModel, CheckpointError] = {}

    def tell() -> None:
        report("downloading", min(count.done, count.total), count.total)

    tell()
    try:
        for (model, path), error in side_by_side(partial(_download_one, count), wanted, AT_ONCE, meanwhile=tell):
            if error and PurePosixPath(path).name != _CARD:
                failures[model] = _in_our_words(error, model)
    finally:  # Ctrl-C, or no room: what is under way is not waited for
        count.stopped = True
    if not failures:
        report("downloading", count.total, count.total)
    return failures


def _download_one(count: _Count, wanted: tuple[HubModel, str]) -> None:
    """Fetch one file. The client continues what breaks off; where it gives up, the file is begun again."""
    import httpx2
    from huggingface_hub import constants, hf_hub_download

    _quieten()
    distrust()
    model, path = wanted
    revision, offline = _listing(model).revision, constants.is_offline_mode()
    for left in reversed(range(TRIES)):
        bar = _bar(count, _listing(model).sizes[path])
        try:
            hf_hub_download(model.repository, path, revision=revision, local_files_only=offline, tqdm_class=bar)
            return
        except (httpx2.TransportError, *_XET_S):
            if not left:
                raise
            count.add(-bar.arrived)
            time.sleep(PAUSE)


_XET_S = (ConnectionError, TimeoutError, RuntimeError)
"""What a connection ends in where the client speaks Xet, whose errors have no names of their own."""


class _Stopped(Exception):
    """Ends a download that nobody waits for."""


class _Count:
    """Bytes that have arrived, of all files together."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.stopped = total, 0, False
        self._lock = threading.Lock()

    def add(self, size: int) -> None:
        if self.stopped:
            raise _Stopped
        with self._lock:
            self.done += size


class _Bar:
    """What the client takes for a progress bar (tqdm's); it shows nothing."""

    total: float | None = 0
    n = 0

    def __init__(self, *_: object, **__: object) -> None:
        """Take whatever a bar is told."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing on the screen."""

    def update(self, size: float | None = 1) -> None:
        """Count what has been written; the client takes some back where it has to begin again."""

    def update_transfer(self, size: float | None = 1) -> None:
        """Do not count what came over the network as well."""

    def _show(self, *_: object, **__: object) -> None:
        """Show nothing."""

    close = refresh = set_description = set_description_str = set_postfix_str = set_transfer_postfix_str = _show


def _bar(count: _Count, size_of_file: int) -> Any:
    """Return the class of a bar that counts the bytes of one file, in its ``arrived`` too; too many of them end it."""

    class Bar(_Bar):
        arrived = 0

        def update(self, size: float | None = 1) -> None:
            count.add(int(size or 0))
            type(self).arrived += int(size or 0)
            if self.arrived > size_of_file:
                raise odd(f"a file goes on after the {size_of_file:,} bytes that it has")

    return Bar


def _quieten() -> None:
    """Let the client say nothing: what matters is said in our words."""
    from huggingface_hub.utils.logging import set_verbosity

    set_verbosity(logging.ERROR)


# --- what the client complains of --------------------------------------------------------------------------------------


def _in_our_words(error: BaseException, model: HubModel) -> CheckpointError:
    """Return what went wrong as one sentence; what is no business of the hub goes on as it is."""
    from huggingface_hub import constants, errors

    # By its type: what an error says may be the hub's own words.
    if is_no_room(error) or isinstance(error, MemoryError) or not isinstance(error, Exception):
        raise error
    if isinstance(error, CheckpointError | HubError):
        return CheckpointError(str(error))
    repository, offline = model.repository, constants.is_offline_mode()
    match error:
        case errors.HFValidationError():
            said = f"There is no folder {model}: check the name."
        case errors.GatedRepoError():
            said = (
                f"{repository} on the hub is gated: ask for access on its page there, then log in "
                "(hf auth login, or HF_TOKEN)."
            )
        case errors.RepositoryNotFoundError():
            said = (
                f"{model} is not a folder here, and the hub shows no such repository: it was taken off, is misspelt, "
                "or is private (hf auth login, or HF_TOKEN)."
            )
        case errors.RevisionNotFoundError():
            said = f"{repository} on the hub has no revision {model.revision or 'main'}: check what stands after the @."
        case errors.RevisionResolutionError() if offline:
            said = (
                f"{model} is not a folder here and not in the hub's cache, and offline mode is on (HF_HUB_OFFLINE): "
                "check the name, or run once with the network."
            )
        case errors.LocalEntryNotFoundError() if offline:
            said = (
                f"Only a part of {model} is in the hub's cache, and offline mode is on (HF_HUB_OFFLINE): "
                "run once with the network."
            )
        case errors.HfHubHTTPError(response=response) if response.status_code < 500:
            said = (
                f"The hub refuses {model} ({response.status_code}): log in (hf auth login, or HF_TOKEN), or try later."
            )
        case OSError(errno=None) if "Consistency check failed" in str(error):
            said = f"A file of {model} arrived with another size than the hub says: try again, and later if that does not help."
        case _ if _is_of_the_network(error):
            said = (
                f"{model} is not a folder here, and the hub cannot be reached ({_reason(error)}): check the name and the "
                "network; what has arrived is kept, and the same command goes on from here."
            )
        case OSError(errno=int()):  # of this machine: no permission, a name that is too long
            raise error
        case _:  # the client reads what it is told without a doubt: KeyError, TypeError, AssertionError, …
            said = (
                f"What the hub answers about {model} cannot be understood ({type(error).__name__}: {_reason(error)}): "
                "see what HF_ENDPOINT names, try later, or update huggingface_hub."
            )
    return CheckpointError(said)


def _is_of_the_network(error: Exception) -> bool:
    import httpx2
    from huggingface_hub import errors

    known = (httpx2.HTTPError, errors.RevisionResolutionError, errors.LocalEntryNotFoundError, errors.FileMetadataError)
    return isinstance(error, (*known, *_XET_S)) and not isinstance(error, RecursionError)


def _reason(error: BaseException) -> str:
    """Return what lies at the root of an error, in a few words of its own."""
    while error.__cause__:
        error = error.__cause__
    words = re.sub(r"^\[Errno -?\d+\] ", "", str(error)).splitlines()
    return words[0].rstrip(".: ") if words else "no answer"
