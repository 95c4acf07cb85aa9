"""A checkpoint: a Hugging Face model folder with config, weights and tokenizer, looked at without loading the model.

Weights are safetensors, in one file or in several. What comes otherwise, pickled or as an adapter of another model, is made
into that once (:mod:`converted`), and the checkpoint is what it was made into.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from sprachbund import digests, files
from sprachbund.checkpoints import converted
from sprachbund.checkpoints.pickled import read_pickles, unasked, without_tied, write_as_safetensors
from sprachbund.checkpoints.sharded import ShardedTensors, read_index
from sprachbund.checkpoints.tensors import TensorFile, TensorInfo
from sprachbund.errors import CheckpointError
from sprachbund.untrusted import read_json

__all__ = [
    "ADAPTER_CONFIG",
    "BESIDE_TENSORS",
    "COMPANIONS",
    "CONFIG",
    "HEAD_PREFIXES",
    "LAST_OF_HEAD",
    "SHARDS",
    "TOKENIZER",
    "TOKEN_COUNTS",
    "TRAINING_CARD",
    "WEIGHTS",
    "WIDE_HEAD",
    "ZOO_CARD",
    "Checkpoint",
    "name_labels",
    "open_checkpoint",
    "unchanged",
]

_log = logging.getLogger(__name__)
CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
SHARDS = "model.safetensors.index.json"
"""Stands in the place of WEIGHTS where these are in several files."""
PICKLED, PICKLED_SHARDS = "pytorch_model.bin", "pytorch_model.bin.index.json"
ADAPTER_CONFIG = "adapter_config.json"
"""What makes a folder a PEFT adapter: a model by what is added to another one."""
ZOO_CARD = "zoo.json"
"""Stands at the root of a zoo that has a name of its own."""
TRAINING_CARD = "training.json"
"""Stands beside a model that was trained here."""
TOKENIZERS = (
    TOKENIZER,
    "sentencepiece.bpe.model",
    "sentencepiece.model",
    "spiece.model",
    "spm.model",
    "tokenizer.model",
    "vocab.txt",
    "vocab.json",
)
"""Files of which each makes a tokenizer; without any, transformers makes one that knows no word, and says nothing."""
_BESIDE_TOKENIZERS = ("merges.txt", "bpe.codes", "added_tokens.json")
"""Files that decide how texts are cut, where one of the above leaves it to them."""
COMPANIONS = (CONFIG, *TOKENIZERS, *_BESIDE_TOKENIZERS, "tokenizer_config.json", "special_tokens_map.json")
"""What makes tensors a checkpoint; all else in its folder is about how it came to be."""
TOKEN_COUNTS = "token_counts.npy"
"""How often each token occurred in training: see :mod:`token_counts`."""
BESIDE_TENSORS = (*COMPANIONS, TOKEN_COUNTS)
"""What a conversion keeps beside the tensors."""
_SAYS_NOTHING = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")
"""Entries of a config that change without the model computing anything else."""
POOLER = "pooler."
"""How transformers names the layer before the classifier where it stands outside the encoder, in DeBERTa."""
HEAD_PREFIXES = (
    "classifier.",
    "score.",
    "classification_head.",
    "logits_proj.",
    "sequence_summary.",
    "pre_classifier.",
    POOLER,
)
"""How transformers names the tensors of a sequence classification head: of most models, decoders, BART, XLNet, XLM, DistilBERT.

