"""Parts that Segmentation and Parametric Map images have in common."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset

from dicomslide.testing.level import SyntheticLevel
from dicomslide.testing.options import SlideOptions
from dicomslide.testing.painting.tissue import stain
from dicomslide.testing.wsi import DATE, TIME

__all__ = ["PRODUCER", "finish", "read_sources", "stain_level", "use_fixed_dates"]

PRODUCER: dict[str, Any] = {
    "manufacturer": "dicomslide",
    "manufacturer_model_name": "synthetic slide",
    "software_versions": "1",
    "device_serial_number": "1",
}


def read_sources(level: SyntheticLevel) -> list[Dataset]:
    """Read the metadata of the instances of a level."""
    return [pydicom.dcmread(path, stop_before_pixels=True) for path in level.paths]


def finish(dataset: Dataset, slide: SlideOptions, name: str, level: int, path: Path) -> None:
    """Replace what depends on the clock or on chance and write the file."""
    use_fixed_dates(dataset)
    organization = slide.make_uid("dimensions", name, level)
    for item in dataset.DimensionOrganizationSequence:
        item.DimensionOrganizationUID = organization
    for item in dataset.get("DimensionIndexSequence", ()):
        item.DimensionOrganizationUID = organization
    dataset.save_as(path, enforce_file_format=True)


def use_fixed_dates(dataset: Dataset) -> None:
    """Replace what depends on the clock."""
    fixed = {"DA": DATE, "TM": TIME, "DT": DATE + TIME}
    for element in dataset.iterall():
        if element.VR in fixed and element.value:
            element.value = fixed[element.VR]


def stain_level(
    options: SlideOptions, factor: float
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Get the stain densities of a whole level, in focus."""
    size = options.get_level_size(factor)
    return stain((0, 0), size, factor, base_size=options.size, seed=options.seed)
