"""Items of DICOM sequences match when every criterion that is given matches."""

from itertools import product

import highdicom as hd
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from dicomslide import (
    does_optical_path_item_match,
    does_segment_item_match,
    does_specimen_description_item_match,
)

TISSUE = Code("85756007", "SCT", "Tissue")
NUCLEUS = Code("84640000", "SCT", "Nucleus")
HEMATOXYLIN = Code("12710003", "SCT", "hematoxylin stain")
EOSIN = Code("36879007", "SCT", "water soluble eosin stain")
DAPI = Code("C-22968", "SRT", "DAPI")


def make_optical_path() -> Dataset:
    item = Dataset()
    item.OpticalPathIdentifier = "2"
    item.OpticalPathDescription = "DAPI channel"
    item.IlluminationWaveLength = 385.0
    return item


def make_segment() -> hd.seg.SegmentDescription:
    return hd.seg.SegmentDescription(
        segment_number=3,
        segment_label="nuclei",
        segmented_property_category=TISSUE,
        segmented_property_type=NUCLEUS,
        algorithm_type="MANUAL",
    )


def make_specimen(*steps: tuple[Code, ...]) -> hd.SpecimenDescription:
    """Describe a specimen that was stained with the substances of each step."""
    return hd.SpecimenDescription(
        specimen_id="S-1",
        specimen_uid=generate_uid(),
        specimen_preparation_steps=[
            hd.SpecimenPreparationStep(
                specimen_id="S-1", processing_procedure=hd.SpecimenStaining(substances)
            )
            for substances in steps
        ]
        or None,
    )


def is_matched_by_every_choice(match, item, right, wrong):
    """Check all choices of criteria: each is left out, right or wrong."""
    for choice in product(("absent", "right", "wrong"), repeat=len(right)):
        values = {"right": right, "wrong": wrong}
        criteria = {
            name: values[kind][name]
            for name, kind in zip(right, choice, strict=True)
            if kind != "absent"
        }
        if match(item, **criteria) is not ("wrong" not in choice):
            return False
    return True


class TestOpticalPath:
    def test_optical_path_matches_when_every_given_criterion_does(self):
        assert is_matched_by_every_choice(
            does_optical_path_item_match,
            make_optical_path(),
            right={
                "identifier": "2",
                "description": "DAPI channel",
                "illumination_wavelength": 385.0,
            },
            wrong={
                "identifier": "1",
                "description": "FITC channel",
                "illumination_wavelength": 475.0,
            },
        )

    @pytest.mark.parametrize(
        ("keyword", "criterion"),
        [
            ("OpticalPathIdentifier", {"identifier": "2"}),
            ("OpticalPathDescription", {"description": "DAPI channel"}),
            ("IlluminationWaveLength", {"illumination_wavelength": 385.0}),
        ],
    )
    def test_absent_attribute_matches_no_value(self, keyword, criterion):
        item = make_optical_path()
        assert does_optical_path_item_match(item, **criterion)
        delattr(item, keyword)
        assert not does_optical_path_item_match(item, **criterion)
        assert does_optical_path_item_match(item)

    def test_wavelength_is_compared_as_a_number(self):
        assert does_optical_path_item_match(make_optical_path(), illumination_wavelength=385)

    def test_item_without_attributes_does_not_match_the_name_of_nothing(self):
        assert not does_optical_path_item_match(Dataset(), identifier="None")


class TestSegment:
    def test_segment_matches_when_every_given_criterion_does(self):
        assert is_matched_by_every_choice(
            does_segment_item_match,
            make_segment(),
            right={
                "number": 3,
                "label": "nuclei",
                "property_category": TISSUE,
                "property_type": NUCLEUS,
            },
            wrong={
                "number": 1,
                "label": "nucleus",
                "property_category": NUCLEUS,
                "property_type": TISSUE,
            },
        )

    def test_codes_may_be_coded_concepts(self):
        concept = hd.sr.CodedConcept.from_code(NUCLEUS)
        assert does_segment_item_match(make_segment(), property_type=concept)
        assert not does_segment_item_match(make_segment(), property_category=concept)

    def test_meaning_of_a_code_does_not_count(self):
        assert does_segment_item_match(
            make_segment(), property_type=Code("84640000", "SCT", "Zellkern")
        )

    def test_scheme_of_a_code_counts(self):
        assert not does_segment_item_match(
            make_segment(), property_type=Code("84640000", "99LOCAL", "Nucleus")
        )

    def test_retired_snomed_rt_code_is_the_same_concept(self):
        # PS3.16 annex O maps SRT M-01100 to SCT 52988006, Lesion
        item = make_segment()
        item.SegmentedPropertyTypeCodeSequence[0].CodeValue = "52988006"
        assert does_segment_item_match(item, property_type=Code("M-01100", "SRT", "Lesion"))

    def test_item_without_codes_matches_no_code(self):
        item = Dataset()
        item.SegmentNumber = 3
        assert does_segment_item_match(item, number=3)
        assert not does_segment_item_match(item, property_type=NUCLEUS)
        assert not does_segment_item_match(item, property_category=TISSUE)


class TestSpecimenDescription:
    def test_specimen_matches_any_substance_of_any_step(self):
        item = make_specimen((DAPI,), (HEMATOXYLIN, EOSIN))
        assert all(
            does_specimen_description_item_match(item, specimen_stain=stain)
            for stain in (DAPI, HEMATOXYLIN, EOSIN)
        )

    def test_specimen_does_not_match_another_substance(self):
        assert not does_specimen_description_item_match(
            make_specimen((HEMATOXYLIN,)), specimen_stain=EOSIN
        )

    def test_specimen_matches_where_there_is_no_criterion(self):
        assert does_specimen_description_item_match(make_specimen((HEMATOXYLIN,)))
        assert does_specimen_description_item_match(Dataset())

    def test_unstained_specimen_matches_no_stain(self):
        assert not does_specimen_description_item_match(make_specimen(), specimen_stain=EOSIN)

    def test_stain_may_be_a_coded_concept(self):
        assert does_specimen_description_item_match(
            make_specimen((EOSIN,)), specimen_stain=hd.sr.CodedConcept.from_code(EOSIN)
        )

    def test_only_substances_count(self):
        """The code for staining itself is in the step, too, but as the kind of processing."""
        item = make_specimen((EOSIN,))
        assert "Staining" in str(item)
        assert not does_specimen_description_item_match(item, specimen_stain=codes.SCT.Staining)
