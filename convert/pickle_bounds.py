"""Limits the memory and nesting that a pickle may need, before it is unpickled.

A few bytes of a pickle can ask for gigabytes (the index of a memo), and a key that is
nested deeply overflows the C stack when it is hashed. Neither is stopped by the bounds
of Python's unpickler. A state dict has about 40 instructions per tensor, nested a few
deep. Instructions: Python, Lib/pickletools.py.
"""

import pickletools
from collections.abc import Sequence

MOST = 2**20  # instructions
DEEPEST = 100  # levels of nesting
# Instructions that put values into an existing object.
INTO = ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD")


def check_bounds(data: bytes) -> None:
    """Raises a ValueError unless a pickle is as short and flat as a state dict's."""
    depths = _Depths()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if count >= MOST:
            raise ValueError(f"it has more than {MOST} instructions")
        depths.follow(opcode, argument)


class _Depths:
    """The depths of nesting of the values on a pickle's stack and in its memo."""

    def __init__(self) -> None:
        self._stack: list[int | None] = []  # None for a mark
        self._memo: dict[int, int] = {}

    def follow(self, opcode: pickletools.OpcodeInfo, argument: object) -> None:
        """Follows one instruction. Raises a ValueError if it goes beyond a bound."""
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            place = len(self._memo) if opcode.name == "MEMOIZE" else argument
            if not isinstance(place, int) or not 0 <= place < MOST:
                raise ValueError(f"its memo has a place {place}")
            self._memo[place] = self._top()
            return
        if opcode.name in ("GET", "BINGET", "LONG_BINGET"):
            self._stack.append(self._memo.get(int(str(argument)), 0))
            return
        taken = self._taken(opcode.stack_before)
        own = taken.pop() if taken and opcode.name in (*INTO, "DUP") else 0
        deep = max(own, max(taken, default=-1) + 1)
        if deep > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} deep")
        for thing in opcode.stack_after:
            self._stack.append(None if thing is pickletools.markobject else deep)

    def _taken(self, wanted: Sequence[pickletools.StackObject]) -> list[int]:
        """The depths of the values that an instruction takes from the stack."""
        if pickletools.markobject not in wanted:
            return [self._pop() for _ in wanted]
        taken: list[int] = []
        while self._stack and (depth := self._stack.pop()) is not None:
            taken.append(depth)
        before = wanted.index(pickletools.markobject)
        return taken + [self._pop() for _ in range(before)]

    def _pop(self) -> int:
        return (self._stack.pop() if self._stack else 0) or 0

    def _top(self) -> int:
        return (self._stack[-1] if self._stack else 0) or 0
