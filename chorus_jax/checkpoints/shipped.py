"""The weights that come with the package, a checkpoint folder each."""

from pathlib import Path

ROOT = Path(__file__).parents[1] / "weights"


def names() -> list[str]:
    """The shipped weights; none if the package was installed without them."""
    return sorted(path.name for path in ROOT.glob("*") if path.is_dir())


def folder(name: str = "shapes") -> Path:
    """The folder of shipped weights. ValueError if this installation has none."""
    path = ROOT / name
    if name not in names():
        raise ValueError(
            f"no weights {name!r} came with this installation ({path} is missing): "
            "install from a whole checkout, or give --weights DIR, a converted folder"
        )
    return path
