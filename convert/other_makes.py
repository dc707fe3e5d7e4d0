"""Relatives of Wan that are not run here, by tensors that only they have."""

from collections.abc import Iterable

MAKES = {
    "to_gate_compress": "FastVideo's sparse attention (VSA), which is not run here: "
    "take a release with full attention, such as a FullAttn one",
    "vace_": "Wan VACE, whose stream of control videos is not run here",
    "face_adapter": "Wan Animate, which is not run here",
    "motion_encoder": "Wan Animate, which is not run here",
    "audio_injector": "Wan S2V, whose audio is not run here",
    "control_adapter": "Wan Fun with a camera's path, which is not run here",
}


def make_of(names: Iterable[str]) -> str:
    """What these names of tensors, or lines with them, are of; "" if not known."""
    for name in names:
        for marker, make in MAKES.items():
            if marker in name:
                return make
    return ""
