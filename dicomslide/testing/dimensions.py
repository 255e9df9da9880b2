"""Dimensions, functional groups and concatenations, which tell frames apart."""

from collections.abc import Sequence

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.uid import VLWholeSlideMicroscopyImageStorage

from dicomslide.testing.geometry import locate_pixel
from dicomslide.testing.instance import Instance, Part
from dicomslide.testing.items import DCM, format_decimal, make_code, make_item
from dicomslide.testing.layout import Frame
from dicomslide.testing.options import SlideOptions

__all__ = ["add_concatenation", "add_dimensions", "add_functional_groups"]

_DIMENSIONS = (
    ("OpticalPathIdentifier", "OpticalPathIdentificationSequence"),
    ("ZOffsetInSlideCoordinateSystem", "PlanePositionSlideSequence"),
    ("RowPositionInTotalImagePixelMatrix", "PlanePositionSlideSequence"),
    ("ColumnPositionInTotalImagePixelMatrix", "PlanePositionSlideSequence"),
)


def add_dimensions(dataset: Dataset, options: SlideOptions, instance: Instance) -> None:
    """Add the Multi-frame Dimension Module (PS3.3 C.7.6.17)."""
    uid = options.make_uid("dimensions", instance.name)
    dataset.DimensionOrganizationSequence = [make_item(DimensionOrganizationUID=uid)]
    if instance.flavor == "VOLUME" and options.organization:
        dataset.DimensionOrganizationType = options.organization
    if _is_tiled_full(options, instance):
        return
    dataset.DimensionIndexSequence = [
        make_item(
            DimensionOrganizationUID=uid,
            DimensionIndexPointer=tag_for_keyword(pointer),
            FunctionalGroupPointer=tag_for_keyword(group),
        )
        for pointer, group in _DIMENSIONS
    ]


def _is_tiled_full(options: SlideOptions, instance: Instance) -> bool:
    return instance.flavor == "VOLUME" and options.organization == "TILED_FULL"


def add_functional_groups(
    dataset: Dataset, options: SlideOptions, instance: Instance, sources: Sequence[Instance]
) -> None:
    """Add the Multi-frame Functional Groups Module (PS3.3 C.7.6.16)."""
    # Unlike positions along Z, which are in micrometres, these distances are in millimetres
    distance = format_decimal(options.focal_plane_spacing / 1000)
    spacing = [format_decimal(value) for value in instance.spacing]
    measures = make_item(SliceThickness=distance, PixelSpacing=spacing)
    if len(instance.focal_planes) > 1:
        measures.SpacingBetweenSlices = distance
    shared = make_item(
        PixelMeasuresSequence=[measures],
        WholeSlideMicroscopyImageFrameTypeSequence=[make_item(FrameType=instance.image_type)],
    )
    if len(instance.optical_paths) == 1:
        shared.OpticalPathIdentificationSequence = [_identify(options, instance.optical_paths[0])]
    if sources:
        shared.DerivationImageSequence = [_make_derivation(options, sources)]
    dataset.SharedFunctionalGroupsSequence = [shared]
    if not _is_tiled_full(options, instance):
        dataset.PerFrameFunctionalGroupsSequence = _make_frame_groups(options, instance)


def _identify(options: SlideOptions, optical_path: int) -> Dataset:
    identifier = options.optical_path_items[optical_path].identifier
    return make_item(OpticalPathIdentifier=identifier)


def _make_derivation(options: SlideOptions, sources: Sequence[Instance]) -> Dataset:
    purpose = make_code("121322", DCM, "Source Image for Image Processing Operation")
    return make_item(
        DerivationCodeSequence=[make_code("113085", DCM, "Spatial resampling")],
        SourceImageSequence=[
            make_item(
                ReferencedSOPClassUID=VLWholeSlideMicroscopyImageStorage,
                ReferencedSOPInstanceUID=options.make_uid("instance", source.file_name),
                PurposeOfReferenceCodeSequence=[purpose],
            )
            for source in sources
        ],
    )


def _make_frame_groups(options: SlideOptions, instance: Instance) -> list[Dataset]:
    rows = {row: i for i, row in enumerate(sorted({f.row for f in instance.frames}), start=1)}
    columns = {c: i for i, c in enumerate(sorted({f.column for f in instance.frames}), start=1)}
    groups = []
    for frame in instance.frames:
        index = [
            instance.optical_paths.index(frame.optical_path) + 1,
            instance.focal_planes.index(frame.focal_plane) + 1,
            rows[frame.row],
            columns[frame.column],
        ]
        group = make_item(
            FrameContentSequence=[make_item(DimensionIndexValues=index)],
            PlanePositionSlideSequence=[_make_position(options, instance, frame)],
        )
        if len(instance.optical_paths) > 1:
            group.OpticalPathIdentificationSequence = [_identify(options, frame.optical_path)]
        groups.append(group)
    return groups


def _make_position(options: SlideOptions, instance: Instance, frame: Frame) -> Dataset:
    x, y = locate_pixel(
        frame.row, frame.column, instance.origin, instance.orientation, instance.spacing
    )
    z = frame.focal_plane * options.focal_plane_spacing
    return make_item(
        ColumnPositionInTotalImagePixelMatrix=frame.column + 1,
        RowPositionInTotalImagePixelMatrix=frame.row + 1,
        XOffsetInSlideCoordinateSystem=format_decimal(x),
        YOffsetInSlideCoordinateSystem=format_decimal(y),
        ZOffsetInSlideCoordinateSystem=format_decimal(z),
    )


def add_concatenation(
    dataset: Dataset, options: SlideOptions, instance: Instance, part: Part
) -> None:
    """Add the attributes of a part of a concatenation (PS3.3 C.7.6.16.2.2.4)."""
    source = options.make_uid("concatenation source", instance.name)
    dataset.SOPInstanceUIDOfConcatenationSource = source
    dataset.ConcatenationUID = options.make_uid("concatenation", instance.name)
    dataset.InConcatenationNumber = part.number
    dataset.InConcatenationTotalNumber = part.total
    dataset.ConcatenationFrameOffsetNumber = part.frame_offset
