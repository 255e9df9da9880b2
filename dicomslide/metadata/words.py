"""Words: how they are found in the names of channels and stains, and counted in messages."""

import re

__all__ = ["counted", "find_words"]


def counted(count: int, noun: str) -> str:
    """Write how many there are of something: "1 channel", "2 channels"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def find_words(pattern: str, text: str) -> re.Match[str] | None:
    """Find words in a text, in upper or lower case, and not as a part of others.

    "Green" is not in "Greenland", and "Cy3" not in "Cy3.5"; an underscore is a space.
    """
    return re.search(rf"(?<![^\W_])(?:{pattern})(?![^\W_]|\.\d)", text, re.IGNORECASE)
