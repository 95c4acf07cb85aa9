"""docs/architecture.md, held to by reading imports; those inside functions and for type checkers count like the others."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "sprachbund"
SCRIPTS = (
    "aggregate_results.py",
    "evaluate_specific_model.py",
    "run_large_scale_experiment.py",
    "run_merging_pipeline.py",
)

ROWS = (
    (
        "errors",
        "registry",
        "uses",
        "locales",
        "public",
        "cache",
        "digests",
        "files",
        "untrusted",
        "hub_answers",
        "locks",
        "parallel",
        "energy",
    ),
    ("methods", "similarity", "data", "checkpoints"),
    ("adaptation", "recipe", "weighting", "config", "plan", "store", "cards", "tracking"),
    ("merging", "inference", "training"),
    ("ensembles", "evaluation", "measures", "statistics"),
    ("selection", "choosing", "heads", "coefficients", "distillation", "candidates", "blends", "mergekit", "survey"),
    (
        "inputs",
        "cells",
        "zero_shot",
        "measuring",
        "adapt",
        "executors",
        "prepared",
        "experiment",
        "preparing",
        "estimate",
        "simulation",
        "scale",
        "commands",
        "cluster",
    ),
    ("report",),
    ("api",),
    ("cli", "__main__"),
)
"""A row imports from the rows above it and, within itself, leftwards."""

STRANGERS = {"methods", "similarity", "data", "checkpoints"}
"""Neighbours in a row that don't know each other, not even leftwards."""

KNOWN_TO = {
    "methods": {"errors", "registry"},
    "report": {"errors", "uses", "locales", "public", "files", "similarity", "store"},
}
"""Units that may know less than their row allows."""

NOT_KNOWN_TO = {
    "merging": {"weighting", "config", "plan", "store", "cards"},
    "evaluation": {"recipe", "weighting", "config", "plan", "cards", "merging", "training"},
}
"""Units that a row would allow: merging never selects, weighs or records; evaluation can't tell how a model was made."""

WORLDLY = {"csv", "glob", "io", "json", "logging", "os", "pathlib", "random", "shutil", "tempfile", "time"}
"""Standard modules that pure maths has no use for: files, logs, clocks, global random state."""

MODULES = sorted(PACKAGE.rglob("*.py"))
PROGRAMS = [*MODULES, *(ROOT / name for name in SCRIPTS), *sorted((ROOT / "tools").glob("*.py"))]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


every_module = pytest.mark.parametrize("path", MODULES, ids=named)
every_program = pytest.mark.parametrize("path", PROGRAMS, ids=named)


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported(path: Path) -> Iterator[str]:
    """Yield the full name of all that is imported anywhere in a file: ``os``, ``sprachbund.errors.UserError``."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{named(path)}, line {node.lineno}: relative imports hide who knows whom"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def unit_of(path: Path) -> str:
    """Return what a file belongs to: the package or module directly under sprachbund."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def units() -> set[str]:
    return {unit_of(path) for path in MODULES} - {"__init__"}


def known_units(path: Path) -> set[str]:
    """Return the other units that a file imports from; the root package (its version) is everyone's."""
    mine = [name.split(".") for name in imported(path)]
    return {name[1] for name in mine if name[0] == "sprachbund" and len(name) > 1 and name[1] in units()} - {
        unit_of(path)
    }


def allowed() -> dict[str, set[str]]:
    """Return the units that each unit may know, by its place in the rows."""
    above: set[str] = set()
    may_know = {}
    for row in ROWS:
        for place, unit in enumerate(row):
            left = {other for other in row[:place] if not {unit, other} <= STRANGERS}
            may_know[unit] = KNOWN_TO.get(unit, above | left) - NOT_KNOWN_TO.get(unit, set())
        above |= set(row)
    return may_know


# Who may know whom


def test_the_page_has_the_same_rows() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    _, _, section = page.partition("## Who may know whom")
    section, _, _ = section.partition("\n## ")
    found = re.findall(r"^(\d+)\. `([^`]+)`", section, flags=re.MULTILINE)
    assert [int(number) for number, _ in found] == list(range(1, len(ROWS) + 1))
    assert tuple(tuple(row.split(", ")) for _, row in found) == ROWS


