"""Checkpoints: find them, look into them, tell whether they fit together."""

from sprachbund.checkpoints.checkpoint import (
    COMPANIONS,
    CONFIG,
    HEAD_PREFIXES,
    TRAINING_CARD,
    WEIGHTS,
    ZOO_CARD,
    Checkpoint,
    open_checkpoint,
)
from sprachbund.checkpoints.compatibility import body_counterparts, check_base, check_mergeable
from sprachbund.checkpoints.tensors import DTYPES, TensorFile, TensorInfo, write_tensors
from sprachbund.checkpoints.token_counts import learned_tokens, read_token_counts, write_token_counts
from sprachbund.checkpoints.vocabulary import (
    EMBEDDINGS,
    Alignment,
    align,
    check_one_vocabulary,
    counts_after_padding,
    vocabulary_tensors,
)
from sprachbund.checkpoints.zoo import (
    PUBLISHED,
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
    "Alignment",
    "Checkpoint",
    "TensorFile",
    "TensorInfo",
    "Zoo",
    "align",
    "body_counterparts",
    "check_base",
    "check_mergeable",
    "check_one_vocabulary",
    "counts_after_padding",
    "learned_tokens",
    "locate",
    "models_in",
    "on_the_hub",
    "open_checkpoint",
    "read_token_counts",
    "source_locale",
    "split_subfolder",
    "sub_checkpoints",
    "vocabulary_tensors",
    "write_tensors",
    "write_token_counts",
    "zoo_name",
    "zoo_uses",
]
