"""Words in the names of channels and stains."""

import re

__all__ = ["find_words"]


def find_words(pattern: str, text: str) -> re.Match[str] | None:
    """Find words in a text, in upper or lower case, and not as a part of others.

    "Green" is not in "Greenland", and "Cy3" not in "Cy3.5"; an underscore is a space.
    """
    return re.search(rf"(?<![^\W_])(?:{pattern})(?![^\W_]|\.\d)", text, re.IGNORECASE)