def test_every_module_has_its_place() -> None:
    placed = [unit for row in ROWS for unit in row]
    assert len(placed) == len(set(placed))
    assert set(placed) == units()


@every_module
def test_imports_go_up_and_leftwards(path: Path) -> None:
    unit = unit_of(path)
    may_know = {"api"} if unit == "__init__" else allowed()[unit]
    too_far = known_units(path) - may_know
    assert not too_far, f"{named(path)} imports {', '.join(sorted(too_far))}: see docs/architecture.md"


def test_the_rows_would_notice() -> None:
    """The rule itself: what it must refuse, and what it must not."""
    may_know = allowed()
    assert "merging" not in may_know["recipe"]
    assert "cards" not in may_know["store"]
    assert "similarity" not in may_know["checkpoints"]
    assert "merging" not in may_know["evaluation"]
    assert {"recipe", "weighting"} <= may_know["config"]
    assert may_know["cli"] >= units() - {"cli", "__main__"}
    lazy = set(imported(PACKAGE / "cli" / "similarity.py"))
    assert "sprachbund.choosing.choose" in lazy, "imports inside functions are not seen"


# What nobody does


@pytest.mark.parametrize("path", sorted((PACKAGE / "methods").glob("*.py")), ids=named)
def test_methods_are_pure_maths(path: Path) -> None:
    assert not {name.split(".")[0] for name in imported(path)} & WORLDLY
    calls = {
        node.func.id
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert "open" not in calls
    attributes = {ast.unparse(node) for node in ast.walk(parsed(path)) if isinstance(node, ast.Attribute)}
    assert not {name for name in attributes if re.fullmatch(r"(np|numpy)\.random\.(?!Generator$)\w+", name)}
    assert "torch.manual_seed" not in attributes


@pytest.mark.parametrize("path", sorted((PACKAGE / "report").glob("*.py")), ids=named)
def test_reports_need_no_models(path: Path) -> None:
    assert not {name.split(".")[0] for name in imported(path)} & {"torch", "transformers", "huggingface_hub"}


@every_program
def test_nobody_runs_python_by_the_back_door(path: Path) -> None:
    names = set(imported(path))
    # They kill, mount, measure, or are programs.
    starts = path.stem in {"soak_resume", "inject_faults", "bench", "fuzz", "check_lock"}
    excepted = {"subprocess"} if starts else set()
    assert not {name.split(".")[0] for name in names} & ({"subprocess", "runpy", "pty", "site"} - excepted)
    if path not in (PACKAGE / "parallel.py", ROOT / "tools" / "soak_resume.py"):  # which kills its children
        assert not {name.split(".")[0] for name in names} & {"multiprocessing", "concurrent"}
    used = {ast.unparse(node) for node in ast.walk(parsed(path)) if isinstance(node, ast.Attribute)} | names
    assert not {
        name
        for name in used
        if re.fullmatch(r"sys\.path|os\.(system|popen|exec\w+|spawn\w+|posix_spawn\w*|fork)", name)
    }


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_know_the_command_line_alone(script: str) -> None:
    assert set(imported(ROOT / script)) == {"sprachbund.cli.script"}


# What a module shows


def exported(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return list(ast.literal_eval(node.value))
    return None


def bound(body: list[ast.stmt]) -> Iterator[str]:
    """Yield the names that statements at the top of a module bind."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))
        elif isinstance(node, ast.If | ast.Try):
            handled = [handler.body for handler in node.handlers] if isinstance(node, ast.Try) else []
            for block in (node.body, *handled, node.orelse):
                yield from bound(block)


@every_module
def test_modules_say_what_they_show(path: Path) -> None:
    tree = parsed(path)
    assert ast.get_docstring(tree), f"{named(path)} does not open with its idea"
    if len(tree.body) == 1:
        return
    names = exported(tree)
    assert names is not None, f"{named(path)} has no __all__"
    assert len(names) == len(set(names))
    assert not set(names) - set(bound(tree.body)), "names that are not there"


def test_the_package_carries_its_types() -> None:
    assert (PACKAGE / "py.typed").is_file()
