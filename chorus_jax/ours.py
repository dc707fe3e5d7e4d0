"""Imports the packages that are installed beside chorus_jax, by their path.

A user's own files may be called `configs` or `convert` as well. An ordinary import
would take a `configs` folder or a `convert.py` in the working folder instead of ours.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

BESIDE = Path(__file__).parents[1]


def folder_of(package: str) -> Path:
    """The folder of a top-level package of this distribution."""
    return BESIDE / package


def package(name: str) -> ModuleType:
    """Imports a package of this distribution, even if another one has its name.

    It replaces any other package of this name in `sys.modules`, so that the modules of
    the package can import each other by name.

    Raises:
        ValueError: if the package is not installed.
    """
    file = folder_of(name) / "__init__.py"
    known = sys.modules.get(name)
    if known is not None and Path(known.__file__ or "") == file:
        return known
    if not file.is_file():
        raise ValueError(f"{name} did not come with this installation: {file} is gone")
    spec = importlib.util.spec_from_file_location(
        name, file, submodule_search_locations=[str(file.parent)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    for other in [other for other in sys.modules if other.startswith(f"{name}.")]:
        del sys.modules[other]
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
