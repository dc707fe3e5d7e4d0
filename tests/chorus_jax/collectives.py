"""What devices send each other in a compiled program, read from its text."""

import math
import re

NAMES = "all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter"
OPERATION = re.compile(rf"= (?P<shapes>.*?) (?P<name>{NAMES})(-start)?\(")


def collectives(compiled):
    """The names of a compiled program's collective operations."""
    return {match["name"] for match in OPERATION.finditer(compiled.as_text())}


def largest(compiled, name):
    """The most numbers that one operation of this name gives a device; 0 for none."""
    sizes = [0]
    for match in OPERATION.finditer(compiled.as_text()):
        if match["name"] == name:
            shapes = re.findall(r"\w+\[([\d,]*)\]", match["shapes"])
            sizes.append(
                sum(math.prod(map(int, x.split(",") if x else [])) for x in shapes)
            )
    return max(sizes)


def gathered_widths(compiled):
    """The last axes of the arrays that are brought together on all devices: none of a
    layer's if each device computes its own tokens."""
    shapes = re.findall(r"\w+\[([\d,]+)\]\S* all-gather\(", compiled.as_text())
    return {int(shape.split(",")[-1]) for shape in shapes}
