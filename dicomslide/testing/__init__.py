"""Makes DICOM slides of every kind for tests, documentation and demonstrations.

What they show looks like a section of tissue, and is known: every pixel is a function of its
position. The files are written without what reads slides, which can thus be tested with them.

>>> slide = write_slide("slide", size=(3000, 4000), segmentations=["BINARY"])
>>> pixels = slide.levels[1].pixels()  # what a reader should see
>>> nuclei = slide.segmentations[0].mask(level=0, segment=1)
"""

from dicomslide.testing.annotations import AnnotationOptions, write_annotations
from dicomslide.testing.color import make_srgb_profile, make_wide_gamut_profile
from dicomslide.testing.geometry import ORIENTATIONS, orientation_from_angle
from dicomslide.testing.level import SyntheticLevel
from dicomslide.testing.options import OpticalPath, SlideOptions
from dicomslide.testing.painting.tissue import paint, stain
from dicomslide.testing.parametric_map import ParametricMapOptions, SyntheticParametricMap
from dicomslide.testing.segmentation import SegmentationOptions, SyntheticSegmentation
from dicomslide.testing.slide import SyntheticSlide, write_slide

__all__ = [
    "ORIENTATIONS",
    "AnnotationOptions",
    "OpticalPath",
    "ParametricMapOptions",
    "SegmentationOptions",
    "SlideOptions",
    "SyntheticLevel",
    "SyntheticParametricMap",
    "SyntheticSegmentation",
    "SyntheticSlide",
    "make_srgb_profile",
    "make_wide_gamut_profile",
    "orientation_from_angle",
    "paint",
    "stain",
    "write_annotations",
    "write_slide",
]
