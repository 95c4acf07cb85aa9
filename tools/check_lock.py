"""See that requirements.lock fits pyproject.toml, and ask whether anything in it is known to be vulnerable.

    make audit

The lock holds one version with its hashes for all that pyproject.toml asks for, to run and to develop, on every system; `make
lock` writes it. torch is not in it: which build of it is the right one depends on the machine, so the Makefile pins its
version, and what only comes with its CUDA build is left to that. The audit asks osv.dev through pip-audit, and installs
nothing for that. Where osv.dev cannot be reached within a few seconds, that is said and counts as no failure.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
SERVICE = "https://api.osv.dev/"
SECONDS, AUDIT_SECONDS = 5, 300
APART = "torch"


def main() -> int:
    """Check the lock, then audit it."""
    wrong = list(misfits(LOCK.read_text(encoding="utf-8"), *asked()))
    for each in wrong:
        print(f"requirements.lock: {each}: run make lock.", file=sys.stderr)
    if wrong:
        return 1
    print("requirements.lock fits pyproject.toml.", flush=True)
    return audit()


def asked() -> tuple[list[str], str]:
    """Return what pyproject.toml asks for, to run and to develop, and the Makefile's pin of torch."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pin = re.search(r"^TORCH \?= (\S+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert pin is not None, "the Makefile pins torch"
    return [*project["dependencies"], *project["optional-dependencies"]["dev"]], pin[1]


def misfits(lock: str, requirements: list[str], torch: str) -> Iterator[str]:
    """Yield what does not fit: a requirement without a version that it allows, a version without hash, an address."""
    entries = re.findall(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)([^\n]*\\?(?:\n +--hash=[^\n]+)*)", lock, re.MULTILINE)
    versions: dict[str, list[str]] = {}
    for name, version, rest in entries:
        versions.setdefault(canonicalize_name(name), []).append(version)
        if "--hash=sha256:" not in rest:
            yield f"{name} has no hash"
    if address := re.search(r"\w+://\S+|^--\S*(?:index|find-links)\S*", lock, re.MULTILINE):
        yield f"it names {address[0]}, and it should hold for any index"
    name, _, pinned = torch.partition("==")
    versions[name] = [pinned]
    for each in map(Requirement, requirements):
        there = versions.get(canonicalize_name(each.name), [])
        if not there or not any(each.specifier.contains(version, prereleases=True) for version in there):
            yield f"pyproject.toml asks for {each}, and there is {', '.join(there) or 'none'}"


def audit() -> int:
    """Ask whether a version of the lock is known to be vulnerable; skipped, with a word, where nobody can be asked."""
    try:
        urllib.request.urlopen(urllib.request.Request(SERVICE, method="HEAD"), timeout=SECONDS).close()
    except urllib.error.HTTPError:  # it is there, and has nothing at its root
        pass
    except OSError as error:
        print(f"audit skipped: {SERVICE} cannot be reached ({getattr(error, 'reason', error)}).")
        return 0
    line = ["-r", str(LOCK), "--disable-pip", "--vulnerability-service", "osv", "--progress-spinner", "off"]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pip_audit", *line], timeout=AUDIT_SECONDS, stderr=subprocess.PIPE, text=True
        )
    except subprocess.TimeoutExpired:
        print(f"audit skipped: no answer within {AUDIT_SECONDS} s.")
        return 0
    if done.returncode and ("ConnectionError" in done.stderr or "ServiceError" in done.stderr):
        print(f"audit skipped: {SERVICE} stopped answering.")
        return 0
    print(done.stderr, end="", file=sys.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