Layers that some bases have and others lack (the pooler inside BERT, the head of ModernBERT) are told by the base alone, see
:func:`sprachbund.checkpoints.compatibility.body_counterparts`; without one they count as body.
"""
MOST_PARTS = 10_000
"""Layers, heads or experts of a model."""
_PARTS = re.compile(r"(?:layers?|heads|experts|groups|blocks|stages|depths?|block_sizes)$")
"""How the names end of what configs count, and transformers makes one by one."""
_HUGE = 1e300
"""Stands for larger numbers: JSON has some that no float holds."""
_CLASSIFIER = "ForSequenceClassification"
"""How the names of transformers' classes of such models end, however they name their tensors."""
MOST_LABELS = 1_000_000
"""Names that are made up where a config only counts them."""
LAST_OF_HEAD = (
    "classifier.out_proj.weight",
    "classifier.weight",
    "score.weight",
    "classification_head.out_proj.weight",
    "logits_proj.weight",
)
"""The matrices with a row per label."""
WIDE_HEAD = "sprachbund_wide_head"
"""The entry of a config that says that the head is several heads side by side, see :mod:`modeling_wide`."""


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint: its config is read, its tensors are mapped when they are first needed."""

    folder: Path
    name: str
    """As the user named it, for messages."""
    commit: str = ""
    """40 hex digits, of a repository on the hub: what the name stood for when it was asked; empty for other folders."""
    converted_from: Path | None = None
    """The folder that was named, where it has other weights and ``folder`` is what they were made into."""
    note: str = ""
    """What is to be said of how it was read, to be put after its name; empty where there is nothing to say."""
    zoo: str = ""
    """The file that names it as a source, if one does."""

    @property
    def origin(self) -> Path:
        """The folder that was named, whatever was made of it."""
        return self.converted_from or self.folder

    @property
    def reference(self) -> str:
        """The name for records: as the user named it; on the hub with the commit, ``repository@commit:subfolder``."""
        if not self.commit:
            return self.name
        model, colon, subfolder = self.name.partition(":")
        return f"{model.partition('@')[0]}@{self.commit}{colon}{subfolder}"

    @property
    def place(self) -> str:
        """Where messages send people: the folder that was named or, as nobody knows those of a cache, the name on the hub."""
        return self.name if self.commit else str(self.origin)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The content of config.json."""
        path = self.folder / CONFIG
        try:
            config: Any = read_json(path)
        except ValueError as error:
            raise CheckpointError(
                f"{path} is not valid JSON, perhaps cut off: save or download the checkpoint again."
            ) from error
        if not isinstance(config, dict):
            raise CheckpointError(f"{path} is JSON, but not a model's config: save or download the checkpoint again.")
        _check_counts(path, config)
        return config

    @cached_property
    def file(self) -> TensorFile | ShardedTensors:
        """The tensors."""
        single = self.folder / WEIGHTS
        return TensorFile(single) if single.is_file() else ShardedTensors(self.folder / SHARDS)

    @property
    def tensors(self) -> dict[str, TensorInfo]:
        """All tensors by name."""
        return dict(self.file.tensors)

    @property
    def head(self) -> dict[str, TensorInfo]:
        """The tensors of the classification head."""
        return {name: info for name, info in self.file.tensors.items() if name.startswith(HEAD_PREFIXES)}

    @property
    def architecture(self) -> str:
        """The transformers class that the checkpoint was saved from."""
        named = self.config.get("architectures")
        return str(named[0] if isinstance(named, list) and named else self.config.get("model_type", "unknown"))

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(info.nbytes for info in self.file.tensors.values())

    @property
    def parameters(self) -> int:
        """Number of elements of all floating-point tensors."""
        return sum(info.size for info in self.file.tensors.values() if info.is_float)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Label names in the order of the logits; ``LABEL_n`` where nobody named them.

        Raises:
            CheckpointError: this is no classifier, or its config does not name all labels by the numbers from 0.
        """
        answers = [name for name in self.head if not name.startswith(POOLER)]  # a bare encoder can have a pooler, too
        if not answers and not self.architecture.endswith(_CLASSIFIER):
            raise CheckpointError(
                f"{self.place} holds no classifier, but {self.architecture}: name a model that was fine-tuned for the task."
            )
        labels = _in_order(self.config.get("id2label") or _unnamed(self.config))
        if labels is None:
            raise CheckpointError(
                f"{self.folder / CONFIG} does not name the labels by their numbers from 0 (id2label): "
                "mend the entry, or save or download the checkpoint again."
            )
        if self._logits not in (None, len(labels)):
            raise CheckpointError(
                f"{self.folder / CONFIG} names {len(labels)} labels (id2label), but the head has {self._logits}: "
                "mend the entry, or save or download the checkpoint again."
            )
        return labels

    @property
    def _logits(self) -> int | None:
        """How many logits the head gives; None where no tensor says so."""
        shapes = [info.shape for name, info in self.file.tensors.items() if name in LAST_OF_HEAD]
        return shapes[0][0] if shapes and shapes[0] else None

    def check_tokenizer(self) -> None:
        """Complain if no file is there that makes a tokenizer."""
        if not any((self.folder / name).is_file() for name in TOKENIZERS):
            raise CheckpointError(
                f"{self.place} has no tokenizer ({TOKENIZER}): copy it from the base, or download it again."
            )

    @cached_property
    def tokenizer_digest(self) -> str:
        """Of the tokenizer's files: that of tokenizer.json where it is the only one; empty if there is none."""
        found = self._digests((*TOKENIZERS, *_BESIDE_TOKENIZERS))
        return found[TOKENIZER] if list(found) == [TOKENIZER] else digests.of_value(found) if found else ""

    @property
    def vocabulary_digests(self) -> dict[str, str]:
        """Of which token has which row of the embedding, by each of the tokenizer's files; compare those of one name only.

        Two tokenizers of one vocabulary may be saved as different ``tokenizer.json``: how it was last told to cut and pad is
        in there, so its digest is of the vocabulary alone. Those of the other files are of their bytes.
        """
        found = self._digests(TOKENIZERS)
        known = {TOKENIZER: _vocabulary_digest(self.folder / TOKENIZER, found[TOKENIZER])} if TOKENIZER in found else {}
        return {**found, **known}

    @property
    def vocabulary_digest(self) -> str:
        """Of the vocabulary, as the file says that transformers reads; empty if there is no tokenizer."""
        return next(iter(self.vocabulary_digests.values()), "")

    def _digests(self, names: Iterable[str]) -> dict[str, str]:
        """Return the digests of those files that are there, in this order."""
        return {name: digests.of_file(self.folder / name) for name in names if (self.folder / name).is_file()}

    @cached_property
    def digest(self) -> str:
        """Identifies what the checkpoint computes: tensors, config, tokenizer."""
        told = {key: value for key, value in self.config.items() if key not in _SAYS_NOTHING}
        config = json.loads(json.dumps(told), parse_constant=str)  # Infinity, which some configs hold, is no JSON
        file = self.file
        tensors = file.digest if isinstance(file, ShardedTensors) else digests.of_file(self.folder / WEIGHTS)
        return digests.of_value([tensors, config, self.tokenizer_digest])

    def check_unchanged(self) -> None:
        """Complain if what is there now is not what the digest was found out of.

        Raises:
            CheckpointError: somebody has written to it in the meantime.
        """
        try:
            same = replace(self).digest == self.digest  # a new one, which knows nothing yet
        except (CheckpointError, FileNotFoundError):  # half of something, or gone
            same = False
        if not same:
            raise changed(self.name)


