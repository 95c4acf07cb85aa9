"""``sprachbund compare``: two results folders, locale by locale and variant by variant, with intervals and tests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sprachbund import files
from sprachbund.cli.app import app
from sprachbund.cli.console import console, result
from sprachbund.config import CompareConfig
from sprachbund.errors import StoreError, UserError
from sprachbund.plan import check_file
from sprachbund.report import Results, compare_json, compare_rows, csv_text, load, pairs_of, print_compared
from sprachbund.report import compare as compare_results
from sprachbund.store import RECORD, RESULTS

__all__ = ["compare"]


@app.command
def compare(
    a: Annotated[Path, Parameter(help="A results folder.")],
    b: Annotated[Path, Parameter(help="The results folder to compare it with; it may be the same one.")],
    *,
    config: Annotated[CompareConfig, Parameter(name="*")] = CompareConfig(),
) -> int:
    """Compare the results of two folders on the same texts: differences, intervals, tests.

    The zoos may be different ones, the data may not.
    """
    zoos = _zoos(config)
    if config.out:
        check_file(config.out, overwrite=True)
    ours, theirs = (_load(folder, config, zoo) for folder, zoo in zip((a, b), zoos, strict=True))
    found = compare_results(ours, theirs, pairs_of(config.variants, ours, theirs))
    if config.out:
        files.write_text(config.out, csv_text(compare_rows(found)))

    def show() -> None:
        print_compared(console, found, str(a), str(b))
        if config.out:
            console.print(str(config.out), soft_wrap=True, markup=False)

    result(lambda: {**compare_json(found), "file": config.out}, show)
    return 0


def _zoos(config: CompareConfig) -> tuple[str | None, str | None]:
    match config.zoo:
        case ():
            return None, None
        case (one,):
            return one, one
        case (one, other):
            return one, other
    raise UserError(f"--zoo names {len(config.zoo)} zoos: write one for both folders, or one for each.")


def _load(folder: Path, config: CompareConfig, zoo: str | None) -> Results:
    if not any(folder.glob(f"*/{RECORD}")) and any((folder / RESULTS).glob(f"*/{RECORD}")):
        raise StoreError(f"{folder} is the folder of a run: compare its results, {folder / RESULTS}.")
    return load(folder, data=config.data, zoo=zoo, split=config.split)
