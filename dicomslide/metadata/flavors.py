"""Kinds of images: SOP Classes of slides, and flavors such as VOLUME and LABEL."""

from pydicom.dataset import Dataset

from dicomslide.enum import ImageFlavors
from dicomslide.errors.damage import reads_image
from dicomslide.metadata.tags import keyword_tag

__all__ = [
    "accompanies_images",
    "image_flavor",
    "is_annotations",
    "is_image",
    "is_label_image",
    "is_label_map",
    "is_overview_image",
    "is_presentation_state",
    "is_tiled_image",
    "is_volume_image",
]

SLIDE_MICROSCOPY = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.77.1.6",  # VL Whole Slide Microscopy Image
        "1.2.840.10008.5.1.4.1.1.77.1.9",  # Confocal Microscopy Tiled Pyramidal Image
    }
)
LABEL_MAP_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.7"
PRESENTATION_STATES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.11.1",  # Grayscale Softcopy Presentation State
        "1.2.840.10008.5.1.4.1.1.11.2",  # Color Softcopy Presentation State
        "1.2.840.10008.5.1.4.1.1.11.3",  # Pseudo-Color Softcopy Presentation State
        "1.2.840.10008.5.1.4.1.1.11.4",  # Blending Softcopy Presentation State
        "1.2.840.10008.5.1.4.1.1.11.8",  # Advanced Blending Presentation State
    }
)
BULK_ANNOTATIONS = "1.2.840.10008.5.1.4.1.1.91.1"
STRUCTURED_REPORTS = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.88.22",  # Enhanced SR
        "1.2.840.10008.5.1.4.1.1.88.33",  # Comprehensive SR
        "1.2.840.10008.5.1.4.1.1.88.34",  # Comprehensive 3D SR
    }
)
ANNOTATIONS = STRUCTURED_REPORTS | {BULK_ANNOTATIONS}
_PIXEL_DESCRIPTION = frozenset(
    map(keyword_tag, ("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation"))
)
MATRIX_SIZE = frozenset(map(keyword_tag, ("TotalPixelMatrixRows", "TotalPixelMatrixColumns")))


def is_image(dataset: Dataset) -> bool:
    """Determine whether a data set is an image.

    Parameters
    ----------
    dataset : pydicom.dataset.Dataset
        Data set, with or without its pixel data

    Returns
    -------
    bool
        Whether the data set describes pixels: it has Rows, Columns, Samples per Pixel and
        Photometric Interpretation (Image Pixel Description Macro, PS3.3 C.7.6.3)
    """
    return dataset.keys() >= _PIXEL_DESCRIPTION


def is_tiled_image(dataset: Dataset) -> bool:
    """Determine whether a data set is a tiled image.

    Parameters
    ----------
    dataset : pydicom.dataset.Dataset
        Data set

    Returns
    -------
    bool
        Whether the data set is an image with a total pixel matrix (PS3.3 C.8.12.14)
    """
    return is_image(dataset) and dataset.keys() >= MATRIX_SIZE


@reads_image
def is_presentation_state(dataset: Dataset) -> bool:
    """Whether a data set is a Presentation State, which describes how images are displayed."""
    return dataset.get("SOPClassUID") in PRESENTATION_STATES


@reads_image
def is_annotations(dataset: Dataset) -> bool:
    """Whether a data set has annotations of images: a Structured Report may have some."""
    return dataset.get("SOPClassUID") in ANNOTATIONS


def accompanies_images(dataset: Dataset) -> bool:
    """Whether a data set is no image, but may be of a slide with the images that it refers to."""
    return is_presentation_state(dataset) or is_annotations(dataset)


@reads_image
def image_flavor(dataset: Dataset) -> str | None:
    """Read value 3 of Image Type in capitals, such as ``"VOLUME"``; None where there is none."""
    image_type = read_image_type(dataset)
    if len(image_type) < 3:
        return None
    # Defined Terms are in upper case, but some writers use lower case
    return image_type[2].strip().upper()


@reads_image
def read_image_type(dataset: Dataset) -> tuple[str, ...]:
    """Read the values of Image Type (PS3.3 C.8.12.4.1.1)."""
    values = dataset.get("ImageType") or ()
    return (values,) if isinstance(values, str) else tuple(map(str, values))


def is_volume_image(dataset: Dataset) -> bool:
    """Determine whether a data set is a VOLUME or THUMBNAIL image.

    Parameters
    ----------
    dataset : pydicom.dataset.Dataset
        Data set

    Returns
    -------
    bool
        Whether the data set is a VOLUME or THUMBNAIL image (PS3.3 C.8.12.4.1.1)
    """
    flavors = (ImageFlavors.VOLUME.value, ImageFlavors.THUMBNAIL.value)
    return image_flavor(dataset) in flavors and is_image(dataset)


def is_thumbnail(dataset: Dataset) -> bool:
    """Whether a data set is a THUMBNAIL image."""
    return image_flavor(dataset) == ImageFlavors.THUMBNAIL.value


def is_label_image(dataset: Dataset) -> bool:
    """Determine whether a data set is a LABEL image.

    Parameters
    ----------
    dataset : pydicom.dataset.Dataset
        Data set

    Returns
    -------
    bool
        Whether the data set is a LABEL image (PS3.3 C.8.12.4.1.1)
    """
    return image_flavor(dataset) == ImageFlavors.LABEL.value and is_image(dataset)


def is_overview_image(dataset: Dataset) -> bool:
    """Determine whether a data set is an OVERVIEW image.

    Parameters
    ----------
    dataset : pydicom.dataset.Dataset
        Data set

    Returns
    -------
    bool
        Whether the data set is an OVERVIEW image (PS3.3 C.8.12.4.1.1)
    """
    return image_flavor(dataset) == ImageFlavors.OVERVIEW.value and is_image(dataset)


@reads_image
def is_one_picture(dataset: Dataset) -> bool:
    """Whether an image shows a single picture, whatever its Optical Path Sequence lists.

    Some writers list all optical paths of the slide in its LABEL, OVERVIEW and THUMBNAIL images.
    """
    flavor = image_flavor(dataset)
    if flavor == ImageFlavors.THUMBNAIL.value:
        return dataset.get("NumberOfFrames") in (None, "", 1)
    return flavor in (ImageFlavors.LABEL.value, ImageFlavors.OVERVIEW.value)


@reads_image
def has_colors(dataset: Dataset) -> bool:
    """Whether the pixels of an image are colours: they have several samples, or a palette."""
    photometric = dataset.get("PhotometricInterpretation")
    return dataset.get("SamplesPerPixel") not in (None, "", 1) or photometric == "PALETTE COLOR"


@reads_image
def is_label_map(dataset: Dataset) -> bool:
    """Whether the SOP Class is Label Map Segmentation, whose pixels are Segment Numbers."""
    return dataset.get("SOPClassUID") == LABEL_MAP_SEGMENTATION
