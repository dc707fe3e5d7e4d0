"""Changes of the code that decides pixels are noticed."""

import ast
import hashlib
import sys
from pathlib import Path

import pytest

from chorus_jax.engine import pixels

ROOT = Path(__file__).parents[3]


def sources():
    for name in pixels.FILES:
        path = ROOT / name
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def code(text):
    """The syntax tree of a file as text, without docstrings and comments."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [x for x in body if not is_text(x)] or [ast.Pass()]
    return ast.unparse(tree)


def is_text(node):
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="other Pythons write code otherwise"
)
def test_the_version_is_that_of_the_code():
    digest = hashlib.sha256()
    for path in sources():
        digest.update(f"{path.relative_to(ROOT)}\n".encode())
        digest.update(code(path.read_text()).encode())
    made = digest.hexdigest()[:16]
    assert made == pixels.DIGEST, (
        "code that decides pixels was changed: if any video changes by a bit, raise "
        f"VERSION in chorus_jax/engine/pixels.py; then DIGEST there is {made!r}"
    )


def test_only_code_counts():
    plain = code("def f(x):\n    return x\n")
    assert plain == code('def f(x):\n    """Text."""\n    return x  # why\n')
    assert plain != code("def f(x):\n    return -x\n")


def test_every_folder_and_file_is_there():
    assert all((ROOT / name).exists() for name in pixels.FILES)
