"""The weights that come with the package: one checkpoint folder per name."""

from pathlib import Path

ROOT = Path(__file__).parents[1] / "weights"


def names() -> list[str]:
    """The names of shipped weights; none if the package was installed without them."""
    return sorted(path.name for path in ROOT.glob("*") if path.is_dir())


def locate(model: str | Path) -> Path:
    """The folder of a model, given by name or by path.

    Args:
        model: the name of shipped weights, or the path of a checkpoint folder. A name
            has precedence: write `./shapes` for a folder called `shapes`.

    Raises:
        ValueError: if there is neither.
    """
    if model in names():
        return folder(str(model))
    path = Path(model)
    if not str(model) or not path.is_dir():
        raise ValueError(
            f"{str(model)!r} is neither a file, a folder nor the name of weights that "
            f"came with chorus_jax ({', '.join(names()) or 'none'}): give one of them"
        )
    return path


def folder(name: str = "shapes") -> Path:
    """The folder of shipped weights. Raises a ValueError if this installation has
    none."""
    path = ROOT / name
    if name not in names():
        raise ValueError(
            f"no weights {name!r} came with this installation ({path} is missing): "
            "install from a whole checkout, or give --weights DIR, a converted folder"
        )
    return path
