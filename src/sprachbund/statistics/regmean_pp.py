"""Gram matrices for RegMean++: what comes into a layer once all layers below it are merged.

Nguyen et al. 2025, "RegMean++: Enhancing Effectiveness and Generalization of Regression Mean for Model Merging",
arXiv:2508.03121. RegMean looks at what comes into each layer of a source while the source runs alone. In the merge something
else comes in, since what lies below is merged as well. So RegMean++ goes from layer to layer of the transformer, a layer
being a whole block of attention and feed-forward: the texts of each source have passed through the merged blocks below, each
source's own block runs on them and gives its Gram matrices, the block is merged by ``regmean`` with these, and the texts
pass through the merged block to the next one. What comes before the blocks (embeddings) and after them (the head) is a
step of its own in the same way.

What is kept are the Gram matrices of each source. ``regmean`` with these, the same weights and the same alpha is RegMean++.

Each text passes each block twice, once its source's and once the merged one; embeddings and what else lies outside of blocks
run again in each step. Memory holds one model, and of each text the states that came out of the last merged block.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sprachbund import digests
from sprachbund.checkpoints import Checkpoint, TensorFile, TensorInfo, TensorWriter, check_one_vocabulary, unchanged
from sprachbund.errors import CheckpointError
from sprachbund.inference import Encoded
from sprachbund.merging import merged_tensors
from sprachbund.methods import METHODS
from sprachbund.parallel import Report
from sprachbund.statistics.classifiers import Batch, answer, batches, encoded_for, load, saved_names
from sprachbund.statistics.gram import GramSums, Linears, linear_layers
from sprachbund.statistics.kept import DTYPE, check_texts, kept, put, writer

__all__ = ["layerwise_gram_files"]

Block = torch.nn.Module


def layerwise_gram_files(
    sources: Sequence[Checkpoint],
    weights: Sequence[float],
    texts: Sequence[Sequence[str]],
    *,
    options: Mapping[str, object] | None = None,
    report: Report = lambda stage, done, total: None,
) -> list[TensorFile]:
    """Return the Gram matrices of RegMean++, a file for each source; found out now, or before and kept.

    ``texts`` are each source's own. ``options`` are those of the method ``regmean``.

    Raises:
        DataError: a source has no texts.
        CheckpointError: a checkpoint is no classifier, or not made of blocks one after the other.
        IncompatibleError: the sources do not fit together.
        MixError: the method cannot be used with such weights or options.
    """
    check_one_vocabulary(sources, "RegMean++")
    for source, own in zip(sources, texts, strict=True):
        check_texts(source, own)
    settled = METHODS["regmean"].settle(options or {}, len(sources))
    names = [str(place) for place in range(len(sources))]

    def make(folder: Path) -> None:
        with unchanged(sources):
            _Walk(sources, weights, settled, texts).go(folder, names, report)

    made_of = {
        "checkpoints": [source.digest for source in sources],
        "texts": [digests.of_value(list(own)) for own in texts],
        "weights": [float(weight) for weight in weights],
        "options": settled,
    }
    return kept("gram++", made_of, make, names)


@dataclass(frozen=True)
class _Step:
    """A part of the model that is merged at once."""

    place: int
    """Of the block; -1 for what comes before the blocks, their number for what comes after."""
    tensors: Mapping[str, torch.Tensor]
    """Its parameters, by the names they are saved under."""
    linears: Linears


class _Walk:
    """One model, which is given the tensors of each source and of the merge in turn, from below to above."""

    def __init__(
        self,
        sources: Sequence[Checkpoint],
        weights: Sequence[float],
        options: Mapping[str, Any],
        texts: Sequence[Sequence[str]],
    ) -> None:
        self.sources, self.weights, self.options = sources, weights, options
        self.model = load(sources[0])
        self.blocks = _blocks(self.model, sources[0])
        encoded = [encoded_for(self.model, source, own) for source, own in zip(sources, texts, strict=True)]
        self.batches = [list(batches(own)) for own in encoded]
        self.steps = _steps(self.model, self.blocks, sources[0], encoded[0])
        self.below: list[list[Any]] = [[None] * len(own) for own in self.batches]
        """What came out of the last merged block, of each batch of each source."""

    def go(self, folder: Path, names: Sequence[str], report: Report) -> None:
        """Write the Gram matrices of each source into a file of its name."""
        shapes = {
            name: (each.in_features, each.in_features) for step in self.steps for name, each in step.linears.items()
        }
        with ExitStack() as stack:
            outs = [stack.enter_context(writer(folder, name, shapes)) for name in names]
            files = [TensorFile(folder / f"{name}.safetensors") for name in names]  # they see what is written
            for number, step in enumerate(self.steps):
                report("RegMean++, layer by layer", number, len(self.steps))
                if step.linears:
                    self._ask_each(step, outs, shapes)
                if step is not self.steps[-1]:
                    self._load(step, self._merged(step, files))
                    self._pass_on(step)
        report("RegMean++, layer by layer", len(self.steps), len(self.steps))

    def _ask_each(self, step: _Step, outs: Sequence[TensorWriter], shapes: Mapping[str, tuple[int, int]]) -> None:
        """Let each source run on what has passed through the merge below, and write its Gram matrices."""
        for source, own, below, out in zip(self.sources, self.batches, self.below, outs, strict=True):
            self._load(step, {name: source.file.read(name) for name in step.tensors})
            for name, gram in self._grams(step, own, below).items():
                put(out, source, TensorInfo(name, DTYPE, shapes[name]), gram)

    def _load(self, step: _Step, tensors: Mapping[str, np.ndarray]) -> None:
        for name, parameter in step.tensors.items():
            with torch.no_grad():
                numbers = tensors[name]
                parameter.copy_(torch.from_numpy(numbers.astype(np.promote_types(numbers.dtype, np.float32))))

    def _grams(self, step: _Step, own: Sequence[Batch], below: Sequence[Any]) -> dict[str, torch.Tensor]:
        """Return G of the linear layers of a step, whose tensors are those of a source."""
        sums = GramSums(step.linears)
        with sums.listening():
            for batch, states in zip(own, below, strict=True):
                sums.expect(batch)
                self._run(step.place, batch, states)
        return sums.means()

    def _merged(self, step: _Step, files: Sequence[TensorFile]) -> Mapping[str, np.ndarray]:
        return merged_tensors(
            self.sources,
            self.weights,
            method="regmean",
            options=self.options,
            statistics={"gram": files},
            names=list(step.tensors),
        )

    def _pass_on(self, step: _Step) -> None:
        """Let all texts pass through the merged block; before the blocks there is nothing to be passed."""
        if step.place < 0:
            return
        for own, below in zip(self.batches, self.below, strict=True):
            below[:] = [self._run(step.place, batch, states) for batch, states in zip(own, below, strict=True)]

    def _run(self, place: int, batch: Batch, below: Any) -> Any:
        """Return what comes out of the block at ``place``, if that below it gave ``below``; the first one looks for itself."""
        with torch.inference_mode(), _standing_in(self.blocks[: max(0, place)], below):
            if place >= len(self.blocks):
                return answer(self.model, batch.ids)
            with _stopping_after(self.blocks[max(0, place)]):
                try:
                    answer(self.model, batch.ids)
                except _Reached as reached:
                    return reached.output
        raise AssertionError("the model has run past its block")


class _Reached(Exception):
    """The block has run, and what comes after it need not."""

    def __init__(self, output: Any) -> None:
        self.output = output


@contextmanager
def _stopping_after(block: Block) -> Iterator[None]:
    def stop(_: Block, inputs: Any, output: Any) -> None:
        raise _Reached(output)

    handle = block.register_forward_hook(stop)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _standing_in(blocks: Sequence[Block], output: Any) -> Iterator[None]:
    """Let blocks give what the last of them is known to give, without running."""
    for block in blocks:
        block.forward = lambda *inputs, **named: output
    try:
        yield
    finally:
        for block in blocks:
            del block.forward


def _blocks(model: torch.nn.Module, checkpoint: Checkpoint) -> Sequence[Block]:
    """Return the layers of the transformer from below to above.

    Raises:
        CheckpointError: there is no such list, or its layers are run more than once.
    """
    count = int(model.config.num_hidden_layers)  # type: ignore[union-attr, arg-type]
    for module in model.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == count:
            return list(module)
    raise CheckpointError(
        f"{checkpoint.place} has not its {count} layers one after the other, as RegMean++ needs them: take regmean."
    )


def _steps(
    model: torch.nn.Module, blocks: Sequence[Block], checkpoint: Checkpoint, encoded: Encoded
) -> Sequence[_Step]:
    """Return the parts of a model in the order in which they are merged.

    A few texts show it. What is called outside of blocks goes with the block that begins next, after the last one with the
    head. What is called before the first block, or never (a table of positions, say), is merged before it. Layers that no
    token comes into have no Gram matrix.
    """
    place_of = {module: place for place, block in enumerate(blocks) for module in block.modules()}
    begun = -1

    def note(module: torch.nn.Module, inputs: Any) -> None:
        nonlocal begun
        if module in blocks:
            begun = place_of[module]
        else:
            place_of.setdefault(module, begun + 1 if begun >= 0 else -1)

    handles = [module.register_forward_pre_hook(note) for module in model.modules()]
    sums, first = GramSums(linear_layers(model, checkpoint)), next(batches(encoded))
    sums.expect(first)
    try:
        with torch.inference_mode(), sums.listening():
            answer(model, first.ids)
    finally:
        for handle in handles:
            handle.remove()
    owners = {parameter: module for module in model.modules() for parameter in module.parameters(recurse=False)}
    saved = saved_names(model, checkpoint)
    linears, asked = linear_layers(model, checkpoint), sums.means()
    return [
        _Step(
            place,
            {name: each for name, each in saved.items() if place_of.get(owners[each], -1) == place},
            {name: each for name, each in linears.items() if name in asked and place_of.get(each, -1) == place},
        )
        for place in range(-1, len(blocks) + 1)
    ]
