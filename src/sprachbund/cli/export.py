"""``sprachbund export``: a model that was made here, for other tools."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sprachbund.cli.app import app
from sprachbund.cli.console import Reporter, console, result, say
from sprachbund.cli.sentences import SEE_HELP
from sprachbund.config import ExportConfig
from sprachbund.errors import CheckpointError, UserError

if TYPE_CHECKING:
    from sprachbund.cards import BlendDetails, MergeDetails
    from sprachbund.checkpoints import Checkpoint

__all__ = ["export"]


@app.command
def export(*, config: Annotated[ExportConfig, Parameter(name="*")]) -> int:
    """Write a model as ONNX, or a recipe with which mergekit makes the same tensors as a merge has, of the same sources."""
    if config.mergekit == config.onnx:
        which = "--mergekit and --onnx are two exports: leave one out." if config.onnx else "--mergekit or --onnx."
        raise UserError(f"Say for what to export: {which} {SEE_HELP}")
    if config.overwrite and config.out is None:
        raise UserError(f"--overwrite has no effect without --out: name the file or folder. {SEE_HELP}")
    return _onnx(config) if config.onnx else _recipe(config)


def _onnx(config: ExportConfig) -> int:
    from sprachbund import files, inference
    from sprachbund.inference.onnx import ONNX, check_onnx, check_place, write_onnx
    from sprachbund.inputs import notes_on, open_each
    from sprachbund.plan import check_room, check_writable

    model, out = config.model, config.out
    if out is None:
        raise UserError(f"--out is needed: name the folder of the ONNX model. {SEE_HELP}")
    check_place(out, overwrite=config.overwrite)
    check_onnx()
    inference.quieten()
    check_writable(out.parent)
    with Reporter() as report:
        checkpoint = open_each([model], report, allow_pickle=config.allow_pickle)[model]
    for note in notes_on([checkpoint]):
        say(note)
    check_room(out.parent, checkpoint.nbytes, "The ONNX model needs", "make room", instead="--out")
    with files.atomic_folder(out) as folder:
        apart = write_onnx(checkpoint.folder, folder)
    said = f"ONNX model: {out / ONNX}; its logits are those of {model} (at most {apart:.1e} apart)"
    result(lambda: {"model": out / ONNX, "apart": apart}, lambda: console.print(said, soft_wrap=True, markup=False))
    return 0


def _recipe(config: ExportConfig) -> int:
    from sprachbund import files
    from sprachbund.blends import UNION
    from sprachbund.cards import details_of
    from sprachbund.inputs import open_each
    from sprachbund.mergekit import blend_of, write_recipe
    from sprachbund.plan import check_file

    out = config.out
    if out:
        check_file(out, overwrite=config.overwrite)
    details = details_of(Path(config.model).expanduser())
    blend = blend_of(details)
    others = [name for name in (blend.base, blend.tokenizer) if name is not None and name != UNION]
    with Reporter() as report:
        names = list(dict.fromkeys([*blend.sources, *others]))
        models = open_each(names, report, allow_pickle=config.allow_pickle)
    _check_same(details, blend.sources, blend.base, models)
    recipe = write_recipe(blend, models)
    if out:
        files.write_text(out, recipe)
        said = f"Recipe: {out} (mergekit-yaml {out} FOLDER; sprachbund merge {out} --out FOLDER)"
        result(lambda: {"recipe": recipe, "file": out}, lambda: console.print(said, soft_wrap=True, markup=False))
    else:
        result(
            lambda: {"recipe": recipe, "file": None},
            lambda: console.print(recipe, end="", soft_wrap=True, markup=False),
        )
    return 0


def _check_same(
    details: MergeDetails | BlendDetails, sources: tuple[str, ...], base: str | None, models: Mapping[str, Checkpoint]
) -> None:
    """Complain of a model that is no longer what was merged: the recipe would make another one."""
    known = dict(zip(sources, (source.digest for source in details.sources), strict=True))
    known |= {base: details.base.digest} if base is not None and details.base else {}
    for name, digest in known.items():
        if models[name].digest != digest:
            raise CheckpointError(
                f"{name} is not the model that was merged, it has changed since: bring it back, or merge again."
            )
