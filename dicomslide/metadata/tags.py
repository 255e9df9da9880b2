"""Tags that are the same objects each time.

A dictionary finds the same object at once, while equal tags of pydicom are compared in Python.
"""

from functools import lru_cache

from pydicom.datadict import tag_for_keyword
from pydicom.tag import BaseTag

__all__ = ["keyword_tag", "tag_of"]


@lru_cache(maxsize=1024)
def tag_of(number: int) -> BaseTag:
    """Make a tag of its number."""
    return BaseTag(number)


@lru_cache(maxsize=1024)
def keyword_tag(keyword: str) -> BaseTag | None:
    """Find the tag of a keyword of the standard; None where there is no such keyword."""
    number = tag_for_keyword(keyword)
    return None if number is None else tag_of(number)
