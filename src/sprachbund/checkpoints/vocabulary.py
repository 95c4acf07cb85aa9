"""Which token has which row: vocabularies that only add to each other, or count in another order, are aligned token by token.

Rows of an embedding mean what the tokenizer says. Sources whose tokenizers know the same tokens in another order, or of which
one knows some more, can be merged once each row is looked up by its token. The source with the most tokens (of several the one
with the most rows, then the first) carries its tokenizer into the merge, so that no token is lost. Vocabularies of which
neither has all tokens of the other, or that cut the same text into other tokens, cannot be aligned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sprachbund.checkpoints.checkpoint import TOKENIZER, Checkpoint
from sprachbund.errors import CheckpointError, IncompatibleError
from sprachbund.untrusted import read_json, read_text

__all__ = [
    "EMBEDDINGS",
    "Alignment",
    "Vocabulary",
    "align",
    "check_one_vocabulary",
    "counts_after_padding",
    "embedding_of",
    "read_vocabulary",
    "same_vocabulary",
    "vocabulary_tensors",
]

IntArray = npt.NDArray[np.int32]

WORDPIECES, ADDED, SETTINGS = "vocab.txt", "added_tokens.json", "tokenizer_config.json"
EMBEDDINGS = (
    "embeddings.word_embeddings.weight",
    "embeddings.tok_embeddings.weight",
    "embed_tokens.weight",
    "wte.weight",
    "word_embedding.weight",
    "shared.weight",
)
"""How the names of the input embeddings end: BERT, RoBERTa, XLM-R, DeBERTa, …; ModernBERT; decoders; GPT-2; XLNet; T5, BART."""
_OUTPUTS = (
    "lm_head.weight",
    "lm_head.bias",
    "decoder.weight",
    "decoder.bias",
    "predictions.bias",
    "vocab_projector.weight",
    "vocab_projector.bias",
)
"""How the names of what answers with a number per token end, in so far as they are saved: most are tied to the input."""
_COUNT_AFTER_PADDING = ("roberta", "camembert", "xmod", "data2vec-text", "ibert", "longformer", "mpnet", "esm")
"""Parts of the names of model types whose positions begin after the number of the padding token."""
_CUT_BY = {
    "file": "are saved in different files",
    "normalizer": "do not normalise texts alike",
    "pre_tokenizer": "do not cut texts into words alike",
    "model": "do not cut words into pieces alike",
}
"""What can differ between two tokenizers besides their tokens, in words."""
SHOWN = 3


# --- what a tokenizer says -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of one tokenizer, and how it cuts texts into them."""

    rows: Mapping[str, int]
    """The row of each token."""
    added: frozenset[str] = frozenset()
    """Tokens that are looked for in the text as they are, before it is cut."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Of the pieces of a unigram model."""
    merges: tuple[tuple[str, ...], ...] = ()
    """Of a BPE model, the first ones first."""
    cut_by: Mapping[str, Any] = field(default_factory=dict)
    """The rest of what decides how texts are cut, by the keys of :data:`_CUT_BY`."""


def read_vocabulary(checkpoint: Checkpoint) -> Vocabulary | None:
    """Return the vocabulary that a checkpoint's tokenizer.json tells, or else its vocab.txt; None where there is neither.

    Raises:
        CheckpointError: the file is there, but is not what its name says.
    """
    readers = {TOKENIZER: _from_tokenizer, WORDPIECES: _from_word_pieces}
    for name, reader in readers.items():
        path = checkpoint.folder / name
        if path.is_file():
            try:
                return _checked(reader(path))
            except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
                what = f"{path} is" if name == TOKENIZER else f"{path}, with what stands beside it, is"
                raise CheckpointError(f"{what} not a tokenizer: save or download the checkpoint again.") from error
    return None


def _checked(vocabulary: Vocabulary) -> Vocabulary:
    """Refuse rows that are no numbers of rows, tokens that are no texts: nobody after this asks again."""
    for token, row in vocabulary.rows.items():
        if not isinstance(token, str) or type(row) is not int or not 0 <= row <= np.iinfo(np.int32).max:
            raise ValueError(f"{token!r} has no row")
    if not all(isinstance(part, str) for merge in vocabulary.merges for part in merge):
        raise TypeError("merges are of texts")
    return vocabulary


def _from_tokenizer(path: Path) -> Vocabulary:
    content = read_json(path)
    model = dict(content["model"])
    known = model.pop("vocab")
    by_piece = {} if isinstance(known, dict) else {piece: float(score) for piece, score in known}
    rows = known if isinstance(known, dict) else {piece: row for row, (piece, _) in enumerate(known)}
    merges = [
        tuple(each.split(" ")) if isinstance(each, str) else tuple(each) for each in model.pop("merges", None) or ()
    ]
    unknown = model.pop("unk_id", None)  # a row: what counts is the token in it
    if unknown is not None:
        model["unk_token"] = known[unknown][0]
    added = {token["content"]: token["id"] for token in content.get("added_tokens") or ()}
    return Vocabulary(
        rows={**rows, **added},
        added=frozenset(added),
        scores=by_piece,
        merges=tuple(merges),
        cut_by={
            "file": path.name,
            "normalizer": content.get("normalizer"),
            "pre_tokenizer": content.get("pre_tokenizer"),
            "model": {key: value for key, value in model.items() if value},
        },
    )


