"""A small slide: what it is written with, and what is known of it."""

import pydicom
from pydicom.dataset import Dataset

SMALL = {
    "size": (90, 70),
    "tile": (32, 24),
    "factors": (1, 2, 4),
    "transfer_syntax": "1.2.840.10008.1.2.1",
    "icc_profile": False,
    "label": False,
    "overview": False,
}
FLUORESCENCE = {**SMALL, "samples": 1, "bits": 16}


class NoFrames:
    """A client of which no frame may be asked."""

    def retrieve_instance_frames(self, **_):
        raise AssertionError("a frame was asked for")


def read_metadata(written) -> list[Dataset]:
    return [pydicom.dcmread(path, stop_before_pixels=True) for path in written.paths]
