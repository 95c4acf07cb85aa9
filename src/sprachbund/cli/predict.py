"""``sprachbund predict``: the intents of any texts, typed, from a file or from standard input, one answer after the other."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, cast

from cyclopts import Parameter

from sprachbund.cli.app import app
from sprachbund.cli.console import MODE, Reporter, console, result, say
from sprachbund.config import PredictConfig
from sprachbund.errors import DataError, UserError
from sprachbund.plan import check_file

if TYPE_CHECKING:
    from sprachbund.data.stream import Bytes
    from sprachbund.inference import Answer

__all__ = ["predict"]

Write = Callable[["Answer"], None]
ENDINGS = (".csv", ".jsonl")
TABLES = (".csv", ".tsv", ".jsonl", ".parquet")
HANDFUL = 1000
"""Texts of a table that are answered together; each handful is put into batches by length."""
STANDARD_INPUT = "Standard input"


@app.command
def predict(
    text: Annotated[
        tuple[str, ...], Parameter(help="Texts. Without any, and without --file, standard input: one text a line.")
    ] = (),
    *,
    config: Annotated[PredictConfig, Parameter(name="*")],
) -> int:
    """Print the intent of each text, how sure the classifier is of it, and the text, with tabs between."""
    from sprachbund import inference
    from sprachbund.inputs import notes_on, open_each

    _check(config, text)
    inference.quieten()
    inference.check_precision(config.precision)
    with _texts(text, config) as handfuls:
        with Reporter() as report:
            (checkpoint,) = open_each([config.model], report, allow_pickle=config.allow_pickle).values()
        for note in notes_on([checkpoint]):
            say(note)
        predictor = inference.Predictor(checkpoint.folder, config.precision)
        answers = predictor.answers(handfuls, config.top)
        if config.out:
            with _file(config.out, min(config.top, len(predictor.names))) as write:
                count = _each(answers, write)
            said = f"{count} answers: {config.out}"
            result(
                lambda: {"answers": count, "file": config.out},
                lambda: console.print(said, soft_wrap=True, markup=False),
            )
        elif MODE.json:
            found: list[Answer] = []
            _each(answers, found.append)
            result(lambda: [_plainly(answer) for answer in found], lambda: None)
        else:
            _each(answers, _print)
    return 0


def _check(config: PredictConfig, texts: Sequence[str]) -> None:
    if texts and config.file:
        raise UserError("Texts and --file are two ways to say what to classify: leave one out.")
    if config.column and not (config.file and _is_table(config.file)):
        raise UserError(f"--column goes with --file TABLE ({', '.join(TABLES)}): leave it out, or name such a file.")
    if config.out is None:
        if config.overwrite:
            raise UserError("--overwrite has no effect without --out: name the file of the answers, or leave it out.")
        return
    if config.out.suffix.lower() not in ENDINGS:
        raise UserError(f"--out {config.out}: its ending says the format, {' or '.join(ENDINGS)}.")
    if config.file and config.file.exists() and config.out.exists() and config.out.samefile(config.file):
        raise UserError(f"--out {config.out} is the --file of the texts, which would be lost: name another file.")
    check_file(config.out, overwrite=config.overwrite)


def _is_table(file: Path) -> bool:
    return file.suffix.lower() in TABLES


@contextmanager
def _texts(typed: Sequence[str], config: PredictConfig) -> Iterator[Iterable[Sequence[str]]]:
    """Give the texts, a handful at a time; a table is read as a whole first, so that a bad row costs no answers."""
    from sprachbund.data.stream import handfuls
    from sprachbund.data.table import read_texts

    file = config.file
    if typed:
        yield [[stripped for text in typed if (stripped := text.strip())]]
    elif file and _is_table(file):
        texts = read_texts(file, config.column)
        yield (texts[first : first + HANDFUL] for first in range(0, len(texts), HANDFUL))
    elif file:
        if file.is_dir():
            raise DataError(f"{file} is a folder: name a text file with one text a line.")
        if not file.exists():
            raise DataError(f"There is no file {file}: name a text file with one text a line.")
        with file.open("rb") as stream:
            yield handfuls(stream, str(file))
    else:
        if sys.stdin.isatty():
            say("One text a line; Ctrl-D ends.")
        yield handfuls(cast("Bytes", sys.stdin.buffer), STANDARD_INPUT)


def _each(answers: Iterable[Answer], write: Write) -> int:
    """Hand on every answer; return how many there were.

    Raises:
        DataError: there was no text.
    """
    count = 0
    for count, answer in enumerate(answers, start=1):  # noqa: B007  # it is returned
        write(answer)
    if not count:
        raise DataError("There is no text to classify: type some, name a --file of them, or pipe them in, one a line.")
    return count


def _print(answer: Answer) -> None:
    """Print an answer at once: whoever reads may wait for it."""
    pairs = (f"{intent}\t{share:.4f}" for intent, share in zip(answer.intents, answer.probabilities, strict=True))
    sys.stdout.write("\t".join([*pairs, " ".join(answer.text.split())]) + "\n")
    sys.stdout.flush()


def _plainly(answer: Answer) -> dict[str, Any]:
    pairs = zip(answer.intents, answer.probabilities, strict=True)
    return {
        "text": answer.text,
        "intents": [{"intent": intent, "confidence": round(share, 6)} for intent, share in pairs],
    }


@contextmanager
def _file(path: Path, top: int) -> Iterator[Write]:
    """Give what writes an answer to a file, which takes its place when all are in it."""
    from sprachbund import files

    with files.temporary_folder(path.parent, path.name) as folder:
        with (folder / "new").open("w", encoding="utf-8", newline="") as stream:
            yield _rows(stream, top) if path.suffix.lower() == ".csv" else _lines(stream)
        os.replace(folder / "new", path)


def _lines(stream: IO[str]) -> Write:
    def write(answer: Answer) -> None:
        stream.write(json.dumps(_plainly(answer), ensure_ascii=False) + "\n")

    return write


def _rows(stream: IO[str], top: int) -> Write:
    writer = csv.writer(stream, lineterminator="\n")
    numbers = ["", *(f"_{number}" for number in range(2, top + 1))]
    writer.writerow(["text", *(f"{column}{number}" for number in numbers for column in ("intent", "confidence"))])

    def write(answer: Answer) -> None:
        pairs = zip(answer.intents, answer.probabilities, strict=True)
        writer.writerow([answer.text, *(cell for intent, share in pairs for cell in (intent, f"{share:.6f}"))])

    return write
