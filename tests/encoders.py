"""Encoders of other families, made tiny: a masked language model as base, and classifiers that grew from it.

Each family has what sets it apart from XLM-R: BERT a pooler inside the encoder that its masked language model lacks, DeBERTa-v2
one outside, ModernBERT a head that its masked language model has too, DistilBERT a layer before the classifier, and each its
own names for embeddings. All of them tie the output to the embeddings, so that the base's file lacks it.
"""

from __future__ import annotations

import json
import random
import shutil
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from pico import FILLERS, INTENTS, MAX_TOKENS, markers, rewrite
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AlbertConfig,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    XLMRobertaConfig,
)

from sprachbund.checkpoints import Checkpoint, open_checkpoint
from sprachbund.checkpoints.vocabulary import embedding_of, read_vocabulary

WORDS = [*FILLERS, *(marker for intent in INTENTS for marker in markers(intent))]
ROWS = 120
"""Of the embeddings: more than there are tokens, as in many published models."""
_SHAPE = {
    "vocab_size": ROWS,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "initializer_range": 1.0,  # so large that logits hang on the words, untrained as the model is
    "max_position_embeddings": MAX_TOKENS + 2,
}
_PADDING = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}


@dataclass(frozen=True)
class Encoder:
    """One family."""

    name: str
    config: Callable[..., PreTrainedConfig]
    embedding: str
    """The name of its input embedding in a classifier."""
    head: frozenset[str]
    """The tensors of the classification head over its masked language model."""
    words: str = "WordPiece"
    """How its tokenizer cuts words."""


def _of(kind: Callable[..., PreTrainedConfig], **own: Any) -> Callable[..., PreTrainedConfig]:
    return lambda **more: kind(**{**_SHAPE, **own, **more})


def _distilbert(**more: Any) -> PreTrainedConfig:
    names = {
        "hidden_size": "dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "intermediate_size": "hidden_dim",
    }
    return DistilBertConfig(**{names.get(key, key): value for key, value in {**_SHAPE, **more}.items()})


def _layers(*names: str) -> frozenset[str]:
    return frozenset(f"{name}.{part}" for name in names for part in ("weight", "bias"))


