"""Changes of the code that decides pixels are noticed."""

import ast
import hashlib
import sys
from pathlib import Path

import pytest

from chorus_jax.engine import pixels
from convert.syntax import code_of

ROOT = Path(__file__).parents[3]


# Modules that a video's run imports and that decide none of its pixels.
OTHERS = {
    "chorus_jax/__init__.py": "the door",
    "chorus_jax/checkpoints": "the weights in memory have a fingerprint",
    "chorus_jax/devices": "a mesh changes the last bits only",
    "chorus_jax/engine": "permissions, recipes and accounts (others are in FILES)",
    "chorus_jax/inter_request/__init__.py": "no code",
    "chorus_jax/inter_request/index": "finds entries, whose scores decide",
    "chorus_jax/inter_request/policy/__init__.py": "no code",
    "chorus_jax/inter_request/policy/policies.py": "a policy has a digest",
    "chorus_jax/inter_request/policy/policy_file.py": "a policy has a digest",
    "chorus_jax/ours.py": "finds packages",
    "chorus_jax/json_file.py": "reads JSON",
    "chorus_jax/inter_request/store": "checksums, and a version of the format",
}


def imported(path):
    """The files of this project that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
        for name in names:
            if name.split(".")[0] in ("chorus_jax", "kernels_pallas"):
                place = ROOT / name.replace(".", "/")
                found = (place.with_suffix(".py"), place / "__init__.py")
                yield from filter(Path.is_file, found)


def test_whatever_a_video_is_made_with_counts_or_is_known_not_to():
    pending, known = [ROOT / "chorus_jax/engine/engine.py"], set()
    while pending:
        path = pending.pop()
        if path not in known:
            known.add(path)
            pending += imported(path)
    assert len(known) > 150
    listed = (*pixels.FILES, *OTHERS)
    for path in known:
        name = path.relative_to(ROOT)
        inside = {str(name), *map(str, name.parents)}
        assert inside & {*listed}, f"{name} decides pixels or not: say so here"


def sources():
    for name in pixels.FILES:
        path = ROOT / name
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="other Pythons write code otherwise"
)
def test_the_version_is_that_of_the_code():
    digest = hashlib.sha256()
    for path in sources():
        digest.update(f"{path.relative_to(ROOT)}\n".encode())
        digest.update(code_of(path.read_text()).encode())
    made = digest.hexdigest()[:16]
    assert made == pixels.DIGEST, (
        "code that decides pixels was changed: in chorus_jax/engine/pixels.py the new "
        f"DIGEST there is {made!r}"
    )


def test_every_folder_and_file_is_there():
    assert all((ROOT / name).exists() for name in pixels.FILES)
