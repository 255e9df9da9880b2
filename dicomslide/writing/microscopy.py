"""Data sets of derived VL Whole Slide Microscopy Images (PS3.3 A.32.8), without their pixels."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import highdicom as hd
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import VLWholeSlideMicroscopyImageStorage, generate_uid

from dicomslide.errors import ArgumentTypeError
from dicomslide.image import TiledImage
from dicomslide.metadata.channels import channel_items, read_identifiers
from dicomslide.metadata.transfer_syntaxes import TRANSFER_SYNTAXES
from dicomslide.writing.pixel_format import EXPLICIT_LITTLE_ENDIAN, PixelFormat
from dicomslide.writing.placing import PlacedPixels
from dicomslide.writing.profile import make_srgb_profile
from dicomslide.writing.sources import (
    add_position,
    further_sources,
    make_derivation,
    make_measures,
    make_reference,
    thickness_of,
    values_of,
)

__all__ = ["Microscopy"]

# Attributes that describe how the slide was scanned (PS3.3 C.7.4.1, C.8.12.4)
_OF_THE_SCAN = (
    "AcquisitionDateTime",
    "BurnedInAnnotation",
    "DistanceBetweenFocalPlanes",
    "ExtendedDepthOfField",
    "FocusMethod",
    "FrameOfReferenceUID",
    "NumberOfFocalPlanes",
    "PositionReferenceIndicator",
    "SpecimenLabelInImage",
)
# Elements of an optical path that depend on its colours
_OF_COLORS = frozenset({"ICCProfile", "ColorSpace"})
# What other results have, and images have not
_OF_OTHERS = (
    "content_creator_identification",
    "content_creator_name",
    "content_description",
    "content_label",
)
_PYRAMID = {"pyramid_uid": "PyramidUID", "pyramid_label": "PyramidLabel"}
_LOSSY = "LossyImageCompressionMethod", "LossyImageCompressionRatio"


@dataclass(frozen=True)
class Microscopy:
    """What derived images are, but for where their pixels lie.

    Parameters
    ----------
    stored : PixelFormat
        Format of the stored pixels
    level : int or None
        Level of the slide that the first image lies on; those of other levels are resampled
    channel : str or None
        Identifier of the optical path that pixels were computed from, if it is known
    optical_path : str or None
        Identifier and description of what the pixels show, if that is no path of the source
    profile : bytes or None
        ICC profile; None for sRGB
    derivation : pydicom.sr.coding.Code
        How pixels were derived (CID 7203)
    description : str or None
        Derivation Description
    """

    stored: PixelFormat
    level: int | None
    channel: str | None
    optical_path: str | None
    profile: bytes | None
    derivation: Any
    description: str | None

    def make_dataset(
        self, placed: PlacedPixels, is_full: bool, keywords: Mapping[str, Any]
    ) -> Dataset:
        """Make the data set of an image at the place of some pixels, which must be TILED_FULL."""
        assert is_full
        sources = tuple(image for image in placed.sources if self._shows_channel(image))
        # An image of a slide is where it says, with no other image that tells
        placed = replace(placed, sources=sources or placed.sources, stated=placed.place.geometry)
        source = placed.sources[0].metadata
        dataset = _identify(source, dict(keywords))
        dataset.copy_specimen_information(source)
        for keyword in _OF_THE_SCAN:
            if keyword in source:
                dataset.add(source[keyword])
        dataset.AcquisitionContextSequence = source.get("AcquisitionContextSequence", [])
        self._add_pixels(dataset, source)
        self._add_slide_image(dataset, placed)
        self._add_references(dataset, placed)
        return dataset

    def _shows_channel(self, image: TiledImage) -> bool:
        return self.channel in read_identifiers(image.metadata)

    def _image_type(self, placed: PlacedPixels) -> list[str]:
        is_resampled = placed.place.level != self.level
        return ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED" if is_resampled else "NONE"]

    def _add_pixels(self, dataset: Dataset, source: Dataset) -> None:
        """Add the Image Pixel Module (PS3.3 C.7.6.3), and which compression lost something."""
        stored = self.stored
        dataset.SamplesPerPixel = stored.samples
        dataset.PhotometricInterpretation = stored.photometric
        dataset.BitsAllocated = stored.bits_allocated
        dataset.BitsStored = stored.bits
        dataset.HighBit = stored.bits - 1
        dataset.PixelRepresentation = 0
        if stored.samples == 3:
            dataset.PlanarConfiguration = stored.planar_configuration
        else:
            dataset.PresentationLUTShape = "IDENTITY"
            dataset.RescaleIntercept = 0
            dataset.RescaleSlope = 1
        # What was lost before stays lost
        dataset.LossyImageCompression = source.get("LossyImageCompression", "00")
        methods, ratios = (values_of(source, keyword) for keyword in _LOSSY)
        if len(methods) != len(ratios):
            methods, ratios = [], []
        if method := TRANSFER_SYNTAXES[stored.transfer_syntax].lossy_method:
            dataset.LossyImageCompression = "01"
            methods.append(method)
        for keyword, values in zip(_LOSSY, (methods, ratios), strict=True):
            if values:
                setattr(dataset, keyword, values)

    def _add_slide_image(self, dataset: Dataset, placed: PlacedPixels) -> None:
        """Add the Whole Slide Microscopy Image Module and its frames (PS3.3 C.8.12.4)."""
        source, stated = placed.sources[0].metadata, placed.stated
        path = self._make_optical_path(source)
        dataset.ImageType = self._image_type(placed)
        dataset.VolumetricProperties = "VOLUME"
        height, width = (n * step for n, step in zip(placed.size, stated.spacing, strict=True))
        dataset.ImagedVolumeHeight, dataset.ImagedVolumeWidth = height, width
        # The depth is in micrometres
        dataset.ImagedVolumeDepth = thickness_of(source) * 1000
        add_position(dataset, stated)
        dataset.NumberOfOpticalPaths = dataset.TotalPixelMatrixFocalPlanes = 1
        dataset.OpticalPathSequence = [path]
        organization = Dataset()
        organization.DimensionOrganizationUID = generate_uid(prefix=None)
        dataset.DimensionOrganizationSequence = [organization]
        dataset.DimensionOrganizationType = "TILED_FULL"
        frame_type, identification, shared = Dataset(), Dataset(), Dataset()
        frame_type.FrameType = self._image_type(placed)
        identification.OpticalPathIdentifier = path.OpticalPathIdentifier
        shared.PixelMeasuresSequence = [make_measures(placed)]
        shared.WholeSlideMicroscopyImageFrameTypeSequence = [frame_type]
        shared.OpticalPathIdentificationSequence = [identification]
        dataset.SharedFunctionalGroupsSequence = [shared]

    def _make_optical_path(self, source: Dataset) -> Dataset:
        """Make the item of the optical path: that of the source, with the colours of the pixels."""
        paths = dict(zip(read_identifiers(source), channel_items(source), strict=False))
        found = paths.get(self.channel or "") or next(iter(paths.values()), Dataset())
        item = Dataset()
        item.OpticalPathIdentifier = "1"
        for element in found:
            if element.keyword not in _OF_COLORS:
                item[element.tag] = element
        if self.optical_path is not None:
            for keyword in ("OpticalPathIdentifier", "OpticalPathDescription"):
                # Assigning to an element that both data sets have would change the source
                item.pop(keyword, None)
                setattr(item, keyword, self.optical_path)
        if self.stored.samples == 3:
            if self.profile is None:
                item.ICCProfile, item.ColorSpace = make_srgb_profile(), "SRGB"
            else:
                item.ICCProfile = self.profile
        return item

    def _add_references(self, dataset: Dataset, placed: PlacedPixels) -> None:
        """Add what the image was derived from, and how (PS3.3 C.7.6.1, C.12.4)."""
        derivations = [self.derivation]
        if placed.place.level != self.level:
            derivations.append(codes.cid7203.SpatialResampling)
        derivation = make_derivation(placed, derivations)
        dataset.SharedFunctionalGroupsSequence[0].DerivationImageSequence = [derivation]
        dataset.DerivationCodeSequence = derivation.DerivationCodeSequence
        dataset.SourceImageSequence = derivation.SourceImageSequence
        if self.description is not None:
            dataset.DerivationDescription = self.description
        by_series: dict[str, list[Dataset]] = {}
        for source in (placed.sources[0].metadata, *further_sources(placed)):
            by_series.setdefault(str(source.SeriesInstanceUID), []).append(make_reference(source))
        dataset.ReferencedSeriesSequence = []
        for uid, references in by_series.items():
            item = Dataset()
            item.SeriesInstanceUID = uid
            item.ReferencedInstanceSequence = references
            dataset.ReferencedSeriesSequence.append(item)


def _identify(source: Dataset, keywords: dict[str, Any]) -> hd.base.SOPClass:
    """Make a data set of patient, study, series, equipment and instance.

    Raises
    ------
    ArgumentTypeError
        When a keyword is of something that images do not have
    """
    for name in _OF_OTHERS:
        if name in keywords:
            raise ArgumentTypeError(f"{name}: images have none; series_description describes them")
    equipment = list(keywords.pop("contributing_equipment", ()))
    pyramid = {"pyramid_uid": generate_uid(prefix=None)}
    pyramid |= {name: keywords.pop(name) for name in _PYRAMID if name in keywords}
    dataset = hd.base.SOPClass(
        study_instance_uid=source.StudyInstanceUID,
        sop_class_uid=VLWholeSlideMicroscopyImageStorage,
        modality="SM",
        transfer_syntax_uid=EXPLICIT_LITTLE_ENDIAN,
        **keywords,
    )
    dataset.copy_patient_and_study_information(source)
    if source.get("Manufacturer"):
        equipment.insert(0, hd.ContributingEquipment.for_image_acquisition(source))
    if equipment:
        dataset.ContributingEquipmentSequence = equipment
    for name, value in pyramid.items():
        setattr(dataset, _PYRAMID[name], value)
    return dataset
