"""Search for whole words in names of channels and stains, and counted nouns for messages."""

import re

__all__ = ["counted", "find_words"]


def counted(count: int, noun: str) -> str:
    """Write a count with its noun: "1 channel", "2 channels"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def find_words(pattern: str, text: str) -> re.Match[str] | None:
    """Find words in a text, in any case and as whole words, by a regular expression.

    "Green" is not found in "Greenland", nor "Cy3" in "Cy3.5"; underscores count as spaces.
    """
    return re.search(rf"(?<![^\W_])(?:{pattern})(?![^\W_]|\.\d)", text, re.IGNORECASE)
