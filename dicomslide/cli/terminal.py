"""Text that a terminal shows and does not obey."""

import unicodedata
from typing import Any

__all__ = ["printable"]

# Control characters, and format characters that turn the direction of what follows
_OBEYED = {"Cc", "Cf", "Cs"}


def printable(value: Any) -> str:
    """Make a text without control characters; those that part words become spaces.

    Attributes of files may hold any, and with them commands to the terminal.
    """
    return "".join(
        " " if character.isspace() else character
        for character in str(value)
        if character.isspace() or unicodedata.category(character) not in _OBEYED
    )
