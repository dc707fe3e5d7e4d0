"""Models without their weights: of converted folders, or published ones by name."""

import re
from dataclasses import dataclass
from pathlib import Path

from chorus_jax.checkpoints import Card, shipped
from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.families.outlines import Outline, OutlinedFamily
from chorus_jax.families.protocols import Defaults, Family
from chorus_jax.families.registry import FAMILIES, family_of


@dataclass(frozen=True, eq=False)
class PlannedModel:
    """A model whose memory is planned.

    Attributes:
        name: the name of the model, or its folder.
        outline: its parts without weights.
        defaults: the model's settings for fields that a request does not give.
    """

    name: str
    outline: Outline
    defaults: Defaults


def planned_model(model: str) -> PlannedModel:
    """Finds the model of a converted folder, or a published model.

    Args:
        model: the path of a folder, the name of shipped weights, or the name of a
            published model, such as `wan21_14b`; part of such a name is enough if it
            is unambiguous.

    Raises:
        ValueError: for an unknown name, listing the known ones, and for a folder that
            holds no checkpoint.
    """
    if model in shipped.names() or Path(model).is_dir():
        folder = shipped.locate(model)
        family = family_of(folder)
        outlined = outlining(family).outline(Card.read(folder), TRANSFORMER)
        return PlannedModel(str(model), outlined, family.defaults(folder))
    family, name = published_name(model)
    outlined = outlining(family).outline(outlining(family).card(name))
    return PlannedModel(name, outlined, family.published[name])


def outlining(family: Family) -> OutlinedFamily:
    """The family as an OutlinedFamily. Raises a ValueError if it cannot outline its
    models without weights."""
    if not isinstance(family, OutlinedFamily):
        raise ValueError(f"models of the family {family.name} cannot be planned for")
    return family


# The models that configs of other releases run.
RELEASES = {
    "causvid_1p3b": "Wan 2.1 T2V-1.3B",
    "fastwan21_1p3b": "Wan 2.1 T2V-1.3B",
    "self_forcing_1p3b": "Wan 2.1 T2V-1.3B",
    "fastwan21_14b_480p": "Wan 2.1 T2V-14B",
    "fastwan22_ti2v_5b": "Wan 2.2 TI2V-5B",
    "ltx23_hq": "LTX-2.3 22B",
    "wan21_i2v_480p_4step": "Wan 2.1 I2V-14B-480P",
    "wan22_i2v_a14b_4step": "Wan 2.2 I2V-A14B",
    "wan22_t2v_a14b_4step": "Wan 2.2 T2V-A14B",
}


def published_name(words: str) -> tuple[Family, str]:
    """The family and the full name of the published model that `words` refer to.

    Raises:
        ValueError: if no model has such a name, or several do.
    """
    names = {name: family for family in FAMILIES.values() for name in family.published}
    words = RELEASES.get(words, words)
    wanted = [_squeezed(word) for word in re.split(r"[\s_]+", words) if _squeezed(word)]
    meant = [name for name in names if _meant(wanted, _squeezed(name))]
    same = [name for name in meant if _squeezed(name) == "".join(wanted)]
    # `wan21_14b` means the T2V model, whose name has the fewest other letters.
    shortest = [x for x in meant if len(x) == min(map(len, meant))]
    most = len("".join(wanted)) * 2 > len(_squeezed(shortest[0])) if meant else False
    chosen = same or (shortest if most else meant)
    if len(chosen) == 1:
        return names[chosen[0]], chosen[0]
    known = ", ".join(chosen or names)
    raise ValueError(
        f"{words!r} may be one of several: say which of {known}"
        if chosen
        else f"{words!r} is neither a folder nor a published model: known are {known}"
    )


def _squeezed(text: str) -> str:
    # Keeps letters and digits; `1p3` becomes `13`, as `1.3` does.
    text = re.sub(r"(?<=\d)p(?=\d)", "", text.lower())
    return re.sub(r"[^a-z0-9]", "", text)


def _meant(wanted: list[str], name: str) -> bool:
    """Whether a name contains all the words, in their order."""
    place = 0
    for word in wanted:
        start = name.find(word, place)
        if start < 0:
            return False
        place = start + len(word)
    return bool(wanted)
