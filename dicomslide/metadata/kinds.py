"""Kinds of images by their SOP Class: scanned ones, and those that were derived from a slide."""

from pydicom.config import IGNORE
from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicomslide.errors.damage import reads_image
from dicomslide.metadata.channel_kind import ChannelKind
from dicomslide.metadata.flavors import ANNOTATIONS, MATRIX_SIZE, SLIDE_MICROSCOPY
from dicomslide.metadata.optical_paths import OPTICAL_PATHS
from dicomslide.metadata.parameters import PARAMETERS
from dicomslide.metadata.segments import SEGMENTS

__all__ = [
    "DERIVED",
    "KINDS",
    "RESULTS",
    "SLIDE_CLASSES",
    "belongs_to_slide",
    "has_slide_class",
    "is_standard_class",
    "kind_of",
]

# In the order of the channels of a slide
_LISTED = (OPTICAL_PATHS, SEGMENTS, PARAMETERS)
KINDS = {kind.type: kind for kind in _LISTED}
_BY_CLASS = {uid: kind for kind in _LISTED for uid in kind.sop_classes}
SLIDE_CLASSES = frozenset(_BY_CLASS)
DERIVED = SLIDE_CLASSES - SLIDE_MICROSCOPY
RESULTS = DERIVED | ANNOTATIONS


def kind_of(dataset: Dataset) -> ChannelKind:
    """Determine the kind of the channels of an image; optical paths for other SOP Classes."""
    return _BY_CLASS.get(str(dataset.get("SOPClassUID")), OPTICAL_PATHS)


@reads_image
def belongs_to_slide(dataset: Dataset) -> bool:
    """Whether an image is of a slide; derived ones only if they have a total pixel matrix."""
    sop_class = dataset.get("SOPClassUID")
    has_matrix = not dataset.keys().isdisjoint(MATRIX_SIZE)
    return sop_class in SLIDE_MICROSCOPY or (sop_class in DERIVED and has_matrix)


@reads_image
def has_slide_class(dataset: Dataset) -> bool:
    """Whether the SOP Class is one of images of slides.

    A SOP Class UID that is not of the standard may be damaged: then the Media Storage SOP Class UID
    of the file decides.
    """
    sop_class = dataset.get("SOPClassUID")
    if not is_standard_class(sop_class):
        sop_class = getattr(dataset, "file_meta", Dataset()).get("MediaStorageSOPClassUID")
    return sop_class in SLIDE_CLASSES


def is_standard_class(uid: str | None) -> bool:
    """Whether a UID is that of a SOP Class of the standard."""
    return bool(uid) and UID(uid, validation_mode=IGNORE).type == "SOP Class"
