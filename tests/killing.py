"""Kill commands at every change they make to the disk, and compare what is there in the end.

Each command runs in a process of its own, see ``forking``. An audit hook counts the changes that the interpreter announces
under the folder: renames, removals, new folders, files that are opened to be written. Killed before one of them means: after
all that was done before it. Instead of being killed, a command can meet another fault there, see ``faulting``.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faulting import FAULTS
from forking import Forks, read_all, serve

LOCALES = ("da-DK", "nb-NO", "sv-SE")
"""By uriel:syntax_knn, the two nearest of each are the other two: three sources are all that the run needs."""
MODELS = "zoo/xlm-roberta-base_massive_k_{locale}:alpha_0.5_{locale}_epoch-9"
Command = tuple[str, ...]


def three_locales(data: str, shape: str) -> tuple[Command, Command, Command]:
    """Pre-train a base, train three sources, run the experiment with zero-shot over their locales."""
    common = ("--data", data, "--locales", *LOCALES)
    return (
        ("pretrain", *common, "--out", "zoo/base", *shape.split()),
        ("train", *common, "--base", "zoo/base", "--out", "zoo", "--epochs", "1"),
        ("experiment", *common, "--sources", *LOCALES, "--models", MODELS, "--num-languages", "2", "--zero-shot"),
    )


PRETRAIN, TRAIN, EXPERIMENT = SMALL_RUN = three_locales(
    "cldr:10",
    "--vocabulary 400 --hidden 8 --layers 1 --heads 2 --intermediate 8 --mlm-steps 2 --ranking-steps 2 --ranking-batch 8",
)

TIMES = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00")
SECONDS = re.compile(rb'"(?:seconds|energy)": [\d.e-]+')
CARD = "README.md"
MARKERS = {"results.json", "training.json", "merge_details.json"}
"""Written last in their folder: what stands beside them is finished."""
Tree = dict[str, bytes]


# --- what is there -----------------------------------------------------------------------------------------------------


def tree(root: Path) -> Tree:
    """Everything under a folder, hidden files and empty folders too; without times, and without where the folder is."""
    return {
        str(path.relative_to(root)): b"folder" if path.is_dir() else substance(path, root)
        for path in sorted(root.rglob("*"))
    }


def substance(path: Path, root: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix == ".safetensors":
        return content
    for pattern in (TIMES, SECONDS):
        content = pattern.sub(b"...", content)
    return content.replace(str(root).encode(), b"ROOT")


def differences(ours: Tree, theirs: Tree) -> list[str]:
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))


def finished(root: Path, reference: Tree) -> dict[str, tuple[int, int]]:
    """Inode and time of change of all that is done: nobody has to touch it again.

    The card of a model is done when it tells of the model's result, which comes after the model.
    """
    markers = [path for path in root.rglob("*.json") if path.name in MARKERS or path.parent.parent.name == "transfer"]

    def is_whole(path: Path) -> bool:
        return substance(path, root) == reference.get(str(path.relative_to(root)))

    done = [path for path in markers if is_whole(path)]
    files = {file for path in done for file in (path.parent.iterdir() if path.name in MARKERS else [path])}
    files -= {file for file in files if file.name == CARD and not is_whole(file)}
    return {
        str(path.relative_to(root)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in sorted(files)
        if not path.name.startswith(".") and ".partial" not in str(path)
    }


# --- who runs and kills ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ran:
    """How one run ended."""

    status: int
    """Exit status; minus the signal's number if it was killed."""
    changes: Sequence[str]
    """What it was about to do to the disk, in order; the last one is where it was killed."""
    printed: str


class Killer(Forks):
    """A process that runs commands in children of its own."""

    program = Path(__file__)

    def run(
        self,
        arguments: Sequence[str],
        folder: Path,
        kill: int | None = None,
        among: str = "",
        after: bool = False,
        fault: str = "SIGKILL",
    ) -> Ran:
        """Run one command line in ``folder``.

        With a number, kill it before the change of that number (from 0) among those that a pattern is found in; or after
        that change, which is before the next one. ``fault`` names what happens there instead, one of ``faulting.FAULTS``.
        """
        asked = {"kill": kill, "among": among, "after": after, "fault": fault}
        done = self.ask(arguments=[*arguments], folder=str(folder), **asked)
        changes = [json.loads(change) for change in done["changes"].splitlines()]
        return Ran(done["status"], changes, done["printed"])


