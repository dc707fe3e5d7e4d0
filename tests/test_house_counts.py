"""Numbers that the design promises: passes written out, loops, imports, places."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("chorus_jax", "kernels_pallas", "convert", "configs", "benchmarks")

# Tests of more than one module, by what they are about.
PLACED_BY_QUESTION = {
    "tests/test_as_users.py",
    "tests/test_house.py",
    "tests/test_house_counts.py",
    "tests/configs/test_configs.py",
    "tests/chorus_jax/families/ltx/test_makers.py",
    "tests/chorus_jax/families/ltx/test_reuse.py",
    "tests/chorus_jax/families/ltx2/test_makers.py",
    "tests/chorus_jax/families/ltx2/test_reuse.py",
    "tests/chorus_jax/families/toy/test_seams.py",
    "tests/chorus_jax/families/wan/test_few_steps.py",
    "tests/chorus_jax/families/wan/test_i2v.py",
    "tests/chorus_jax/families/wan/test_makers.py",
    "tests/chorus_jax/families/wan/test_reuse.py",
    "tests/chorus_jax/families/wan/test_ti2v.py",
    "tests/chorus_jax/families/wan/test_v2v.py",
    "tests/chorus_jax/cli/demo/test_demo.py",
    "tests/chorus_jax/inter_request/index/test_index.py",
    "tests/chorus_jax/inter_request/index/test_index_changes.py",
    "tests/chorus_jax/schedulers/test_parity.py",
    "tests/chorus_jax/schedulers/test_solvers.py",
    "tests/benchmarks/accelerator/test_rehearsal.py",
    "tests/benchmarks/test_doors.py",
    "tests/convert/test_shipped_in_diffusers.py",
    "tests/kernels_pallas/test_lowering.py",
}


@cache
def trees():
    """The syntax trees of all files, by module."""
    made = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            made[".".join(parts)] = ast.parse(path.read_text())
    return made


@cache
def imports():
    """The modules of ours that each module names in an import, wherever that stands."""
    made = {}
    for module, tree in trees().items():
        named = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                inside = {f"{node.module}.{alias.name}" for alias in node.names}
                named |= inside & trees().keys()
                if not inside <= trees().keys():
                    named.add(node.module)
        made[module] = (named & trees().keys()) - {module}
    return made


def functions(package):
    """Every function of a package with its module."""
    for module, tree in trees().items():
        if module.split(".")[0] == package:
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef):
                    yield module, node


def test_a_forward_pass_is_written_out_once():
    """Step caches are what takes a pass apart; training looks at its middle."""
    pieces, whole = {"stem", "blocks", "head"}, set()
    for module, function in functions("chorus_jax"):
        calls = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
        called = {x.attr for x in calls if isinstance(x, ast.Attribute)}
        if pieces <= called and not module.startswith("chorus_jax.intra_request"):
            whole.add((module, function.name))
    once = ("chorus_jax.families.forward", "evaluate")
    assert whole - {("chorus_jax.training.flow", "unrolled")} == {once}


def test_there_is_one_denoising_loop():
    """A solver's step is taken in one module."""
    taken = set()
    for module, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr == "step":
                of = getattr(node.value, "attr", getattr(node.value, "id", ""))
                if of in ("solver", "solvers"):
                    taken.add(module)
    library = {x for x in taken if not x.startswith(("chorus_jax.training", "bench"))}
    assert library == {"chorus_jax.denoise.solving"}


FAMILIES = {x.parent.name for x in (ROOT / "chorus_jax").glob("families/*/family.py")}


def test_a_family_is_known_to_the_registry_alone():
    knowing = set()
    for module, named in imports().items():
        for family in FAMILIES:
            folder = f"chorus_jax.families.{family}"
            within = lambda x: f"{x}.".startswith(f"{folder}.")
            if not within(module) and any(map(within, named)):
                knowing.add(module)
    # Of configs an import contract says the same, but for training's.
    above = ("chorus_jax.training", "convert", "benchmarks", "configs")
    library = {x for x in knowing if not x.startswith(above)}
    assert library == {"chorus_jax.families.registry"}


def reached(module):
    """The modules that importing a module would import in turn."""
    found, waiting = set(), [module]
    while waiting:
        fresh = imports()[waiting.pop()] - found
        found |= fresh
        waiting += fresh
    return found


def test_imports_have_no_cycle():
    """Not by an import within a function either, nor by one for types alone."""
    turning = {module for module in imports() if module in reached(module)}
    assert turning == set()


def placed():
    return sorted(str(x.relative_to(ROOT)) for x in (ROOT / "tests").rglob("test_*.py"))


@pytest.mark.parametrize("test", placed())
def test_a_test_lies_at_the_path_of_its_source(test):
    """`tests/a/test_b.py`, or `test_b_of_c.py`, is of `a/b.py`."""
    if test in PLACED_BY_QUESTION:
        return
    folder = ROOT / Path(test).parent.relative_to("tests")
    words = Path(test).stem.split("_")[1:]
    names = ["_".join(words[:end]) for end in range(1, len(words) + 1)]
    names += [f"__{name}__" for name in names]
    assert any(
        (folder / f"{name}.py").exists() or (folder / name).is_dir() for name in names
    ), f"no source for {test}"


def test_few_modules_are_at_the_root():
    assert len(list((ROOT / "chorus_jax").glob("*.py"))) <= 8


# What each network has of its own.
PARTS_OF_A_NETWORK = {"Attention", "Block", "Head"}


def test_one_class_name_means_one_thing():
    modules = {}
    for module, tree in trees().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                modules.setdefault(node.name, []).append(module)
    for name in PARTS_OF_A_NETWORK:
        modules.pop(name)
    assert {k: v for k, v in modules.items() if len(v) > 1} == {}


def is_record(node):
    """Whether a class is a dataclass or a NamedTuple."""
    words = [ast.unparse(x) for x in (*node.decorator_list, *node.bases)]
    return any("dataclass" in word or word.endswith("NamedTuple") for word in words)


def test_every_public_record_lists_its_fields():
    """Under `Attributes:`, by name."""
    wrong = []
    for module, tree in trees().items():
        for node in filter(lambda x: isinstance(x, ast.ClassDef), ast.walk(tree)):
            names = [x.target.id for x in node.body if isinstance(x, ast.AnnAssign)]
            public = [name for name in names if not name.startswith("_")]
            if node.name.startswith("_") or not public or not is_record(node):
                continue
            _, _, section = (ast.get_docstring(node) or "").partition("\nAttributes:\n")
            listed = re.findall(r"^    (\w+): ", section.split("\n\n")[0], re.MULTILINE)
            if sorted(listed) != sorted(public):
                wrong.append(f"{module}.{node.name}: {listed}, not {public}")
    assert wrong == []
