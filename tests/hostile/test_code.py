"""What runs code of others is nowhere in the package: no pickle but torch's restricted one, no remote code, no eval."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import sprachbund

MODULES = sorted(Path(sprachbund.__file__).parent.rglob("*.py"))
NEVER = {
    "eval", "exec", "compile", "os.system", "os.popen", "pickle.load", "pickle.loads", "pickle.Unpickler", "yaml.load",
    "yaml.unsafe_load", "yaml.full_load", "marshal.loads", "shelve.open", "tarfile.extractall", "shutil.unpack_archive",
}  # fmt: skip

OF_TRANSFORMERS = (".from_pretrained", ".from_config")
"""Unless they are told with each call, they ask at the terminal whether code of others may run, and read the answer there."""
ITS_OWN = ("PeftModel.", "_widened(")
"""What knows no code of others, or is handed what its caller says."""


def calls(text: str) -> Iterator[tuple[str, dict[str, ast.expr]]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {each.arg: each.value for each in node.keywords if each.arg}


def complaints(text: str) -> list[str]:
    """What in a module may run code of others."""
    found = []
    for name, keywords in calls(text):
        said = {key: ast.unparse(value) for key, value in keywords.items()}
        if name in NEVER or name.endswith((".extractall", ".extract")):
            found.append(name)
        unsaid = "None" if name.endswith(OF_TRANSFORMERS) and not name.startswith(ITS_OWN) else "False"
        if said.get("trust_remote_code", unsaid) != "False":
            found.append("trust_remote_code")
        if name == "torch.load" and said.get("weights_only") != "True":
            found.append("torch.load without weights_only")
        if name.endswith("np.load") and said.get("allow_pickle") != "False":
            found.append("np.load without allow_pickle=False")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_module_runs_code_of_others(path: Path) -> None:
    assert complaints(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    ["eval('1')", "pickle.load(x)", "yaml.load(x, Loader=y)", "AutoModel.from_pretrained(x, trust_remote_code=True)",
     "AutoConfig.from_pretrained(x)", "kind.from_config(x)",
     "torch.load(x)", "torch.load(x, weights_only=False)", "np.load(x)", "archive.extractall(x)"],
)  # fmt: skip
def test_what_does_is_seen(line: str) -> None:
    assert len(complaints(line)) == 1
