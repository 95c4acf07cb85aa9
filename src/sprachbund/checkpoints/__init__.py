"""Checkpoints: find them, look into them, tell whether they fit together."""

from sprachbund.checkpoints.checkpoint import CONFIG, WEIGHTS, Checkpoint, open_checkpoint
from sprachbund.checkpoints.compatibility import body_counterparts, check_base, check_mergeable
from sprachbund.checkpoints.tensors import DTYPES, TensorFile, TensorInfo, write_tensors
from sprachbund.checkpoints.zoo import (
    PUBLISHED,
    ZOO_CARD,
    Zoo,
    locate,
    source_locale,
    split_subfolder,
    sub_checkpoints,
    zoo_name,
    zoo_uses,
)

__all__ = [
    "CONFIG",
    "DTYPES",
    "PUBLISHED",
    "WEIGHTS",
    "ZOO_CARD",
    "Checkpoint",
    "TensorFile",
    "TensorInfo",
    "Zoo",
    "body_counterparts",
    "check_base",
    "check_mergeable",
    "locate",
    "open_checkpoint",
    "source_locale",
    "split_subfolder",
    "sub_checkpoints",
    "write_tensors",
    "zoo_name",
    "zoo_uses",
]
