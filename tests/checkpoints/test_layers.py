"""Parts of models by the names of their tensors, over the families that we know."""

from __future__ import annotations

import pytest
from encoders import ENCODERS
from transformers import AutoModelForSequenceClassification

from sprachbund.checkpoints import layer_of, part_of


@pytest.mark.parametrize(
    ("tensor", "part"),
    [
        ("roberta.embeddings.word_embeddings.weight", "embeddings"),
        ("roberta.encoder.layer.11.output.dense.weight", "layer 11"),
        ("classifier.out_proj.bias", "head"),
        ("bert.pooler.dense.weight", "head"),
        ("model.embeddings.tok_embeddings.weight", "embeddings"),
        ("model.layers.3.attn.Wo.weight", "layer 3"),
        ("layers.3.attn.Wo.weight", "layer 3"),
        ("model.final_norm.weight", "head"),
        ("distilbert.transformer.layer.0.ffn.lin1.weight", "layer 0"),
        ("deberta.encoder.rel_embeddings.weight", "embeddings"),
        ("electra.embeddings_project.weight", "embeddings"),
        ("albert.encoder.embedding_hidden_mapping_in.weight", "embeddings"),
        ("albert.encoder.albert_layer_groups.0.albert_layers.0.ffn.weight", "layer 0"),
        ("players.3.weight", "head"),
    ],
)
def test_names(tensor: str, part: str) -> None:
    assert part_of(tensor) == part
    assert layer_of(tensor) == (int(part.split()[1]) if part.startswith("layer") else None)


@pytest.mark.parametrize("name", ENCODERS)
def test_families(name: str) -> None:
    encoder = ENCODERS[name]
    model = AutoModelForSequenceClassification.from_config(encoder.config())
    parts = {tensor: part_of(tensor) for tensor in model.state_dict()}
    layers = {"layer 0"} if name == "albert" else {"layer 0", "layer 1"}  # albert's layers share their tensors
    assert set(parts.values()) == {"embeddings", "head"} | layers
    assert parts[encoder.embedding] == "embeddings"
    assert {parts[tensor] for tensor in encoder.head} == {"head"}
