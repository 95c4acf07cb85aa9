"""A small multilingual encoder from scratch, on the train texts of all locales and without a label.

Three stages:

1. a SentencePiece-like unigram tokenizer, trained on the same texts;
2. masked and translation language modelling (Conneau and Lample 2019, arXiv:1901.07291): single phrases and, every
   other step, the same phrase in two locales side by side; 15 % of the tokens are to be guessed;
3. translation ranking (Feng et al. 2022, LaBSE, arXiv:2007.01852): a phrase must find its own translation among those
   of the batch, by the mean of its token states. Without it the locales hardly share a space, and merging has nothing
   to work on.

Stages 2 and 3 use which phrases are translations of each other: the encoder has seen parallel train text of all locales.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional
from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM, XLMRobertaTokenizer

from sprachbund.data import Partition
from sprachbund.errors import UserError
from sprachbund.inference import Encoded, Tokenizer, pad, tokenise
from sprachbund.training.loop import Loss, Progress, optimise
from sprachbund.training.saving import save
from sprachbund.training.settings import PretrainSettings
from sprachbund.training.snapshots import Snapshots

__all__ = ["pretrain"]

MASKED_SHARE = 0.15
IGNORED = -100
TEXTS_PER_PASS = 64
"""Texts of like length that pass the encoder together: the less padding, the less work."""
LOT_STEP, SCORE_DIGITS = 1e-4, 5
POSITION_OFFSET = 2
"""XLM-R counts positions from ``pad_token_id + 1``."""


@dataclass(frozen=True)
class _ParallelText:
    """``phrases[i]`` holds the token ids of concept ``i`` in each locale that can say it."""

    phrases: Sequence[Encoded]

    def pairs(self, lot: random.Random, count: int) -> list[tuple[list[int], list[int]]]:
        """Draw ``count`` different concepts (all, where there are fewer), each in two locales."""
        count = min(count, len(self.phrases))
        return [tuple(lot.sample(said, 2)) for said in lot.sample(self.phrases, count)]  # type: ignore[misc]


def pretrain(
    train: Sequence[Partition],
    out: Path,
    settings: PretrainSettings,
    progress: Progress | None = None,
    snapshots: Callable[[random.Random], Snapshots] | None = None,
    device: torch.device | None = None,
) -> None:
    """Train tokenizer and encoder on the texts of ``train`` and save both as a masked-LM checkpoint in ``out``.

    ``snapshots`` makes, for this training's source of chance, the place where it keeps how far it has come. What is drawn by
    lot is drawn on the CPU, whatever the device (default: the CPU).
    """
    torch.manual_seed(settings.seed)
    lot = random.Random(settings.seed)
    kept = snapshots(lot) if snapshots else None
    tokenizer = _train_tokenizer(train, settings)
    text = _parallel(train, tokenizer)
    model = XLMRobertaForMaskedLM(_config(tokenizer, settings))
    torch.nn.Module.to(model, device or torch.device("cpu"))  # that of transformers hides its signature
    stages = {
        "language modelling": (_language_modelling(model, tokenizer, text, settings, lot), settings.mlm_steps),
        "translation ranking": (_translation_ranking(model, tokenizer, text, settings, lot), settings.ranking_steps),
    }
    names = list(stages)
    reached = kept.reached() if kept else None
    for stage in names[names.index(reached or names[0]) :]:
        parts_of, steps = stages[stage]
        optimise(
            model,
            parts_of,
            stage=stage,
            steps=steps,
            learning_rate=settings.learning_rate,
            progress=progress,
            snapshots=kept,
        )
    save(model, tokenizer, out)


def _train_tokenizer(train: Sequence[Partition], settings: PretrainSettings) -> Tokenizer:
    texts = [text for partition in train for text in partition.texts]
    if len(texts) > settings.tokenizer_texts:
        texts = random.Random(settings.seed).sample(texts, settings.tokenizer_texts)
    characters = len(set().union(*texts))
    if characters >= settings.vocabulary:
        raise UserError(
            f"--vocabulary {settings.vocabulary}: the texts have {characters} different characters, "
            "and each needs a token: ask for more."
        )
    fresh: Tokenizer = XLMRobertaTokenizer()
    trained = fresh.train_new_from_iterator(texts, vocab_size=settings.vocabulary)
    pieces = json.loads(trained.backend_tokenizer.to_str())["model"]["vocab"]
    specials = len(trained.all_special_tokens)
    tokenizer: Tokenizer = XLMRobertaTokenizer(
        vocab=[(piece, score) for piece, score in pieces[:specials]] + _in_fixed_order(pieces[specials:])
    )
    tokenizer.model_max_length = settings.max_tokens
    return tokenizer


def _in_fixed_order(pieces: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """Undo the luck of a training run, so that the same texts give the same tokenizer.

    The trainer goes through hash maps: pieces of one score stand in any order, and the last digits of scores waver.
    Characters that it must keep but has no count of get the lowest score + 0.0001, + 0.0002, …, each by lot; here these
    scores are dealt out in alphabetical order.
    """
    lowest = min(score for _, score in pieces)
    by_lot = {piece: score for piece, score in pieces if len(piece) == 1 and _is_whole((score - lowest) / LOT_STEP)}
    dealt = dict(zip(sorted(by_lot), sorted(by_lot.values()), strict=True))
    settled = [(piece, round(dealt.get(piece, score), SCORE_DIGITS)) for piece, score in pieces]
    return sorted(settled, key=lambda entry: (-entry[1], entry[0]))


def _is_whole(number: float) -> bool:
    return abs(number - round(number)) < 1e-4


def _config(tokenizer: Tokenizer, settings: PretrainSettings) -> XLMRobertaConfig:
    return XLMRobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        intermediate_size=settings.intermediate,
        hidden_dropout_prob=settings.dropout,
        attention_probs_dropout_prob=settings.dropout,
        max_position_embeddings=settings.max_tokens + POSITION_OFFSET,
        type_vocab_size=1,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def _parallel(train: Sequence[Partition], tokenizer: Tokenizer) -> _ParallelText:
    by_id: dict[str, Encoded] = defaultdict(list)
    for partition in train:
        for id_, tokens in zip(partition.ids, tokenise(tokenizer, partition.texts), strict=True):
            by_id[id_].append(tokens)
    phrases = [said for said in by_id.values() if len(said) > 1]
    if not phrases:
        raise UserError(
            "Pre-training needs translations, texts with the same id in at least two --locales: give the data ids, "
            "or fine-tune a base from elsewhere."
        )
    return _ParallelText(phrases)


def _language_modelling(
    model: XLMRobertaForMaskedLM,
    tokenizer: Tokenizer,
    text: _ParallelText,
    settings: PretrainSettings,
    lot: random.Random,
) -> Loss:
    everything = [tokens for said in text.phrases for tokens in said]

    def parts_of(step: int) -> Iterator[torch.Tensor]:
        if step % 2:
            texts = lot.sample(everything, min(settings.mlm_batch, len(everything)))
        else:
            texts = [_side_by_side(*pair, settings.max_tokens) for pair in text.pairs(lot, settings.mlm_batch)]
        ids, mask = pad(texts, tokenizer.pad_token_id)
        ids, labels = _mask_tokens(ids, tokenizer)
        guessed = labels != IGNORED
        if not guessed.any():  # few short texts, and the lot fell on none: the mean over nothing would be NaN
            return
        states = _states(model, ids, mask)
        # Only the masked positions meet the vocabulary: the product with it is most of the work.
        yield functional.cross_entropy(
            model.lm_head(states[guessed.to(states.device)]), labels[guessed].to(states.device)
        )

    return parts_of


def _states(model: XLMRobertaForMaskedLM, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the states ``[texts, longest, hidden]``, where the model is."""
    states: torch.Tensor = model.roberta(
        input_ids=ids.to(model.device), attention_mask=mask.to(model.device)
    ).last_hidden_state
    return states


