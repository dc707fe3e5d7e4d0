"""Rules of the house: the wheel's content, a fresh installation, and imports."""

import ast
import importlib.metadata
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PACKAGES = ("chorus_jax", "kernels_pallas", "convert", "configs")


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, **options)


def succeed(*command, **options):
    result = run(*command, **options)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what is packaged: building in place would reuse an old build folder."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in (*PACKAGES, "tests", "benchmarks"):
        shutil.copytree(
            ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def wheel(checkout, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder))
    succeed(sys.executable, "-m", "pip", "wheel", *options, str(checkout))
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def elsewhere(wheel, tmp_path_factory):
    """A fresh environment with the wheel; the dependencies are borrowed from this one.

    A .pth file appends this environment's packages behind the fresh one's own. Nested
    .pth files are not followed, so an editable install of the checkout stays out.
    """
    home = tmp_path_factory.mktemp("elsewhere")
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    here = sysconfig.get_path("purelib")
    own = Path(succeed(python, "-c", "import site; print(site.getsitepackages()[0])"))
    pip = (sys.executable, "-m", "pip", "--python", str(python))
    succeed(*pip, "install", "--no-deps", "--no-index", str(wheel))
    (own.parent / "site-packages" / "borrowed.pth").write_text(here)
    return home


def test_wheel_holds_the_packages_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == set(PACKAGES)
    modules = {
        str(p.relative_to(ROOT)) for t in PACKAGES for p in ROOT.glob(f"{t}/**/*.py")
    }
    assert modules == {name for name in names if name.endswith(".py")}
    assert any(name.endswith("LICENSE") for name in names)


def test_wheel_holds_the_shipped_weights(wheel):
    packed = zipfile.ZipFile(wheel)
    names = [n for n in packed.namelist() if n.startswith("chorus_jax/weights/")]
    folder = ROOT / "chorus_jax" / "weights"
    files = {
        str(path.relative_to(ROOT)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert "chorus_jax/weights/shapes/model.json" in files
    assert {name: packed.read(name) for name in names} == files


@pytest.mark.parametrize("package", PACKAGES)
def test_the_installed_package_is_the_wheels(elsewhere, tmp_path, package):
    code = f"import {package}; print({package}.__file__)"
    where = succeed(elsewhere / "bin" / "python", "-c", code, cwd=tmp_path)
    assert where.startswith(str(elsewhere))


@pytest.mark.parametrize(
    "command",
    [("chorus", "--help"), ("chorus", "info"), ("python", "-m", "convert", "--help")],
)
def test_the_wheel_runs_in_a_fresh_environment(elsewhere, tmp_path, command):
    program, *arguments = command
    assert succeed(elsewhere / "bin" / program, *arguments, cwd=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param((), id="50 steps", marks=pytest.mark.slow),
        pytest.param(("--steps", "4"), id="4 steps"),
    ],
)
def test_the_wheel_makes_a_video_from_nothing(elsewhere, tmp_path, steps):
    command = ("generate", "a red circle moves left on a gray background", *steps)
    said = succeed(elsewhere / "bin" / "chorus", *command, cwd=tmp_path)
    assert ("transformer_4step" in said) == bool(steps)
    assert [path.name for path in tmp_path.iterdir()] == ["video.mp4"]


def test_importing_chorus_jax_stays_light():
    """Neither torch nor transformers: both take seconds and are not always there."""
    modules = sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "chorus_jax").glob("**/*.py")
        if path.name not in ("__init__.py", "__main__.py")
    )
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    loaded = set(succeed(sys.executable, "-c", code, cwd=ROOT).split())
    assert not loaded & {"torch", "safetensors", "transformers", "diffusers", "scann"}


def third_party_imports(package):
    for path in (ROOT / package).glob("**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module.split(".")[0]


@pytest.mark.parametrize(
    "package, extras", [(p, ("convert",) if p == "convert" else ()) for p in PACKAGES]
)
def test_every_import_is_a_declared_dependency(package, extras):
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    lists = [config["options"]["install_requires"]]
    lists += [config["options.extras_require"][extra] for extra in extras]
    lines = [line for text in lists for line in text.splitlines() if line]
    declared = {re.sub("[-_.]+", "-", Requirement(line).name.lower()) for line in lines}
    distributions = importlib.metadata.packages_distributions()
    for name in set(third_party_imports(package)) - set(PACKAGES):
        if name not in sys.stdlib_module_names:
            owners = {re.sub("[-_.]+", "-", o.lower()) for o in distributions[name]}
            assert owners & declared, f"{package} imports {name}: not in setup.cfg"


def test_every_module_has_its_place_in_the_layers():
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    layers = config["importlinter:contract:layers"]["layers"]
    placed = set(re.findall(r"chorus_jax\.(\w+)", layers))
    paths = [p for p in (ROOT / "chorus_jax").iterdir() if not p.name.startswith("__")]
    modules = {
        p.stem for p in paths if p.suffix == ".py" or (p / "__init__.py").exists()
    }
    assert modules <= placed, "name the new module in setup.cfg's layers"


VIOLATIONS = {
    "chorus_jax/text/prompts.py": (
        "import torch",
        "torch and safetensors stay in convert",
    ),
    "chorus_jax/devices/sharding.py": (
        "import chorus_jax.engine.pipeline",
        "imports run one way",
    ),
    "chorus_jax/families/wan/dit.py": ("import scann", "scann only behind the index"),
    "kernels_pallas/__init__.py": ("import flax", "kernels know jax only"),
    "convert/rules.py": ("import chorus_jax.text.prompts", "convert knows models"),
}


@pytest.mark.parametrize("path", VIOLATIONS)
def test_the_import_rules_catch_a_violation(checkout, tmp_path, path):
    line, contract = VIOLATIONS[path]
    shutil.copytree(checkout, tmp_path, dirs_exist_ok=True)
    with open(tmp_path / path, "a") as file:
        file.write(f"\n{line}\n")
    linter = Path(sysconfig.get_path("scripts")) / "lint-imports"
    result = run(linter, "--no-cache", cwd=tmp_path)
    assert result.returncode == 1
    assert re.search(rf"{contract}.* BROKEN", result.stdout), result.stdout
