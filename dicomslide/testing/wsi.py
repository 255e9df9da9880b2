"""Builds VL Whole Slide Microscopy Image data sets (PS3.3 A.32.8), all but their pixels."""

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.uid import VLWholeSlideMicroscopyImageStorage

from dicomslide.metadata.transfer_syntaxes import TRANSFER_SYNTAXES
from dicomslide.testing.dimensions import (
    add_concatenation,
    add_dimensions,
    add_functional_groups,
)
from dicomslide.testing.instance import Instance
from dicomslide.testing.items import (
    DCM,
    SCT,
    format_decimal,
    make_code,
    make_item,
    make_stain_code,
)
from dicomslide.testing.options import OpticalPath, SlideOptions

__all__ = ["DATE", "TIME", "build_dataset"]

DATE, TIME = "20260101", "120000"


def build_dataset(
    options: SlideOptions, instance: Instance, number: int, sources: Sequence[Instance] = ()
) -> Dataset:
    """Build the data set of an instance.

    Parameters
    ----------
    options : SlideOptions
        The slide
    instance : Instance
        The instance
    number : int
        Instance Number
    sources : sequence of Instance, optional
        Instances that it was resampled from

    Returns
    -------
    pydicom.Dataset
        The data set without Pixel Data and Lossy Image Compression Ratio
    """
    dataset = Dataset()
    _add_identity(dataset, options, instance)
    dataset.InstanceNumber = number
    _add_specimen(dataset, options)
    _add_pixels(dataset, instance)
    _add_slide_image(dataset, options, instance)
    _add_optical_paths(dataset, options, instance)
    add_dimensions(dataset, options, instance)
    add_functional_groups(dataset, options, instance, sources)
    if sources:
        _add_references(dataset, options, sources)
    if instance.flavor == "LABEL":
        dataset.LabelText = options.container
        dataset.BarcodeValue = options.container
    if instance.part:
        add_concatenation(dataset, options, instance, instance.part)
    return dataset


def _add_identity(dataset: Dataset, options: SlideOptions, instance: Instance) -> None:
    dataset.ImageType = instance.image_type
    dataset.SOPClassUID = VLWholeSlideMicroscopyImageStorage
    dataset.SOPInstanceUID = options.make_uid("instance", instance.file_name)
    if instance.flavor in ("VOLUME", "THUMBNAIL"):
        dataset.PyramidUID = options.make_uid("pyramid")
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = DATE
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = TIME
    dataset.AcquisitionDateTime = DATE + TIME
    dataset.AccessionNumber = options.accession_number
    dataset.Modality = "SM"
    dataset.Manufacturer = options.manufacturer
    dataset.ReferringPhysicianName = ""
    dataset.ManufacturerModelName = "synthetic slide"
    dataset.VolumetricProperties = "VOLUME"
    dataset.PatientName = options.patient_name
    dataset.PatientID = options.patient_id
    dataset.PatientBirthDate = ""
    dataset.PatientSex = ""
    dataset.DeviceSerialNumber = "1"
    dataset.SoftwareVersions = "1"
    dataset.StudyInstanceUID = options.study
    dataset.SeriesInstanceUID = options.series
    dataset.StudyID = options.study_id
    dataset.SeriesNumber = 1
    dataset.FrameOfReferenceUID = options.frame_of_reference
    dataset.PositionReferenceIndicator = "SLIDE_CORNER"


def _add_specimen(dataset: Dataset, options: SlideOptions) -> None:
    dataset.ContainerIdentifier = options.container
    dataset.IssuerOfTheContainerIdentifierSequence = []
    dataset.ContainerTypeCodeSequence = [make_code("433466003", SCT, "Microscope slide")]
    dataset.AcquisitionContextSequence = []
    stains = [path.stain for path in options.optical_path_items if path.stain]
    dataset.SpecimenDescriptionSequence = [
        make_item(
            SpecimenIdentifier=options.container,
            SpecimenUID=options.make_uid("specimen"),
            IssuerOfTheSpecimenIdentifierSequence=[],
            SpecimenTypeCodeSequence=[make_code("430856003", SCT, "Tissue section")],
            SpecimenShortDescription="Synthetic colon",
            SpecimenPreparationSequence=[_make_staining_step(options, stains)],
            PrimaryAnatomicStructureSequence=[make_code("71854001", SCT, "Colon")],
        )
    ]


def _make_staining_step(options: SlideOptions, stains: Sequence[str]) -> Dataset:
    """Make the item of the staining, with TID 8001 and TID 8003 of PS3.16."""
    items = [
        make_item(
            ValueType="TEXT",
            ConceptNameCodeSequence=[make_code("121041", DCM, "Specimen Identifier")],
            TextValue=options.container,
        ),
        _make_coded_content(
            make_code("111701", DCM, "Processing type"), make_code("127790008", SCT, "Staining")
        ),
    ]
    # "hematoxylin and eosin" are two substances
    for stain in dict.fromkeys(part for name in stains for part in name.split(" and ")):
        name = make_code("424361007", SCT, "Using substance")
        items.append(_make_coded_content(name, make_stain_code(stain)))
    return make_item(SpecimenPreparationStepContentItemSequence=items)


