"""Values of attributes that no pixels depend on: damaged ones count as missing."""

import math
from typing import Any

from pydicom.dataset import Dataset

__all__ = ["optional_number", "optional_text", "optional_value"]


def optional_value(dataset: Dataset, keyword: str) -> Any:
    """Read the value of an attribute; None where there is none, or it is damaged."""
    try:
        return dataset.get(keyword)
    # pydicom converts values on access, and raises exceptions of many types for damaged ones
    except Exception:
        return None


def optional_text(dataset: Dataset, keyword: str) -> str:
    """Read an attribute as text; empty where there is none, or it is damaged."""
    value = optional_value(dataset, keyword)
    return "" if value is None else str(value)


def optional_number(dataset: Dataset, keyword: str) -> float | None:
    """Read a finite number; None where there is none, or it is damaged."""
    try:
        number = float(optional_value(dataset, keyword))
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
