"""Models to the Hugging Face hub: a few files into a repository, by ``huggingface_hub`` and with the token that it finds.

All files come in one commit: whoever reads the repository meanwhile sees what was there before, or all of it. What others have
put there stays, and so does the history.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sprachbund.errors import CheckpointError, UserError, is_no_room

__all__ = ["Pushed", "check_repository", "check_revision", "push"]

_NO_BRANCH = re.compile(
    r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/$|^/|^-|^@$|(^|/)\.|\.(/|$)|\.lock(/|$)|^refs/|^[0-9a-f]{40}$"
)
"""What git allows in no branch (git check-ref-format), other refs, and commits, to which nothing can be added."""
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
LOG_IN = "log in (hf auth login, or HF_TOKEN)"


@dataclass(frozen=True)
class Pushed:
    """Where it is."""

    url: str
    commit: str
    """40 hex digits."""


def check_repository(name: str) -> None:
    """Complain of a name that no repository can have.

    Raises:
        UserError: says how one is written.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
    except HFValidationError:
        pass
    else:
        if _REPOSITORY.fullmatch(name):
            return
    raise UserError(f"--repo {name!r} is no name of a repository: write OWNER/NAME, as in my-org/xlmr-sq.")


def check_revision(name: str) -> None:
    """Complain of a name that no branch can have.

    Raises:
        UserError: says how one is written.
    """
    if not name or _NO_BRANCH.search(name):
        raise UserError(f"--revision {name!r} is no name of a branch: write one as in trial or v2/beta.")


def push(
    contents: Mapping[str, Path | bytes], repository: str, *, private: bool, revision: str | None, message: str
) -> Pushed:
    """Put files, by their paths there, into a repository and branch, which are made if they are not there.

    Raises:
        UserError: there is no token, or no right to write; the repository is public where it should be private.
        CheckpointError: the hub cannot be reached.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, constants, get_token
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    if constants.is_offline_mode():
        raise UserError(
            f"Offline mode is on (HF_HUB_OFFLINE), so nothing can be pushed to {repository}: switch it off."
        )
    if get_token() is None:
        raise UserError(f"There is no token to push to {repository} with: {LOG_IN}.")
    disable_progress_bars()
    hub = HfApi()
    with _in_our_words(repository):
        hub.create_repo(repository, private=private or None, exist_ok=True)
        if private and not hub.model_info(repository).private:
            raise UserError(
                f"{repository} is there and public, so that a push would publish the model: leave out --private, name another "
                "repository, or make it private on the hub."
            )
        if revision:
            hub.create_branch(repository, branch=revision, exist_ok=True)
        added = [CommitOperationAdd(path, content) for path, content in contents.items()]
        done = hub.create_commit(repository, added, commit_message=message, revision=revision)
    return Pushed(f"{constants.ENDPOINT}/{repository}", done.oid)


@contextmanager
def _in_our_words(repository: str) -> Iterator[None]:
    """Say what the client complains of in one sentence; what is no business of the hub goes on as it is."""
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        raise UserError(_refusal(repository, status)) from error
    except (httpx2.TransportError, ConnectionError, TimeoutError) as error:
        if is_no_room(error):
            raise
        raise CheckpointError(
            f"The hub cannot be reached, and nothing was pushed to {repository}: check the network, and try again."
        ) from error
    except ValueError as error:
        if "metadata" not in str(error).lower():
            raise
        reason = " ".join(str(error).split())
        raise UserError(f"The hub refuses the model card ({reason}): mend the front matter of README.md.") from error


def _refusal(repository: str, status: int) -> str:
    if status == 401:
        return (
            f"The hub does not know the token, or shows it no {repository}: {LOG_IN} as somebody who may write there."
        )
    if status in (403, 404):
        return f"The token has no right to write to {repository}: take one with that right, or another --repo."
    return f"The hub refuses the push to {repository} ({status}): try later."
