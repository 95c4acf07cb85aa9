"""A checkpoint and texts in, logits out: loading, tokenising, precision and device, batches."""

from sprachbund.inference.answering import check_vocabulary, logits, mean_states
from sprachbund.inference.devices import chosen, uuid_of_gpu
from sprachbund.inference.loading import (
    as_tensor,
    config_of,
    fixed_tokens,
    live_classifier,
    load_classifier,
    load_encoder,
    quieten,
)
from sprachbund.inference.precision import check_precision, ready
from sprachbund.inference.predicting import Answer, Predictor
from sprachbund.inference.tokens import (
    Encoded,
    Tokenizer,
    compact,
    encode,
    load_tokenizer,
    pad,
    running_tokens,
    tokenise,
)

__all__ = [
    "Answer",
    "Encoded",
    "Predictor",
    "Tokenizer",
    "as_tensor",
    "check_precision",
    "check_vocabulary",
    "chosen",
    "compact",
    "config_of",
    "encode",
    "fixed_tokens",
    "live_classifier",
    "load_classifier",
    "load_encoder",
    "load_tokenizer",
    "logits",
    "mean_states",
    "pad",
    "quieten",
    "ready",
    "running_tokens",
    "tokenise",
    "uuid_of_gpu",
]
