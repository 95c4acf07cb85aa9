"""Checkpoints: find them, look into them, tell whether they fit together."""

from sprachbund.checkpoints.checkpoint import COMPANIONS, CONFIG, HEAD_PREFIXES, WEIGHTS, Checkpoint, open_checkpoint
from sprachbund.checkpoints.compatibility import body_counterparts, check_base, check_mergeable
from sprachbund.checkpoints.tensors import DTYPES, TensorFile, TensorInfo, write_tensors
from sprachbund.checkpoints.token_counts import EMBEDDINGS, learned_tokens, read_token_counts, write_token_counts
from sprachbund.checkpoints.zoo import (
    PUBLISHED,
    TRAINING_CARD,
    ZOO_CARD,
    Zoo,
    locate,
    models_in,
    on_the_hub,
    source_locale,
    split_subfolder,
    sub_checkpoints,
    zoo_name,
    zoo_uses,
)

__all__ = [
    "COMPANIONS",
    "CONFIG",
    "DTYPES",
    "EMBEDDINGS",
    "HEAD_PREFIXES",
    "PUBLISHED",
    "TRAINING_CARD",
    "WEIGHTS",
    "ZOO_CARD",
    "Checkpoint",
    "TensorFile",
    "TensorInfo",
    "Zoo",
    "body_counterparts",
    "check_base",
    "check_mergeable",
    "learned_tokens",
    "locate",
    "models_in",
    "on_the_hub",
    "open_checkpoint",
    "read_token_counts",
    "source_locale",
    "split_subfolder",
    "sub_checkpoints",
    "write_tensors",
    "write_token_counts",
    "zoo_name",
    "zoo_uses",
]