def _side_by_side(first: list[int], second: list[int], longest: int) -> list[int]:
    """Join two encoded texts as XLM-R does: ``<s> a </s> </s> b </s>``, where each brings its own ends."""
    return (first + first[-1:] + second[1:])[:longest]


def _mask_tokens(ids: torch.Tensor, tokenizer: Tokenizer) -> tuple[torch.Tensor, torch.Tensor]:
    """Hide 15 % of the tokens as BERT does (80 % mask, 10 % any token, 10 % as they are)."""
    special = torch.isin(ids, torch.tensor(tokenizer.all_special_ids))
    chosen = (torch.rand(ids.shape) < MASKED_SHARE) & ~special
    labels = torch.where(chosen, ids, IGNORED)
    fate = torch.rand(ids.shape)
    ids = torch.where(chosen & (fate < 0.8), tokenizer.mask_token_id, ids)
    ids = torch.where(chosen & (fate >= 0.9), torch.randint(len(tokenizer), ids.shape), ids)
    return ids, labels


def _translation_ranking(
    model: XLMRobertaForMaskedLM,
    tokenizer: Tokenizer,
    text: _ParallelText,
    settings: PretrainSettings,
    lot: random.Random,
) -> Loss:
    def parts_of(step: int) -> Iterator[torch.Tensor]:
        pairs = text.pairs(lot, settings.ranking_batch)
        here, there = (_mean_states(model, [pair[side] for pair in pairs], tokenizer.pad_token_id) for side in (0, 1))
        agreement = here @ there.T / settings.temperature
        own = torch.arange(len(pairs), device=agreement.device)
        yield (functional.cross_entropy(agreement, own) + functional.cross_entropy(agreement.T, own)) / 2

    return parts_of


def _mean_states(model: XLMRobertaForMaskedLM, encoded: Encoded, pad_id: int) -> torch.Tensor:
    """Return unit vectors ``[texts, hidden]``: the mean of the states of the tokens that are no padding."""
    order = sorted(range(len(encoded)), key=lambda index: len(encoded[index]))
    sums = []
    for start in range(0, len(order), TEXTS_PER_PASS):
        ids, mask = pad([encoded[index] for index in order[start : start + TEXTS_PER_PASS]], pad_id)
        states = _states(model, ids, mask)
        sums.append((states * mask.unsqueeze(-1).to(states.device)).sum(1))
    # The length of a vector goes in the normalisation, so the sum stands for the mean.
    return functional.normalize(torch.cat(sums), dim=-1)[torch.tensor(order, device=model.device).argsort()]