def watched(arguments: list[str], folder: str, changes: int, printed: int, **kill: Any) -> int:
    """Be the process of a command; return its exit status."""
    from sprachbund.cli import run

    os.dup2(printed, 1)
    os.dup2(printed, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which shells have what is in their background ignore
    os.chdir(folder)
    sys.addaudithook(watcher(folder, changes, **kill))
    return run(arguments)


def watcher(
    folder: str, changes: int, kill: int | None, among: str = "", after: bool = False, fault: str = "SIGKILL"
) -> Callable[[str, tuple[Any, ...]], None]:
    """Return what writes down each change that is about to be made, and dies (or brings a fault) before the one asked for."""
    pattern, seen, doomed, struck = re.compile(among), 0, False, False
    strike = FAULTS[fault](folder)

    def hook(event: str, details: tuple[Any, ...]) -> None:
        nonlocal seen, doomed, struck
        if not changes_disk(event, details) or not is_inside(details[0], folder):
            return
        paths = details[:2] if event == "os.rename" else details[:1]
        change = " ".join([event, *(os.path.relpath(os.fsdecode(path), folder) for path in paths)])
        os.write(changes, json.dumps(change).encode() + b"\n")
        asked = pattern.search(change) is not None
        begins = not struck and (doomed or (asked and seen == kill and not after))
        doomed = asked and seen == kill
        seen += asked
        if begins or struck:
            struck = True
            strike(begins, event, change)

    return hook


def changes_disk(event: str, details: tuple[Any, ...]) -> bool:
    if event == "open":
        return isinstance(details[2], int) and bool(details[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    return event in {"os.rename", "os.remove", "os.rmdir", "os.mkdir"}


def is_inside(name: Any, folder: str) -> bool:
    """Relative names are inside: the command runs in the folder, and who deletes a tree gives names relative to parents."""
    if isinstance(name, int):
        return False
    path = os.fsdecode(name)
    return not os.path.isabs(path) or path.startswith(folder)


def warm_up() -> None:
    """Do the small run once, so that all is imported and loaded; what starts threads, elsewhere.

    Those are the training of a tokenizer, and the reading of predictions (Arrow's) for the last table of an experiment.
    """
    from sprachbund.cli import run

    printed, imported = os.memfd_create("printed"), os.memfd_create("imported")
    answers, errors = os.dup(1), os.dup(2)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    try:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            elsewhere(PRETRAIN, printed, imported)
            for command in (PRETRAIN, TRAIN):
                assert run([*command, *one_job(command)]) == 0, read_all(printed)
            elsewhere((*EXPERIMENT, *one_job(EXPERIMENT)), printed, imported)
            os.chdir("/")
    finally:
        os.dup2(errors, 2)
    for name in read_all(imported).split():
        importlib.import_module(name)
    sys.stdout.flush()
    os.dup2(answers, 1)


def elsewhere(command: Command, printed: int, imported: int) -> None:
    """Run a command in a child, which writes down what it has imported of ours and of the libraries for numbers."""
    from sprachbund.cli import run

    child = os.fork()
    if child == 0:
        status = run(command)
        names = [name for name in sys.modules if name.partition(".")[0] in ("sprachbund", "pyarrow", "scipy")]
        os.write(imported, "".join(f"{name}\n" for name in names).encode())
        os._exit(status)
    assert os.waitpid(child, 0)[1] == 0, read_all(printed)


def one_job(command: Sequence[str]) -> tuple[str, ...]:
    return () if command[0] == "pretrain" else ("--jobs", "1")


if __name__ == "__main__":
    warm_up()
    serve(watched, ("changes", "printed"))
