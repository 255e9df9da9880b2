"""What a channel is: an optical path, a segment or a parameter."""

import highdicom as hd
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ParametricMapStorage,
    SegmentationStorage,
    VLWholeSlideMicroscopyImageStorage,
    generate_uid,
)

from dicomslide import ChannelTypes
from dicomslide.errors import InvalidImageError
from dicomslide.metadata import stains
from dicomslide.metadata.channels import channel_type, read_channels
from dicomslide.sources.files import open_image_file

LabelMapSegmentationStorage = UID("1.2.840.10008.5.1.4.1.1.66.7")

TISSUE = Code("85756007", "SCT", "Tissue")
NUCLEUS = Code("84640000", "SCT", "Nucleus")
HEMATOXYLIN = Code("12710003", "SCT", "hematoxylin stain")
EOSIN = Code("36879007", "SCT", "water soluble eosin stain")


def make_image(sop_class_uid: str) -> Dataset:
    image = Dataset()
    image.SOPClassUID = sop_class_uid
    image.SOPInstanceUID = "1.2.3"
    return image


def make_slide_image(*identifiers: str) -> Dataset:
    image = make_image(VLWholeSlideMicroscopyImageStorage)
    image.OpticalPathSequence = []
    for identifier in identifiers:
        path = Dataset()
        path.OpticalPathIdentifier = identifier
        image.OpticalPathSequence.append(path)
    return image


def make_mapping(label: str, slope: float = 1.0, intercept: float = 0.0) -> Dataset:
    return hd.pm.RealWorldValueMapping(
        lut_label=label,
        lut_explanation=f"explanation of {label}",
        unit=Code("um", "UCUM", "micrometre"),
        value_range=(0, 255),
        slope=slope,
        intercept=intercept,
    )


def make_groups(*mappings: list[Dataset]) -> list[Dataset]:
    groups = []
    for mapping in mappings:
        item = Dataset()
        item.RealWorldValueMappingSequence = mapping
        groups.append(item)
    return groups


@pytest.mark.parametrize(
    ("sop_class_uid", "expected"),
    [
        (VLWholeSlideMicroscopyImageStorage, ChannelTypes.OPTICAL_PATH),
        (SegmentationStorage, ChannelTypes.SEGMENT),
        (LabelMapSegmentationStorage, ChannelTypes.SEGMENT),
        (ParametricMapStorage, ChannelTypes.PARAMETER),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_sop_class_decides_what_channels_are(sop_class_uid, expected):
    assert channel_type(make_image(sop_class_uid)) is expected


class TestOpticalPaths:
    def test_order_is_that_of_the_optical_path_sequence(self):
        channels = read_channels(make_slide_image("10", "2", "A"))
        assert [channel.identifier for channel in channels] == ["10", "2", "A"]
        assert {channel.type for channel in channels} == {ChannelTypes.OPTICAL_PATH}

    def test_description_and_wavelength_are_those_of_the_optical_path(self):
        image = make_slide_image("1", "2")
        image.OpticalPathSequence[0].OpticalPathDescription = "DAPI channel"
        image.OpticalPathSequence[0].IlluminationWaveLength = 385.0
        described, plain = read_channels(image)
        assert (described.label, described.wavelength) == ("DAPI channel", 385.0)
        assert (plain.label, plain.wavelength) == ("", None)

    @pytest.mark.parametrize(
        ("illumination", "filtered"), [(0.0, 0), (-1.0, 0), (float("nan"), 0), (None, None)]
    )
    def test_wavelength_that_no_light_has_is_not_known(self, illumination, filtered):
        image = make_slide_image("1")
        image.OpticalPathSequence[0].IlluminationWaveLength = illumination
        image.OpticalPathSequence[0].ImagePathFilterPassThroughWavelength = filtered
        (channel,) = read_channels(image)
        assert channel.wavelength is None
        assert channel.emission is None

    def test_stains_of_all_specimens_are_named_once(self):
        image = make_slide_image("1")
        image.SpecimenDescriptionSequence = [
            hd.SpecimenDescription(
                specimen_id="S-1",
                specimen_uid=generate_uid(),
                specimen_preparation_steps=[
                    hd.SpecimenPreparationStep(
                        specimen_id="S-1", processing_procedure=hd.SpecimenStaining(stains)
                    )
                ],
            )
            for stains in ([HEMATOXYLIN, EOSIN], [EOSIN])
        ]
        (channel,) = read_channels(image)
        meanings = [stain.meaning for stain in channel.stains]
        assert meanings == ["hematoxylin stain", "water soluble eosin stain"]

    def test_image_without_optical_path_sequence_has_one_channel(self):
        (channel,) = read_channels(make_image(VLWholeSlideMicroscopyImageStorage))
        assert channel.type is ChannelTypes.OPTICAL_PATH
        assert channel.identifier == "1"


class TestSegments:
    def test_identifier_is_the_segment_number(self):
        image = make_image(SegmentationStorage)
        image.SegmentSequence = [
            hd.seg.SegmentDescription(
                segment_number=number,
                segment_label=label,
                segmented_property_category=TISSUE,
                segmented_property_type=NUCLEUS,
                algorithm_type="MANUAL",
            )
            for number, label in ((1, "nuclei"), (2, "large nuclei"))
        ]
        channels = read_channels(image)
        assert [channel.identifier for channel in channels] == ["1", "2"]
        assert [channel.label for channel in channels] == ["nuclei", "large nuclei"]
        for channel in channels:
            (category,), (kind,) = channel.categories, channel.property_types
            assert (category.meaning, category.value) == ("Tissue", TISSUE.value)
            assert (kind.meaning, kind.scheme_designator) == ("Nucleus", "SCT")
        assert {channel.algorithm for channel in channels} == {"MANUAL"}

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            # L* is 0 to 100, a* and b* are -128 to 127 (PS3.3 C.10.7.1.1)
            ([0, 32896, 32896], "000000"),
            ([65535, 32896, 32896], "FFFFFF"),
            # Greener and brighter than a display can be
            ([65535, 0, 65535], "00FF00"),
            ([30000, 30000], ""),
            (None, ""),
        ],
    )
    def test_colour_is_the_one_to_display(self, value, expected):
        image = make_image(SegmentationStorage)
        image.SegmentSequence = [Dataset()]
        image.SegmentSequence[0].SegmentNumber = 1
        if value is not None:
            image.SegmentSequence[0].RecommendedDisplayCIELabValue = value
        image.SegmentationType = "BINARY"
        (channel,) = read_channels(image)
        assert (channel.color, channel.segmentation_type) == (expected, "BINARY")

    def test_segmentation_needs_segments(self):
        with pytest.raises(InvalidImageError, match=r"1\.2\.3.*Segment Sequence"):
            read_channels(make_image(SegmentationStorage))


