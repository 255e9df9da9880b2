"""What the ``info`` command tells of a slide: the content of its tables and of its JSON."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydicom.uid import UID

from dicomslide.annotations.group import AnnotationGroup
from dicomslide.enum import ChannelTypes
from dicomslide.errors import InvalidImageError
from dicomslide.image import TiledImage
from dicomslide.metadata.channel_kind import Channel
from dicomslide.metadata.channels import objective_lens_power
from dicomslide.metadata.codes import CodeItem
from dicomslide.metadata.flavors import image_flavor, read_image_type
from dicomslide.metadata.optional import optional_number, optional_text
from dicomslide.metadata.transfer_syntaxes import TRANSFER_SYNTAXES
from dicomslide.placement.arrangement import SlideChannel
from dicomslide.slide import Slide

__all__ = ["ChannelFacts", "Code", "ImageFacts", "LevelFacts", "SlideFacts", "read_facts"]

# The names of the fields are keys of the JSON document, which docs/command-line.md lists


@dataclass(frozen=True)
class Code:
    """A coded concept (PS3.3 8): Code Value, Coding Scheme Designator and Code Meaning."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class ImageFacts:
    """How an image is stored.

    Parameters
    ----------
    name : str
        Name: that of its file, or its SOP Instance UID
    kind : str
        Value 3 of Image Type, or for derived images the type of their channels
    rows, columns : int
        Size of the total pixel matrix
    pixel_spacing_um : tuple of float, optional
        Distance in micrometres between rows and between columns; None where it is not stated
    tile_rows, tile_columns : int, optional
        Size of a frame
    bits_stored : int, optional
        Bits Stored, or Bits Allocated where pixels are floating point numbers
    photometric_interpretation : str
        Photometric Interpretation
    image_type : tuple of str
        Values of Image Type
    transfer_syntax, transfer_syntax_uid : str
        Transfer Syntax of the frames: a short name, and the UID
    sop_class_uid, sop_instance_uid, series_instance_uid : str
        UIDs
    """

    name: str
    kind: str
    rows: int
    columns: int
    pixel_spacing_um: tuple[float, float] | None
    tile_rows: int | None
    tile_columns: int | None
    bits_stored: int | None
    photometric_interpretation: str
    image_type: tuple[str, ...]
    transfer_syntax: str
    transfer_syntax_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str


@dataclass(frozen=True)
class LevelFacts:
    """A level of the pyramid.

    Parameters
    ----------
    level : int
        Index, 0 for the largest one
    rows, columns : int
        Size in pixels, without padding to whole tiles
    pixel_spacing_um : tuple of float
        Distance in micrometres between rows and between columns
    downsampling_factor : float
        Distance between pixels relative to that of level 0
    images : tuple of ImageFacts
        Images with pixels of the level, those of optical paths first
    """

    level: int
    rows: int
    columns: int
    pixel_spacing_um: tuple[float, float]
    downsampling_factor: float
    images: tuple[ImageFacts, ...]


@dataclass(frozen=True)
class ChannelFacts:
    """A channel: an optical path, a segment or a parameter.

    Parameters
    ----------
    channel : int
        Index
    type : str
        ``"OPTICAL_PATH"``, ``"SEGMENT"`` or ``"PARAMETER"``
    identifier, description : str
        Optical Path Identifier and Description, Segment Number and Label, or LUT Label and
        Explanation
    markers, stains : tuple of Code
        What an optical path shows, and what the specimen was stained with for it
    fluorophores : tuple of str
        What gives the light of an optical path
    illumination_wavelength_nm, emission_wavelength_nm : float, optional
        Light in nanometres
    categories, property_types : tuple of Code
        Category and type of a segment
    algorithm : str
        Segment Algorithm Type
    unit : str
        Code Value of the units of a parameter
    color : str
        Colour that it is shown in, six hexadecimal digits of sRGB; empty for images in colour
    bits_stored : int, optional
        Bits of its pixels
    """

    channel: int
    type: str
    identifier: str
    description: str
    markers: tuple[Code, ...]
    stains: tuple[Code, ...]
    fluorophores: tuple[str, ...]
    illumination_wavelength_nm: float | None
    emission_wavelength_nm: float | None
    categories: tuple[Code, ...]
    property_types: tuple[Code, ...]
    algorithm: str
    unit: str
    color: str
    bits_stored: int | None


