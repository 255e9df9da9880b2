"""The slides that are damaged: one of each way in which a slide is stored."""

from pathlib import Path
from typing import Any

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from dicomslide.testing import SegmentationOptions, SlideOptions, SyntheticSlide, write_slide

__all__ = ["KINDS", "write_kinds"]

# A grid of 2 x 3 tiles, with partial ones at both edges
BASE = SlideOptions(
    size=(28, 60),
    tile=(16, 24),
    factors=(1,),
    transfer_syntax=ExplicitVRLittleEndian,
    icc_profile=False,
    label=False,
    overview=False,
)
JPEG = {"transfer_syntax": JPEGBaseline8Bit, "quality": 95}
SPARSE = {"organization": "TILED_SPARSE"}
SEGMENTS = {"organization": "TILED_SPARSE", "segments": ("nucleus", "stroma")}
KINDS: dict[str, dict[str, Any]] = {
    "explicit": {"label": True},
    "implicit": {"transfer_syntax": ImplicitVRLittleEndian, "factors": (1, 2)},
    "big endian": {**SPARSE, "transfer_syntax": ExplicitVRBigEndian},
    "deflated": {"transfer_syntax": DeflatedExplicitVRLittleEndian},
    "planes": {"optical_paths": 2, "focal_planes": 2, "samples": 1, "bits": 12},
    "sparse": {**SPARSE, "sparse": "shuffled"},
    "sparse implicit": {
        **SPARSE,
        "sparse": "gaps",
        "transfer_syntax": ImplicitVRLittleEndian,
        "optical_paths": 2,
        "samples": 1,
    },
    "sparse overlapping": {"organization": None, "sparse": "overlapping"},
    "concatenation": {**SPARSE, "concatenation": 2},
    "concatenation of JPEG": {**JPEG, "concatenation": 2},
    "basic table": JPEG,
    "empty table": {**JPEG, "offset_table": "empty"},
    "extended table": {**JPEG, "offset_table": "extended"},
    "fragments": {**JPEG, "fragments_per_frame": 3},
    "fragments without table": {**JPEG, "fragments_per_frame": 3, "offset_table": "empty"},
    "JPEG 12 bits": {"transfer_syntax": "1.2.840.10008.1.2.4.51", "samples": 1, "bits": 12},
    "JPEG Lossless": {"transfer_syntax": "1.2.840.10008.1.2.4.70"},
    "JPEG 2000": {"transfer_syntax": JPEG2000Lossless, "icc_profile": True},
    "HTJ2K": {"transfer_syntax": "1.2.840.10008.1.2.4.203"},
    "JPEG-LS": {"transfer_syntax": JPEGLSLossless},
    "JPEG XL": {"transfer_syntax": "1.2.840.10008.1.2.4.112"},
    "RLE": {"transfer_syntax": RLELossless, "planar_configuration": 1},
    "deflated frames": {"transfer_syntax": "1.2.840.10008.1.2.8.1"},
    "signed": {"samples": 1, "bits": 16, "signed": True, "photometric": "MONOCHROME1"},
    "associated": {
        **JPEG,
        "factors": (1, 2),
        "icc_profile": True,
        "label": True,
        "overview": True,
        "thumbnail": True,
    },
    "instances": {
        "optical_paths": 2,
        "focal_planes": 2,
        "samples": 1,
        "optical_paths_in": "each",
        "focal_planes_in": "each",
    },
    "binary segments": {"segmentations": (SegmentationOptions("BINARY"),)},
    "fractional segments": {"segmentations": (SegmentationOptions("FRACTIONAL", **SEGMENTS),)},
    "label map": {"segmentations": (SegmentationOptions("LABELMAP"),)},
    "parameters": {"parametric_maps": ("float", "integer")},
}


def write_kinds(folder: Path) -> dict[str, SyntheticSlide]:
    """Write a slide of each kind into a folder of its name."""
    return {kind: write_slide(folder / kind, BASE, **options) for kind, options in KINDS.items()}
