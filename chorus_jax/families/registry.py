"""The model families by name: one line per family."""

from pathlib import Path

from chorus_jax.checkpoints import Card
from chorus_jax.families.ltx.family import LTXFamily
from chorus_jax.families.ltx2.family import LTX2Family
from chorus_jax.families.protocols import Defaults, Family, LoadOptions, VideoModel
from chorus_jax.families.wan.family import WanFamily

FAMILIES: dict[str, Family] = {
    family.name: family for family in (WanFamily(), LTXFamily(), LTX2Family())
}


def family_of(folder: str | Path) -> Family:
    """The family of a checkpoint folder.

    Raises:
        ValueError: if the folder holds no checkpoint, or one of an unknown family.
    """
    name = Card.read(folder).family
    if name not in FAMILIES:
        raise ValueError(
            f"{folder} is a checkpoint of the family {name!r}, which this version does "
            f"not know: it knows {', '.join(FAMILIES)}"
        )
    return FAMILIES[name]


def load(folder: str | Path, options: LoadOptions = LoadOptions()) -> VideoModel:
    """Loads the model of a checkpoint folder.

    Raises a ValueError if `family_of` or `Family.load` refuses the folder.
    """
    return family_of(folder).load(Path(folder), options)


def published(name: str) -> Defaults:
    """The settings of a published model, such as `Wan 2.1 T2V-14B`.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
    """
    known = {
        key: row
        for family in FAMILIES.values()
        for key, row in family.published.items()
    }
    if name not in known:
        raise ValueError(
            f"no published model is {name!r}: known are {', '.join(known)}"
        )
    return known[name]
