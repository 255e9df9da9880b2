"""Text that is safe to print on a terminal."""

import unicodedata
from typing import Any

__all__ = ["printable"]

# Categories of control characters, of format characters, which may reverse the direction of text,
# and of surrogates
_OBEYED = {"Cc", "Cf", "Cs"}


def printable(value: Any) -> str:
    """Convert a value to text without control characters; white space becomes spaces.

    Attributes of files may contain any characters, and so commands to the terminal.
    """
    return "".join(
        " " if character.isspace() else character
        for character in str(value)
        if character.isspace() or unicodedata.category(character) not in _OBEYED
    )
