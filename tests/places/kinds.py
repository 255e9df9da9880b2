"""Kinds of slides: how they are stored, and what belongs to them."""

from typing import Any

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from dicomslide.testing import SlideOptions, make_wide_gamut_profile

__all__ = ["BASE", "KINDS"]

BASE = SlideOptions(
    size=(150, 210),
    tile=(32, 48),
    factors=(1, 2),
    transfer_syntax=ExplicitVRLittleEndian,
    label=False,
    overview=False,
    icc_profile=False,
)
KINDS: dict[str, dict[str, Any]] = {
    "plain": {"transfer_syntax": JPEGBaseline8Bit, "factors": (1,)},
    "brightfield": {
        "transfer_syntax": JPEGBaseline8Bit,
        "factors": (1, 2, 4),
        "icc_profile": make_wide_gamut_profile(),
        "label": True,
        "overview": True,
        "thumbnail": True,
    },
    "fluorescence": {
        "transfer_syntax": JPEG2000Lossless,
        "samples": 1,
        "bits": 12,
        "optical_paths": 3,
        "focal_planes": 2,
    },
    "instances": {
        "transfer_syntax": JPEGLSLossless,
        "samples": 1,
        "bits": 16,
        "optical_paths": 2,
        "optical_paths_in": "each",
        "focal_planes": 2,
        "focal_planes_in": "each",
        "offset_table": "extended",
    },
    "sparse": {
        "transfer_syntax": RLELossless,
        "organization": "TILED_SPARSE",
        "sparse": "gaps",
        "offset_table": "empty",
    },
    "derived": {
        "segmentations": ("BINARY", "FRACTIONAL", "LABELMAP"),
        "parametric_maps": ("integer",),
    },
    "float maps": {"parametric_maps": ("float", "double")},
    "concatenation": {"concatenation": 3, "fragments_per_frame": 2},
    "deflated": {"transfer_syntax": DeflatedExplicitVRLittleEndian},
    "big endian": {"transfer_syntax": ExplicitVRBigEndian, "samples": 1, "bits": 16},
}