def _from_word_pieces(path: Path) -> Vocabulary:
    """Read a vocab.txt, one token a line, with what stands beside it."""
    pieces = read_text(path).removesuffix("\n").split("\n")  # other ends of lines can be tokens
    added = {token: int(row) for token, row in _beside(path, ADDED).items()}
    told = _beside(path, SETTINGS)
    said = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")
    return Vocabulary(
        rows={**{piece: row for row, piece in enumerate(pieces)}, **added},
        added=frozenset(added),
        cut_by={"file": path.name, "normalizer": {key: told.get(key) for key in said}},
    )


def _beside(path: Path, name: str) -> dict[str, Any]:
    other = path.with_name(name)
    content = read_json(other) if other.is_file() else {}
    return dict(content.items())


# --- one beside the other --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Alignment:
    """Where the tokens of one source, the carrier, stand in each of K sources."""

    carrier: int
    """Number of the source whose tokenizer and config the merge has."""
    rows: tuple[IntArray, ...]
    """For each source the row in it of each row of the carrier, [V]; -1 where it has none."""
    names: tuple[str, ...]
    """Of the sources, for people."""

    def present(self, where: slice) -> npt.NDArray[np.bool_]:
        """Return which sources have each of those rows, [K, rows]."""
        return np.stack([rows[where] >= 0 for rows in self.rows])

    @cached_property
    def sentence(self) -> str:
        """What was done, for whoever reads about the merge."""
        own = np.arange(len(self.rows[self.carrier]))
        aligned = sum(not np.array_equal(rows, own) for rows in self.rows)
        lacking = moved = np.zeros(len(own), dtype=bool)
        for rows in self.rows:
            lacking = lacking | (rows < 0)
            moved = moved | ((rows >= 0) & (rows != own))
        return (
            f"The vocabularies of {aligned} of {len(self.rows)} sources were aligned by token to that of "
            f"{self.names[self.carrier]}: {int(moved.sum())} rows stand elsewhere in some of them, and "
            f"{int(lacking.sum())} are not in all of them (those are merged of the sources that have them)."
        )


def embedding_of(checkpoint: Checkpoint) -> str | None:
    """Return the name of the input embedding; None where no tensor has a known name."""
    return next((name for name in checkpoint.tensors if name.endswith(EMBEDDINGS)), None)


def vocabulary_tensors(checkpoint: Checkpoint) -> frozenset[str]:
    """Return the names of the tensors that have a row for each token."""
    embedding = embedding_of(checkpoint)
    tokens = checkpoint.tensors[embedding].shape[:1] if embedding else ()
    return frozenset(
        name
        for name, info in checkpoint.tensors.items()
        if tokens and info.shape[:1] == tokens and name.endswith((*EMBEDDINGS, *_OUTPUTS))
    )


def same_vocabulary(first: Checkpoint, other: Checkpoint) -> bool:
    """Compare the first of the tokenizer's files that both have, else their tokens; what cannot be read cannot be compared."""
    ours, theirs = first.vocabulary_digests, other.vocabulary_digests
    shared = next((name for name in ours if name in theirs), None)
    if shared:
        return ours[shared] == theirs[shared]
    one, two = read_vocabulary(first), read_vocabulary(other)
    return one is None or two is None or one.rows == two.rows


def check_one_vocabulary(checkpoints: Sequence[Checkpoint], what: str) -> None:
    """Refuse checkpoints whose vocabularies would have to be aligned, where ``what`` is done with one number per token.

    Raises:
        IncompatibleError: names two of them.
    """
    first = checkpoints[0]
    for other in checkpoints[1:]:
        if not _alike(first, other):
            raise IncompatibleError(
                f"{first.name} and {other.name} have different vocabularies, and {what} takes one for all: "
                "leave one of them out, or choose another method."
            )


def align(sources: Sequence[Checkpoint]) -> Alignment | None:
    """Return where the tokens of the sources stand; None where each has the same row in all of them.

    Raises:
        IncompatibleError: they cannot be aligned; names two checkpoints and the first tokens in which they differ.
    """
    first = sources[0]
    odd = next((other for other in sources[1:] if not _alike(first, other)), None)
    if odd is None:
        return None
    alike: dict[tuple[str, int], list[int]] = {}
    for number, source in enumerate(sources):
        alike.setdefault((source.vocabulary_digest, _count(source, first, odd)), []).append(number)
    sizes = {key: len(_known(sources[members[0]], first, odd).rows) for key, members in alike.items()}
    widest = max(alike, key=lambda key: (sizes[key], key[1]))
    carrier = alike[widest][0]
    wide = _known(sources[carrier], first, odd)
    found: dict[int, IntArray] = {}
    for key, members in alike.items():
        source = sources[members[0]]
        _check_positions(sources[carrier], source)
        same = key[0] == widest[0]
        narrow = wide if same else _known(source, first, odd)
        reason = None if same else _obstacle(wide, narrow, sources[carrier].name, source.name)
        if reason:
            one, two = sorted((carrier, members[0]))
            raise _different(sources[one], sources[two], reason)
        rows = _rows(wide, widest[1], narrow, key[1], same=same)
        found |= dict.fromkeys(members, rows)
    return Alignment(carrier, tuple(found[n] for n in range(len(sources))), tuple(source.name for source in sources))