def changed(name: str) -> CheckpointError:
    """Return the complaint that a checkpoint is not the one any more that a run began with."""
    return CheckpointError(
        f"{name} has changed while this run was at work: bring back what was there, or run again, "
        "and leave models alone as long as a run reads them."
    )


@contextmanager
def unchanged(checkpoints: Iterable[Checkpoint]) -> Iterator[None]:
    """Complain after the block, in which they are read, if one of them has changed since its digest was found out.

    What is made of checkpoints is named by their digests: it would say that it is made of something else.

    Raises:
        CheckpointError: names it.
    """
    watched = {(checkpoint.folder, checkpoint.digest): checkpoint for checkpoint in checkpoints}
    yield
    for checkpoint in watched.values():
        checkpoint.check_unchanged()


def open_checkpoint(
    folder: Path, name: str | None = None, commit: str = "", *, allow_pickle: bool = False
) -> Checkpoint:
    """Return the checkpoint in a folder; weights of another format are made into safetensors first, and kept.

    ``commit`` tells that it is one of the hub; ``allow_pickle``, that weights may be read from a pickle.

    Raises:
        CheckpointError: there is no folder, or something that a checkpoint needs is not in it, or its weights are only there
            as a pickle and nobody has asked to read it.
    """
    if not folder.is_dir():
        raise CheckpointError(f"There is no folder {folder}: check the name.")
    name = name or str(folder)
    where = name if commit else str(folder)
    if (folder / ADAPTER_CONFIG).is_file():  # whatever else is there, as transformers sees it
        from sprachbund.checkpoints.adapters import add_adapter

        return add_adapter(folder, name, commit, allow_pickle=allow_pickle)
    if not (folder / CONFIG).is_file():
        raise CheckpointError(f"{where} has no {CONFIG}{_instead(folder)}.")
    if (folder / WEIGHTS).is_file() or (folder / SHARDS).is_file():
        return Checkpoint(folder, name, commit)
    if pickles := _pickles(folder, where, allow_pickle=allow_pickle):
        return _unpickled(folder, name, commit, pickles)
    raise CheckpointError(f"{where} has no {WEIGHTS}{_instead(folder)}.")


def name_labels(folder: Path, names: Sequence[str]) -> None:
    """Let the config of a model that was just made name its labels, in the order of the logits; without names it stays."""
    config = read_json(folder / CONFIG)
    id2label = {str(number): name for number, name in enumerate(names)}
    if names and config.get("id2label") != id2label:
        label2id = {name: number for number, name in enumerate(names)}
        named = json.dumps({**config, "id2label": id2label, "label2id": label2id}, indent=2, ensure_ascii=False)
        files.write_text(folder / CONFIG, named + "\n")  # with Infinity, if that is what transformers wrote


def _pickles(folder: Path, where: str, *, allow_pickle: bool) -> list[Path]:
    """Return the files of pickled weights.

    Raises:
        CheckpointError: there are some, and they may not be read.
    """
    found = next((name for name in (PICKLED, PICKLED_SHARDS) if (folder / name).is_file()), None)
    if found and not allow_pickle:
        raise unasked(where, found)
    if found == PICKLED_SHARDS:
        return [folder / name for name in sorted(set(read_index(folder / found).values()))]
    return [folder / found] if found else []


