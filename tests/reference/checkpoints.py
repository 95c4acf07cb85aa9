"""The small checkpoints on which other tools' numbers are made: XLM-R classifiers of 900 parameters, the same on any machine.

A base and four sources, θ = θ₀ + a change that all share + one of its own, the base with a head like the sources, so that no
tool has to leave a tensor out. All numbers are integers over 2²², drawn without a logarithm or a sine: they, and the
differences between them, are exact in float32. The changes hold zeros, as fine-tuned models do, and one tensor that a source
left alone; no magnitude stands twice in a task vector of a tensor, so that thresholds have one answer.

Nothing but numpy and safetensors, so that it runs beside the other tools as well.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

Floats = npt.NDArray[np.float32]

BASE, SOURCES = "base", ("a", "b", "c", "d")
UNCHANGED = ("c", "roberta.embeddings.token_type_embeddings.weight")
"""A tensor that one source left as it was."""
LABELS = ("ask", "count", "greet")
SEED = 2026
STEP = 2.0**-22
HIDDEN, INTERMEDIATE, WORDS, POSITIONS = 8, 12, 20, 10

CONFIG: dict[str, Any] = {
    "architectures": ["XLMRobertaForSequenceClassification"],
    "model_type": "xlm-roberta",
    "vocab_size": WORDS,
    "hidden_size": HIDDEN,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": INTERMEDIATE,
    "max_position_embeddings": POSITIONS,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "id2label": {str(number): label for number, label in enumerate(LABELS)},
    "label2id": {label: number for number, label in enumerate(LABELS)},
    "dtype": "float32",
}


def shapes() -> dict[str, tuple[int, ...]]:
    """Every tensor of the model, in the order of transformers."""
    wide, narrow = (INTERMEDIATE, HIDDEN), (HIDDEN, INTERMEDIATE)
    layer = "roberta.encoder.layer.0"
    return {
        "roberta.embeddings.word_embeddings.weight": (WORDS, HIDDEN),
        "roberta.embeddings.position_embeddings.weight": (POSITIONS, HIDDEN),
        "roberta.embeddings.token_type_embeddings.weight": (1, HIDDEN),
        **_norm("roberta.embeddings.LayerNorm"),
        **_dense(f"{layer}.attention.self.query", (HIDDEN, HIDDEN)),
        **_dense(f"{layer}.attention.self.key", (HIDDEN, HIDDEN)),
        **_dense(f"{layer}.attention.self.value", (HIDDEN, HIDDEN)),
        **_dense(f"{layer}.attention.output.dense", (HIDDEN, HIDDEN)),
        **_norm(f"{layer}.attention.output.LayerNorm"),
        **_dense(f"{layer}.intermediate.dense", wide),
        **_dense(f"{layer}.output.dense", narrow),
        **_norm(f"{layer}.output.LayerNorm"),
        **_dense("classifier.dense", (HIDDEN, HIDDEN)),
        **_dense("classifier.out_proj", (len(LABELS), HIDDEN)),
    }


def thetas(model: str) -> dict[str, Floats]:
    """The tensors of the base, or of a source."""
    base = {name: _base(name, shape) for name, shape in shapes().items()}
    if model == BASE:
        return base
    return {name: theta if (model, name) == UNCHANGED else theta + _change(model, name) for name, theta in base.items()}


def taus(model: str) -> dict[str, Floats]:
    """The task vector of a source: exact, see above."""
    base = thetas(BASE)
    return {name: theta - base[name] for name, theta in thetas(model).items()}


def lots(model: str, name: str, shape: tuple[int, ...]) -> Floats:
    """Uniform numbers in [0, 1) for the random mask of a tensor: it keeps where they are below its probability."""
    return _generator(f"lots {model} {name}").integers(0, 2**24, shape).astype(np.float32) * np.float32(2.0**-24)


def fisher(model: str, name: str, shape: tuple[int, ...]) -> Floats:
    """Positive numbers in the place of a Fisher diagonal, some of them 0."""
    return np.maximum(_numbers(f"fisher {model} {name}", shape, 0.01), np.float32(0))


def gram(model: str, name: str, width: int) -> Floats:
    """XᵀX / 32 of 32 made-up inputs X of a layer: so few digits that the product is exact."""
    inputs = _generator(f"gram {model} {name}").integers(-1024, 1024, (32, width)) / 1024
    return (inputs.T @ inputs / 32).astype(np.float32)


def write(folder: Path) -> None:
    """Write the base and the sources, each a folder under its name that Hugging Face's tools load."""
    for model in (BASE, *SOURCES):
        place = folder / model
        place.mkdir(parents=True)
        save_file(thetas(model), place / "model.safetensors", metadata={"format": "pt"})
        for name, content in (
            ("config.json", CONFIG),
            ("tokenizer.json", tokenizer(WORDS)),
            ("tokenizer_config.json", {}),
        ):
            (place / name).write_text(json.dumps(content, indent=1), encoding="utf-8")


def tokenizer(words: int) -> Mapping[str, Any]:
    """What stands in the tokenizer.json of a vocabulary of so many made-up words."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    vocabulary = [*special, *(f"▁w{number}" for number in range(words - len(special)))]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": number,
                "content": word,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for number, word in enumerate(special)
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        "post_processor": None,
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        "model": {
            "type": "Unigram",
            "unk_id": 3,
            "vocab": [[word, float(-number)] for number, word in enumerate(vocabulary)],
            "byte_fallback": False,
        },
    }


def _dense(name: str, shape: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def _norm(name: str) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (HIDDEN,), f"{name}.bias": (HIDDEN,)}


def _base(name: str, shape: tuple[int, ...]) -> Floats:
    if name.endswith("LayerNorm.weight"):
        return _numbers(f"{BASE} {name}", shape, 0.01) + np.float32(1)
    return _numbers(f"{BASE} {name}", shape, 0.3)


def _change(model: str, name: str) -> Floats:
    shape, size = shapes()[name], 0.004 if "LayerNorm" in name else 0.05
    kept = _generator(f"kept {model} {name}").integers(0, 8, shape) > 0
    return np.where(
        kept, _numbers(f"all {name}", shape, size) + _numbers(f"{model} {name}", shape, size), np.float32(0)
    )


def _numbers(key: str, shape: tuple[int, ...], size: float) -> Floats:
    """Bell-shaped numbers of about that standard deviation: a sum of twelve uniform ones, at most six times as large."""
    steps = round(size / STEP)
    drawn = _generator(key).integers(-steps // 2, steps // 2, (12, *shape), endpoint=True).sum(axis=0)
    return drawn.astype(np.float32) * np.float32(STEP)


def _generator(key: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([SEED, zlib.crc32(key.encode())]))