class TestParameters:
    def test_shared_mapping_is_the_only_channel(self):
        image = make_image(ParametricMapStorage)
        image.SharedFunctionalGroupsSequence = make_groups([make_mapping("SIZE", 0.5, -1.0)])
        (channel,) = read_channels(image)
        assert channel.identifier == "SIZE"
        assert channel.label == "explanation of SIZE"
        assert channel.unit == "um"
        assert (channel.slope, channel.intercept) == (0.5, -1.0)

    def test_mappings_of_frames_are_channels_in_order_of_appearance(self):
        image = make_image(ParametricMapStorage)
        image.PerFrameFunctionalGroupsSequence = make_groups(
            [make_mapping("B")], [make_mapping("A")], [make_mapping("B")]
        )
        assert [channel.identifier for channel in read_channels(image)] == ["B", "A"]

    def test_first_of_alternative_mappings_counts(self):
        image = make_image(ParametricMapStorage)
        image.SharedFunctionalGroupsSequence = make_groups([make_mapping("A"), make_mapping("B")])
        assert [channel.identifier for channel in read_channels(image)] == ["A"]

    def test_first_mapping_of_a_label_counts(self):
        image = make_image(ParametricMapStorage)
        image.PerFrameFunctionalGroupsSequence = make_groups(
            [make_mapping("A", slope=2.0)], [make_mapping("A", slope=3.0)]
        )
        (channel,) = read_channels(image)
        assert channel.slope == 2.0

    def test_image_without_mapping_has_one_channel(self):
        (channel,) = read_channels(make_image(ParametricMapStorage))
        assert channel.type is ChannelTypes.PARAMETER
        assert (channel.slope, channel.intercept) == (1.0, 0.0)


def test_stains_that_images_repeat_are_parsed_once(make_slide, monkeypatch):
    slide = make_slide(
        samples=1, optical_paths=4, optical_paths_in="each", transfer_syntax=ExplicitVRLittleEndian
    )
    parsed, parse = [], stains.stainings_of_specimen
    monkeypatch.setattr(
        stains, "stainings_of_specimen", lambda item: parsed.append(item) or parse(item)
    )
    stains._parsed.cache_clear()
    datasets = [open_image_file(path)[0] for path in slide.paths]
    assert len(datasets) == 4
    found = [read_channels(dataset)[0].stains for dataset in datasets]
    assert [len(own) for own in found] == [1, 1, 1, 1]
    specimens = len(datasets[0].SpecimenDescriptionSequence)
    assert len(parsed) == specimens
    # What was parsed by others says the same
    assert read_channels(datasets[0])[0].stains == found[0]