def _unpickled(folder: Path, name: str, commit: str, pickles: Sequence[Path]) -> Checkpoint:
    """Read pickled weights without running code, and keep them as safetensors."""

    def make(out: Path) -> None:
        _log.warning("%s has pickled weights: they are read without running any code (weights_only).", name)
        tensors = read_pickles(pickles)
        index = folder / PICKLED_SHARDS
        for tensor in [] if pickles[0].name == PICKLED else sorted(read_index(index).keys() ^ tensors.keys()):
            raise CheckpointError(
                f"{index} and its shards do not add up (tensor {tensor} is only in one of them): "
                "download or save the checkpoint again."
            )
        write_as_safetensors(without_tied(tensors, folder), out / WEIGHTS)
        converted.copy_files(folder, BESIDE_TENSORS, out)

    made_of = {
        "pickles": [digests.of_file(path) for path in pickles],
        "beside": converted.file_digests(folder, BESIDE_TENSORS),
    }
    note = (
        "has pickled weights: they were read without running any code (weights_only) "
        f"and are kept as safetensors in {converted.place()}."
    )
    return Checkpoint(converted.kept(made_of, make), name, commit, converted_from=folder, note=note)


_vocabularies: dict[str, str] = {}
"""Digests of vocabularies by those of their files: 52 sources have one tokenizer of 17 MB."""


def _vocabulary_digest(path: Path, file_digest: str) -> str:
    if file_digest not in _vocabularies:
        try:
            _vocabularies[file_digest] = digests.of_value(_vocabulary(read_json(path)))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{path} is not a tokenizer: save or download the checkpoint again.") from error
    return _vocabularies[file_digest]


def _check_counts(path: Path, config: Mapping[str, Any]) -> None:
    """Refuse a config that counts what nobody has: transformers would make it, until there is no memory left."""
    for name, value in _entries(config):
        limit = MOST_LABELS if name == "num_labels" else MOST_PARTS if _PARTS.search(name) else None
        numbers = [min(number, _HUGE) for number in _numbers(value) if number > 0]
        # Of a list, say of stages, all are made; heads are listed by the layer, and each layer has its own.
        count = max(numbers, default=0) if name.endswith("heads") else sum(numbers)
        if limit is not None and count > limit:
            raise CheckpointError(
                f"{path} says {name}: {count:.6g}, more than the {limit:,} that a model may have: "
                "mend the entry, or save or download the checkpoint again."
            )


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the entries of a config and of all that are inside it; those of labels are no settings, whatever their names."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name != "label2id":
                yield name, inner
                yield from _entries(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _entries(inner)


def _numbers(value: Any) -> Iterator[int | float]:
    """Yield the number that a value is, or those of a list."""
    if isinstance(value, list):
        for inner in value:
            yield from _numbers(inner)
    elif isinstance(value, int | float):
        yield value


def _unnamed(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels that transformers makes up; without a number it is two."""
    count = config.get("num_labels", 2)
    known = isinstance(count, int) and count <= MOST_LABELS
    return {str(number): f"LABEL_{number}" for number in range(count if known else 0)}


def _in_order(named: Any) -> tuple[str, ...] | None:
    """Return the names of the numbers 0, 1, …; None if these are not what is named."""
    expected = [str(number) for number in range(len(named))] if isinstance(named, dict) else []
    fits = expected and set(expected) == set(named) and all(isinstance(label, str) for label in named.values())
    return tuple(named[number] for number in expected) if fits else None


def _vocabulary(tokenizer: Any) -> dict[str, int]:
    """Return the number of each token. Unigram models list pieces with scores, all others map tokens to numbers."""
    known = tokenizer["model"]["vocab"]
    numbers = known if isinstance(known, dict) else {piece: number for number, (piece, _) in enumerate(known)}
    return {**numbers, **{token["content"]: token["id"] for token in tokenizer.get("added_tokens", ())}}


def _instead(folder: Path) -> str:
    """Say what is there in place of what was looked for."""
    inside = sorted({path.parent.name for name in (CONFIG, ADAPTER_CONFIG) for path in folder.glob(f"*/{name}")})
    if inside:
        return f"; checkpoints in its subfolders: {', '.join(inside)} (name one with --model-dir, or as {folder}:{inside[0]})"
    pickled = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(pattern))
    if pickled:
        return (
            f", but {pickled[0]}; of pickled weights only {PICKLED} is read: "
            "have who made the model save it as safetensors (save_pretrained does)"
        )
    return "; name the folder that has it, or download the model again"