@dataclass(frozen=True)
class AnnotationFacts:
    """A group of annotations.

    Parameters
    ----------
    label : str
        Annotation Group Label, or the finding
    graphic_type, coordinate_type : str
        Graphic Type, and Annotation Coordinate Type
    count : int
        Number of annotations
    categories, property_types : tuple of Code
        Category and type of what is annotated
    algorithm : str
        Annotation Group Generation Type
    measurements : tuple of str
        Names of the measurements
    sop_instance_uid, series_instance_uid : str
        UIDs of the instance that has the group
    """

    label: str
    graphic_type: str
    coordinate_type: str
    count: int
    categories: tuple[Code, ...]
    property_types: tuple[Code, ...]
    algorithm: str
    measurements: tuple[str, ...]
    sop_instance_uid: str
    series_instance_uid: str


@dataclass(frozen=True)
class SlideFacts:
    """A slide.

    Parameters
    ----------
    source : str
        Name of the place that it was found at
    container_identifier : str
        Container Identifier; empty where there is none
    manufacturer, manufacturer_model_name, acquisition_date_time : str
        Attributes of the base level
    objective_lens_power : float, optional
        Magnification of the objective
    rows, columns : int
        Size of the base level in pixels
    physical_size_mm : tuple of float
        Size in millimetres along X and Y of the slide
    pixel_spacing_um : tuple of float
        Distance in micrometres between rows and between columns of the base level
    rotation_degrees : float
        Counterclockwise rotation after which the image stands upright
    focal_plane_offsets_um : tuple of float
        Z of each focal plane in micrometres
    levels : tuple of LevelFacts
        Levels
    channels : tuple of ChannelFacts
        Optical paths, then segments, then parameters
    associated_images : tuple of ImageFacts
        LABEL and OVERVIEW images, and THUMBNAIL images that are no level
    derived_images : tuple of ImageFacts
        Images with pixels of their own: see `Slide.derived_images`
    annotations : tuple of AnnotationFacts
        Groups of annotations
    study_instance_uids, series_instance_uids, pyramid_uids : tuple of str
        UIDs of the images of the levels
    frame_of_reference_uid : str
        Frame of Reference UID
    """

    source: str
    container_identifier: str
    manufacturer: str
    manufacturer_model_name: str
    acquisition_date_time: str
    objective_lens_power: float | None
    rows: int
    columns: int
    physical_size_mm: tuple[float, float]
    pixel_spacing_um: tuple[float, float]
    rotation_degrees: float
    focal_plane_offsets_um: tuple[float, ...]
    levels: tuple[LevelFacts, ...]
    channels: tuple[ChannelFacts, ...]
    associated_images: tuple[ImageFacts, ...]
    derived_images: tuple[ImageFacts, ...]
    annotations: tuple[AnnotationFacts, ...]
    study_instance_uids: tuple[str, ...]
    series_instance_uids: tuple[str, ...]
    pyramid_uids: tuple[str, ...]
    frame_of_reference_uid: str


def read_facts(slide: Slide, source: str) -> SlideFacts:
    """Gather what is known of a slide; no frame is read.

    Parameters
    ----------
    slide : Slide
        Slide
    source : str
        Name of the place that it was found at
    """
    arrangement = slide._arrangement
    base = arrangement.template[0]
    levels = _levels(slide)
    images = arrangement.images
    rows, columns = slide.size
    return SlideFacts(
        source=source,
        container_identifier=slide.container_identifier,
        manufacturer=optional_text(base.metadata, "Manufacturer"),
        manufacturer_model_name=optional_text(base.metadata, "ManufacturerModelName"),
        acquisition_date_time=optional_text(base.metadata, "AcquisitionDateTime"),
        objective_lens_power=objective_lens_power(base.metadata),
        rows=rows,
        columns=columns,
        physical_size_mm=slide.physical_size,
        pixel_spacing_um=levels[0].pixel_spacing_um,
        rotation_degrees=base.get_rotation(),
        focal_plane_offsets_um=arrangement.offsets,
        levels=levels,
        channels=tuple(
            map(_channel, range(slide.num_channels), slide.channels, arrangement.channels)
        ),
        associated_images=tuple(
            map(_image, (*slide.label_images, *slide.overview_images, *arrangement.thumbnails))
        ),
        derived_images=tuple(map(_image, slide.derived_images)),
        annotations=tuple(map(read_annotation_facts, slide.annotations)),
        study_instance_uids=_values(images, "StudyInstanceUID"),
        series_instance_uids=_values(images, "SeriesInstanceUID"),
        pyramid_uids=_values(images, "PyramidUID"),
        frame_of_reference_uid=slide.frame_of_reference_uid,
    )