ENCODERS = {
    encoder.name: encoder
    for encoder in (
        Encoder(
            "bert",
            _of(BertConfig),
            "bert.embeddings.word_embeddings.weight",
            _layers("bert.pooler.dense", "classifier"),
        ),
        Encoder(
            "roberta",
            _of(RobertaConfig, pad_token_id=0, bos_token_id=2, eos_token_id=3),
            "roberta.embeddings.word_embeddings.weight",
            _layers("classifier.dense", "classifier.out_proj"),
            words="BPE",
        ),
        Encoder(
            "xlm-roberta",
            _of(XLMRobertaConfig, pad_token_id=0, bos_token_id=2, eos_token_id=3),
            "roberta.embeddings.word_embeddings.weight",
            _layers("classifier.dense", "classifier.out_proj"),
            words="Unigram",
        ),
        Encoder(
            "deberta-v2",
            _of(
                DebertaV2Config,
                relative_attention=True,
                pos_att_type=["p2c", "c2p"],
                position_buckets=8,
                norm_rel_ebd="layer_norm",
                share_att_key=True,
                position_biased_input=False,
                type_vocab_size=0,
            ),
            "deberta.embeddings.word_embeddings.weight",
            _layers("pooler.dense", "classifier"),
            words="Unigram",
        ),
        Encoder(
            "modernbert",
            _of(ModernBertConfig, **_PADDING),
            "model.embeddings.tok_embeddings.weight",
            _layers("classifier"),
            words="BPE",
        ),
        Encoder(
            "distilbert",
            _distilbert,
            "distilbert.embeddings.word_embeddings.weight",
            _layers("pre_classifier", "classifier"),
        ),
        Encoder(
            "electra",
            _of(ElectraConfig, embedding_size=8),
            "electra.embeddings.word_embeddings.weight",
            _layers("classifier.dense", "classifier.out_proj"),
        ),
        Encoder(
            "albert",
            _of(AlbertConfig, embedding_size=8),
            "albert.embeddings.word_embeddings.weight",
            _layers("albert.pooler", "classifier"),
            words="Unigram",
        ),
    )
}

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@cache
def words(kind: str) -> PreTrainedTokenizerFast:
    """A tokenizer of the made-up words, saved as tokenizer.json: WordPiece, BPE or Unigram; [PAD] is number 0."""
    special = list(SPECIAL)
    if kind == "WordPiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer: Any = trainers.WordPieceTrainer(vocab_size=100, special_tokens=special)
    elif kind == "BPE":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(vocab_size=100, special_tokens=special)
    else:
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=100, special_tokens=special, unk_token="[UNK]")
    tokenizer.train_from_iterator([" ".join(WORDS[place : place + 4]) for place in range(len(WORDS))], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=MAX_TOKENS,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


class Encoders:
    """Makes checkpoints of one family under one folder."""

    def __init__(self, root: Path, encoder: Encoder) -> None:
        self.root, self.encoder = root, encoder

    def base(self, name: str = "base") -> Checkpoint:
        """A masked language model."""
        return self._save(_masked(self.encoder.name), name)

    def source(
        self, name: str, *, head_seed: int = 0, change: float = 0.05, labels: Sequence[str] = INTENTS
    ) -> Checkpoint:
        """A classifier, made as users make it: transformers loads the base, draws the head, and all of it is changed a bit."""
        base = self.root / "base"
        if not base.exists():
            self.base()
        torch.manual_seed(head_seed)
        model = AutoModelForSequenceClassification.from_pretrained(
            base, id2label=dict(enumerate(labels)), label2id={label: n for n, label in enumerate(labels)}
        )
        own = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        with torch.no_grad():
            for tensor in model.parameters():
                tensor += change * torch.randn(tensor.shape, generator=own)
        return self._save(model, name)

    def _save(self, model: Any, name: str) -> Checkpoint:
        folder = self.root / name
        model.save_pretrained(folder)
        words(self.encoder.words).save_pretrained(folder)
        return open_checkpoint(folder, name)


def _masked(name: str) -> Any:
    torch.manual_seed(0)
    return AutoModelForMaskedLM.from_config(ENCODERS[name].config())


# --- other vocabularies ----------------------------------------------------------------------------------------------------

TokenizerFile = dict[str, Any]
"""The content of a tokenizer.json."""


def tokenizer_of(source: Checkpoint) -> TokenizerFile:
    return dict(json.loads((source.folder / "tokenizer.json").read_text(encoding="utf-8")))


def write_tokenizer(folder: Path, content: TokenizerFile) -> None:
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")


def copy(source: Checkpoint, name: str) -> Checkpoint:
    folder = source.folder.with_name(name)
    shutil.copytree(source.folder, folder)
    return open_checkpoint(folder, name)


def tokens_of(source: Checkpoint) -> dict[str, int]:
    vocabulary = read_vocabulary(source)
    assert vocabulary is not None
    return dict(vocabulary.rows)


def permuted(source: Checkpoint, name: str) -> Checkpoint:
    """A copy whose tokenizer numbers its tokens otherwise, with the rows of the embedding where the tokens went."""
    made, content = copy(source, name), tokenizer_of(source)
    count = len(content["model"]["vocab"])
    new = [*range(len(SPECIAL)), *random.Random(0).sample(range(len(SPECIAL), count), count - len(SPECIAL))]
    vocab = content["model"]["vocab"]
    if isinstance(vocab, dict):
        content["model"]["vocab"] = {token: new[row] for token, row in vocab.items()}
    else:
        moved = [None] * count
        for row, piece in enumerate(vocab):
            moved[new[row]] = piece
        content["model"]["vocab"] = moved
    write_tokenizer(made.folder, content)
    embedding = embedding_of(source)
    assert embedding is not None

    def change(tensors: dict[str, torch.Tensor]) -> None:
        before = tensors[embedding].clone()
        tensors[embedding][new] = before[:count]

    rewrite(made.folder, change)
    return open_checkpoint(made.folder, name)


def with_added(source: Checkpoint, *tokens: str, change: float = 0.0) -> Checkpoint:
    """Add tokens that are looked for as they are, each with a row of its own after all others."""
    content = tokenizer_of(source)
    embedding = embedding_of(source)
    assert embedding is not None
    rows = source.tensors[embedding].shape[0]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    content["added_tokens"] += [{"id": rows + n, "content": token, **flags} for n, token in enumerate(tokens)]
    write_tokenizer(source.folder, content)
    own = torch.Generator().manual_seed(len(tokens))

    def grow(tensors: dict[str, torch.Tensor]) -> None:
        width = tensors[embedding].shape[1]
        tensors[embedding] = torch.cat([tensors[embedding], torch.randn(len(tokens), width, generator=own)])

    rewrite(source.folder, grow)
    config = json.loads((source.folder / "config.json").read_text(encoding="utf-8"))
    (source.folder / "config.json").write_text(json.dumps({**config, "vocab_size": rows + len(tokens)}))
    return open_checkpoint(source.folder, source.name)
