"""Tensors in several files, read as if they were one: an index says which tensor is in which shard.

``model.safetensors.index.json`` is ``{"metadata": …, "weight_map": {tensor: file}}``. Shards are mapped like single files, and
cost nothing before somebody reads a tensor; but all headers are read at once, so that whatever does not add up is said before
any work.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from sprachbund import digests
from sprachbund.checkpoints.tensors import Extent, TensorFile, TensorInfo
from sprachbund.errors import CheckpointError
from sprachbund.untrusted import read_json

__all__ = ["ShardedTensors", "read_index"]

LONGEST_NAME = 255
"""Bytes of one name, on nearly all file systems."""


class ShardedTensors:
    """The safetensors files that an index names, with the interface of one :class:`TensorFile`.

    Raises:
        CheckpointError: index and shards do not fit each other.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._place = read_index(path)
        self._shards = {name: TensorFile(path.parent / name) for name in dict.fromkeys(self._place.values())}
        for tensor, shard in self._place.items():
            if tensor not in self._shards[shard].tensors:
                raise _broken(path, f"it says that tensor {tensor} is in {shard}, where it is not")
        for shard, file in self._shards.items():
            for tensor in file.tensors:
                if tensor not in self._place:
                    raise _broken(path, f"it does not name tensor {tensor}, which is in {shard}")
                if self._place[tensor] != shard:
                    raise _broken(path, f"tensor {tensor} is in two files, {self._place[tensor]} and {shard}")

    @cached_property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """All tensors by name, in the order of the index."""
        return {tensor: self._shards[shard].tensors[tensor] for tensor, shard in self._place.items()}

    def read(self, name: str) -> Any:
        """Return a tensor in its own dtype and shape, as a read-only view of its file."""
        return self._shards[self._place[name]].read(name)

    def locate(self, name: str) -> Extent:
        """Return where a tensor lies."""
        return self._shards[self._place[name]].locate(name)

    @property
    def digest(self) -> str:
        """Of all shards and of what the index says, in whatever order it says it."""
        shards = {name: digests.of_file(file.path) for name, file in self._shards.items()}
        return digests.of_value([shards, self._place])


def read_index(path: Path) -> dict[str, str]:
    """Return the file of each tensor, as an index names them; all of them are there, beside the index.

    Raises:
        CheckpointError: this is no index, or a file is missing or elsewhere.
    """
    try:
        place = read_json(path)["weight_map"]
    except (ValueError, KeyError, TypeError) as error:
        raise _broken(path, "it is no index of shards") from error
    if not isinstance(place, dict) or not place or not all(isinstance(name, str) for name in place.values()):
        raise _broken(path, "it names no shards")
    for name in dict.fromkeys(place.values()):
        if Path(name).name != name or "\\" in name or len(name.encode()) > LONGEST_NAME:
            raise _broken(path, f"it names {name}, which is not a file beside it")
        if not (path.parent / name).is_file():
            raise _broken(path, f"it names {name}, which is not there")
    return {str(tensor): name for tensor, name in place.items()}


def _broken(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{path} and its shards do not add up ({reason}): download or save the checkpoint again.")