def _make_coded_content(name: Dataset, value: Dataset) -> Dataset:
    return make_item(ValueType="CODE", ConceptNameCodeSequence=[name], ConceptCodeSequence=[value])


def _add_pixels(dataset: Dataset, instance: Instance) -> None:
    stored = instance.pixel_format
    dataset.SamplesPerPixel = stored.samples
    dataset.PhotometricInterpretation = stored.photometric
    if stored.samples > 1:
        dataset.PlanarConfiguration = stored.planar_configuration
    dataset.NumberOfFrames = len(instance.frames)
    dataset.Rows, dataset.Columns = instance.tile
    dataset.BitsAllocated = stored.bits_allocated
    dataset.BitsStored = stored.bits
    dataset.HighBit = stored.bits - 1
    dataset.PixelRepresentation = int(stored.signed)
    if stored.samples == 1:
        dataset.PresentationLUTShape = (
            "IDENTITY" if stored.photometric == "MONOCHROME2" else "INVERSE"
        )
        dataset.RescaleIntercept = 0
        dataset.RescaleSlope = 1
    dataset.BurnedInAnnotation = "YES" if instance.flavor in ("LABEL", "OVERVIEW") else "NO"
    method = TRANSFER_SYNTAXES[stored.transfer_syntax].lossy_method
    dataset.LossyImageCompression = "01" if method else "00"
    if method:
        dataset.LossyImageCompressionMethod = method


def _add_slide_image(dataset: Dataset, options: SlideOptions, instance: Instance) -> None:
    dataset.ImagedVolumeWidth = instance.size[1] * instance.spacing[1]
    dataset.ImagedVolumeHeight = instance.size[0] * instance.spacing[0]
    dataset.ImagedVolumeDepth = len(instance.focal_planes) * options.focal_plane_spacing
    dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns = instance.size
    x, y = instance.origin
    dataset.TotalPixelMatrixOriginSequence = [
        make_item(
            XOffsetInSlideCoordinateSystem=format_decimal(x),
            YOffsetInSlideCoordinateSystem=format_decimal(y),
            ZOffsetInSlideCoordinateSystem=format_decimal(
                instance.focal_planes[0] * options.focal_plane_spacing
            ),
        )
    ]
    dataset.ImageOrientationSlide = [format_decimal(cosine) for cosine in instance.orientation]
    dataset.SpecimenLabelInImage = "YES" if instance.flavor in ("LABEL", "OVERVIEW") else "NO"
    dataset.FocusMethod = "AUTO"
    dataset.ExtendedDepthOfField = "NO"
    dataset.NumberOfOpticalPaths = len(instance.optical_paths)
    dataset.TotalPixelMatrixFocalPlanes = len(instance.focal_planes)


def _add_optical_paths(dataset: Dataset, options: SlideOptions, instance: Instance) -> None:
    stored = instance.pixel_format
    items = []
    for path in (options.optical_path_items[index] for index in instance.optical_paths):
        item = _make_optical_path(path, stored.samples)
        if stored.samples == 3 and options.profile:
            item.ICCProfile = options.profile
            if options.icc_profile is True:
                item.ColorSpace = "SRGB"
        items.append(item)
    dataset.OpticalPathSequence = items


def _make_optical_path(path: OpticalPath, samples: int) -> Dataset:
    item = make_item(OpticalPathIdentifier=path.identifier)
    if path.description is not None:
        item.OpticalPathDescription = path.description
    if samples == 3:
        item.IlluminationTypeCodeSequence = [make_code("111744", DCM, "Brightfield illumination")]
    else:
        item.IlluminationTypeCodeSequence = [
            make_code("111743", DCM, "Epifluorescence illumination")
        ]
    if path.wavelength_nm is None:
        item.IlluminationColorCodeSequence = [make_code("414298005", SCT, "Full Spectrum")]
    else:
        item.IlluminationWaveLength = path.wavelength_nm
    if path.stain is not None and samples == 1:
        item.ChannelDescriptionCodeSequence = [make_stain_code(path.stain)]
    item.ObjectiveLensPower = "20.0"
    item.ObjectiveLensNumericalAperture = "0.75"
    return item


def _add_references(dataset: Dataset, options: SlideOptions, sources: Sequence[Instance]) -> None:
    """Add the Common Instance Reference Module (PS3.3 C.12.2)."""
    instances = [
        make_item(
            ReferencedSOPClassUID=VLWholeSlideMicroscopyImageStorage,
            ReferencedSOPInstanceUID=options.make_uid("instance", source.file_name),
        )
        for source in sources
    ]
    dataset.ReferencedSeriesSequence = [
        make_item(SeriesInstanceUID=options.series, ReferencedInstanceSequence=instances)
    ]
