"""Benchmarks measure the library from outside: they use its public names only."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from chorus_jax import engine

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FILES = sorted(BENCHMARKS.rglob("*.py"))
PACKAGES = ("chorus_jax", "kernels_pallas", "convert", "configs")
DOOR = "chorus_jax.engine"
NAMED_TUPLES = {"_replace", "_asdict", "_fields", "_make"}  # public all the same


def imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Modules of ours that are imported from, and the names; "" for a module itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((str(node.module), alias.name) for alias in node.names)


def private(name: str) -> bool:
    """Whether a name is private by its underscore."""
    shown = name.endswith("__") or name in NAMED_TUPLES
    return name.startswith("_") and not shown


def faults(text: str) -> list[str]:
    """What a source takes that is not public."""
    tree, found = ast.parse(text), []
    ours = [x for x in imported(tree) if x[0].split(".")[0] in PACKAGES]
    for module, name in ours:
        inside = module.startswith(f"{DOOR}.")
        if inside or any(map(private, (*module.split("."), name))):
            found.append(f"{module} {name}".strip())
        if module == DOOR and name not in ("", *engine.__all__):
            found.append(f"{module} {name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and private(node.attr):
            if not (isinstance(node.value, ast.Name) and node.value.id == "self"):
                found.append(ast.unparse(node))
        if isinstance(node, ast.ClassDef):
            bases = {ast.unparse(base).split(".")[-1] for base in node.bases}
            found += [f"class {node.name}({x})" for x in bases & {"Engine", "Pipeline"}]
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda x: str(x.relative_to(BENCHMARKS)))
def test_a_benchmark_reaches_into_nothing_private(file):
    assert faults(file.read_text()) == []


@pytest.mark.parametrize(
    "text",
    [
        "from chorus_jax.engine.running import Hit",
        "import chorus_jax.engine.task",
        "from chorus_jax.engine import sources",
        "from chorus_jax.inter_request.store import _folder",
        "engine.cache._store",
        "class Watched(Engine): pass",
    ],
)
def test_what_is_private_is_found(text):
    assert len(faults(text)) == 1


def test_what_is_public_is_not():
    text = "from chorus_jax.engine import Engine\nrow._replace(a=1)\nself._made"
    assert faults(text) == []