def _alike(first: Checkpoint, other: Checkpoint) -> bool:
    rows = {_tokens(first), _tokens(other)} - {None}
    return len(rows) < 2 and same_vocabulary(first, other)


def _tokens(checkpoint: Checkpoint) -> int | None:
    """Return the rows of the embedding; None where there is none."""
    embedding = embedding_of(checkpoint)
    return checkpoint.tensors[embedding].shape[0] if embedding else None


def _count(source: Checkpoint, first: Checkpoint, odd: Checkpoint) -> int:
    tokens = _tokens(source)
    if tokens is None:
        raise _different(first, odd, f"which tensor of {source.name} has a row for each token is not known")
    return tokens


def _known(source: Checkpoint, first: Checkpoint, odd: Checkpoint) -> Vocabulary:
    vocabulary = read_vocabulary(source)
    if vocabulary is None:
        raise _different(first, odd, f"{source.name} has neither {TOKENIZER} nor {WORDPIECES} to align them by")
    largest, tokens = max(vocabulary.rows.values(), default=0), _tokens(source) or 0
    if largest >= tokens:
        raise IncompatibleError(
            f"{source.name} has the embeddings of {tokens} tokens, but its tokenizer numbers them up to {largest}: "
            "they do not belong together, copy the tokenizer of its base."
        )
    return vocabulary


def _different(first: Checkpoint, other: Checkpoint, reason: str) -> IncompatibleError:
    return IncompatibleError(
        f"{first.name} and {other.name} have different vocabularies: {reason}. "
        "Merge only models of one vocabulary, or of one that others add to or reorder."
    )


def _rows(wide: Vocabulary, count: int, narrow: Vocabulary, narrow_count: int, *, same: bool) -> IntArray:
    """Return the row in one source of each row of the carrier, [count]; rows without a token are of no other source."""
    if same:
        own = np.arange(count, dtype=np.int32)
        return np.where(own < narrow_count, own, np.int32(-1))
    rows = np.full(count, -1, dtype=np.int32)
    for token, row in wide.rows.items():
        rows[row] = narrow.rows.get(token, -1)
    return rows


def _obstacle(wide: Vocabulary, narrow: Vocabulary, wide_name: str, narrow_name: str) -> str | None:
    """Return why the tokens of one cannot be looked up in another that has at least as many; None if they can."""
    lacking = [token for token in narrow.rows if token not in wide.rows]
    if lacking:
        others = [token for token in wide.rows if token not in narrow.rows]
        return f"only {narrow_name} has {_some(lacking)}" + (f", only {wide_name} {_some(others)}" if others else "")
    for part, how in _CUT_BY.items():
        if wide.cut_by.get(part) != narrow.cut_by.get(part):
            return f"their tokenizers {how}"
    whole = wide.added | narrow.added
    rescored = [
        piece for piece, score in narrow.scores.items() if piece not in whole and wide.scores.get(piece) != score
    ]
    if rescored:
        return (
            f"their tokenizers cut the same text into different pieces, since they score {_some(rescored)} differently"
        )
    within = [merge for merge in wide.merges if all(part in narrow.rows for part in (*merge, "".join(merge)))]
    if within != list(narrow.merges):
        pairs = zip_longest(within, narrow.merges, fillvalue=())
        reordered = [" + ".join(ours or theirs) for ours, theirs in pairs if ours != theirs]
        return (
            f"their tokenizers cut the same text into different pieces, since they merge {_some(reordered)} differently"
        )
    return None


def _some(tokens: Iterable[str]) -> str:
    """Return the first of some tokens, quoted."""
    tokens = list(tokens)
    return ", ".join(map(repr, tokens[:SHOWN])) + (" …" if len(tokens) > SHOWN else "")


def counts_after_padding(model_type: str) -> bool:
    """Return whether models of this type count positions from the number of their padding token."""
    return any(part in model_type for part in _COUNT_AFTER_PADDING)


def _check_positions(first: Checkpoint, other: Checkpoint) -> None:
    """Refuse models whose positions begin in different rows: those would have to be aligned, too."""
    if not counts_after_padding(str(first.config.get("model_type", ""))):
        return
    ours, theirs = (source.config.get("pad_token_id", 1) for source in (first, other))
    if ours != theirs:
        raise _different(
            first, other, f"positions are counted from the number of the padding token, which is {ours} and {theirs}"
        )
