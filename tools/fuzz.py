"""Fuzz every parser of files with atheris, which looks for inputs that reach lines that no input has reached before.

    make fuzz FUZZ_SECONDS=60

Each parser of `tests/hostile/parsers.py` runs in a process of its own, for so many seconds, with 2 GB of memory and 10 seconds
for one input. What comes of an input is a value or one sentence that names the file; anything else ends that parser's run, and
the input is kept. Says how many inputs each got, and ends with status 1 if one of them was too much.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

INPUT_SECONDS, MEMORY = 10, 2048
LARGEST = 4096
"""Bytes of an input."""


def main() -> int:
    """Fuzz all parsers, or those that are named."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--seconds", type=int, default=60, help="for each parser")
    asked.add_argument("--parsers", nargs="*", default=[], help="names; default: all")
    asked.add_argument("--keep", type=Path, default=Path("fuzz"), help="folder for inputs that were too much")
    asked.add_argument("--one", default="", help=argparse.SUPPRESS)
    asked.add_argument("--corpus", type=Path, help=argparse.SUPPRESS)
    options = asked.parse_args()
    if options.one:
        return _fuzz(options.one, options.corpus, options.seconds, options.keep)
    from hostile.parsers import PARSERS

    outcomes = {name: _started(name, options) for name in options.parsers or PARSERS}
    print(f"\n| parser | inputs in {options.seconds} s | found |\n|---|---|---|")
    for name, (inputs, finding) in outcomes.items():
        print(f"| {name} | {inputs:,} | {finding or 'nothing'} |")
    print(f"| all | {sum(inputs for inputs, _ in outcomes.values()):,} | |")
    return int(any(finding for _, finding in outcomes.values()))


def _started(name: str, options: argparse.Namespace) -> tuple[int, str]:
    """Fuzz one parser in a process of its own; return how many inputs it got, and what was found."""
    options.keep.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as corpus:
        line = ["--one", name, "--corpus", corpus, "--seconds", str(options.seconds), "--keep", str(options.keep)]
        done = subprocess.run(
            [sys.executable, __file__, *line],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    inputs = [int(number) for number in re.findall(r"^(?:#|Done )(\d+)", done.stdout, re.MULTILINE)]
    finding = ""
    if done.returncode:
        log = options.keep / f"{re.sub('[^a-z]+', '-', name.lower())}.log"
        log.write_text(done.stdout, encoding="utf-8")
        finding = f"see {log}"
    print(f"{name}: {max(inputs, default=0):,} inputs, {finding or 'nothing found'}", flush=True)
    return max(inputs, default=0), finding


def _fuzz(name: str, corpus: Path, seconds: int, keep: Path) -> int:
    import atheris

    with atheris.instrument_imports(include=["sprachbund", "json", "yaml", "csv", "tarfile"]):
        from hostile.parsers import PARSERS
    warnings.simplefilter("ignore")
    parser = PARSERS[name]
    (corpus / "seed").write_bytes(parser.seed)
    folder = Path(tempfile.mkdtemp(dir=corpus.parent))
    limits = [f"-max_total_time={seconds}", f"-timeout={INPUT_SECONDS}", f"-rss_limit_mb={MEMORY}"]
    kept = f"-artifact_prefix={keep}/{re.sub('[^a-z]+', '-', name.lower())}-"
    atheris.Setup(
        [sys.argv[0], str(corpus), *limits, f"-max_len={LARGEST}", kept], lambda content: parser.feed(folder, content)
    )
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