def read_annotation_facts(group: AnnotationGroup) -> AnnotationFacts:
    """Gather what is known of a group of annotations; no coordinates are read."""
    return AnnotationFacts(
        label=group.label,
        graphic_type=group.graphic_type,
        coordinate_type=group.coordinate_type,
        count=len(group),
        categories=_codes([group.category] if group.category.value else []),
        property_types=_codes([group.property_type] if group.property_type.value else []),
        algorithm=group.generation_type,
        measurements=tuple(found.name.meaning for found in group.measurements),
        sop_instance_uid=group.sop_instance_uid,
        series_instance_uid=group.series_instance_uid,
    )


def _levels(slide: Slide) -> tuple[LevelFacts, ...]:
    arrangement = slide._arrangement
    # The image that stands for a level is the first one
    images = [dict.fromkeys([image]) for image in arrangement.template]
    for channel in arrangement.channels:
        for (level, _), plane in channel.planes.items():
            images[level][plane.image] = None
    return tuple(
        LevelFacts(
            level=level,
            rows=rows,
            columns=columns,
            pixel_spacing_um=_micrometres((along_column, along_row)),
            downsampling_factor=slide.downsampling_factors[level],
            images=tuple(map(_image, images[level])),
        )
        for level, ((rows, columns), (along_row, along_column)) in enumerate(
            zip(slide.total_pixel_matrix_dimensions, slide.pixel_spacings, strict=True)
        )
    )


def _image(image: TiledImage) -> ImageFacts:
    dataset = image.metadata
    rows, columns = image.size
    uid = image.transfer_syntax_uid
    syntax = TRANSFER_SYNTAXES.get(uid)
    return ImageFacts(
        name=image.label.removeprefix("image "),
        kind=_kind(image),
        rows=rows,
        columns=columns,
        pixel_spacing_um=_pixel_spacing(image),
        tile_rows=_integer(image, "Rows"),
        tile_columns=_integer(image, "Columns"),
        bits_stored=_bits(image),
        photometric_interpretation=optional_text(dataset, "PhotometricInterpretation"),
        image_type=tuple(read_image_type(dataset)),
        transfer_syntax=syntax.short_name if syntax else UID(uid).name if uid else "not stated",
        transfer_syntax_uid=uid,
        sop_class_uid=optional_text(dataset, "SOPClassUID"),
        sop_instance_uid=image.uid,
        series_instance_uid=optional_text(dataset, "SeriesInstanceUID"),
    )


def _kind(image: TiledImage) -> str:
    # Image Type of derived images has the values of the image that they were derived from
    is_derived = image.channel_type is not ChannelTypes.OPTICAL_PATH
    flavor = None if is_derived else image_flavor(image.metadata)
    return flavor or image.channel_type.value


def _pixel_spacing(image: TiledImage) -> tuple[float, float] | None:
    try:
        return _micrometres(image.geometry.spacing)
    except InvalidImageError:
        return None


def _micrometres(millimetres: tuple[float, float]) -> tuple[float, float]:
    # Decimal Strings have fewer digits than the noise that the product adds to them
    first, second = (round(length * 1000, 9) for length in millimetres)
    return first, second


def _channel(index: int, channel: Channel, shown: SlideChannel) -> ChannelFacts:
    return ChannelFacts(
        channel=index,
        type=channel.type.value,
        identifier=channel.identifier,
        description=channel.label,
        markers=_codes(channel.markers),
        stains=_codes(channel.stains),
        fluorophores=channel.fluorophores,
        illumination_wavelength_nm=channel.wavelength,
        emission_wavelength_nm=channel.emission,
        categories=_codes(channel.categories),
        property_types=_codes(channel.property_types),
        algorithm=channel.algorithm,
        unit=channel.unit,
        color=channel.color,
        bits_stored=_bits(shown.first.image),
    )


def _codes(codes: Iterable[CodeItem]) -> tuple[Code, ...]:
    return tuple(Code(code.value, code.scheme_designator, code.meaning) for code in codes)


def _bits(image: TiledImage) -> int | None:
    return _integer(image, "BitsStored") or _integer(image, "BitsAllocated")


def _integer(image: TiledImage, keyword: str) -> int | None:
    value: Any = optional_number(image.metadata, keyword)
    return None if value is None else int(value)


def _values(images: Iterable[TiledImage], keyword: str) -> tuple[str, ...]:
    """Collect the different values of an attribute."""
    values = (optional_text(image.metadata, keyword) for image in images)
    return tuple(value for value in dict.fromkeys(values) if value)
