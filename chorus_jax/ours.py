"""The packages installed beside chorus_jax, found by their place.

`configs` and `convert` are names that a user's own files have too. Found on `sys.path`,
a `configs` folder or a `convert.py` in the working folder would run in their place.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

BESIDE = Path(__file__).parents[1]


def folder_of(package: str) -> Path:
    """The folder of a package of this distribution."""
    return BESIDE / package


def package(name: str) -> ModuleType:
    """A package of this distribution, whatever else has its name.

    It takes the name in `sys.modules`, so that its own imports are of itself.

    Raises:
        ValueError: if it is not installed.
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
