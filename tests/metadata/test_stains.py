"""Stains of specimens, and which optical path shows which of them."""

import pytest
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicomslide.metadata.stains import read_stainings, stainings_of_path
from tests.multiplex import CHANNEL, COMPONENT, FLUOROPHORE, SUBSTANCE, specimen

CD45 = Code("19677004", "SCT", "CD45")
CD3 = Code("44706009", "SCT", "CD3")
ANTI_CD45 = Code("AB_2562057", "RRID", "PE anti-human CD45")
PHYCOERYTHRIN = Code("34101007", "SCT", "Phycoerythrin")
DAPI = Code("C0049053", "UMLS", "DAPI")
HEMATOXYLIN = Code("12710003", "SCT", "hematoxylin stain")
EOSIN = Code("36879007", "SCT", "water soluble eosin stain")


def stainings(*steps):
    dataset = Dataset()
    dataset.SpecimenDescriptionSequence = [specimen(*steps)]
    return read_stainings(dataset)


def meanings(codes):
    return [code.meaning for code in codes]


def test_staining_of_a_multiplex_slide_has_path_component_and_fluorophore():
    # The step that is printed in the documentation of the converter of the HTAN slides
    (staining,) = stainings(
        [
            (CHANNEL, "14"),
            (COMPONENT, CD45),
            (COMPONENT, "CD45"),
            (FLUOROPHORE, PHYCOERYTHRIN),
            (FLUOROPHORE, "PE"),
            (SUBSTANCE, ANTI_CD45),
        ]
    )
    assert staining.path == "14"
    # What is stated as a text as well counts once
    assert [code[:3] for code in staining.components] == [CD45[:3]]
    assert [code[:3] for code in staining.substances] == [ANTI_CD45[:3]]
    assert [code[:3] for code in staining.fluorophores] == [PHYCOERYTHRIN[:3]]


def test_component_without_a_code_is_a_text():
    (staining,) = stainings([(COMPONENT, " PanCK "), (SUBSTANCE, "mouse anti-PanCK")])
    assert staining.components == (("", "", "PanCK", None),)
    assert meanings(staining.substances) == ["mouse anti-PanCK"]


def test_other_steps_are_no_stainings():
    assert stainings([(Code("430864009", "SCT", "Tissue Fixative"), DAPI)]) == ()


class TestPaths:
    """The stainings that an optical path shows."""

    def test_step_names_its_path(self):
        steps = stainings([(CHANNEL, "1"), (COMPONENT, CD3)], [(CHANNEL, "2"), (COMPONENT, CD45)])
        (own,), _ = stainings_of_path(steps, "2", "CD3 by another name", False)
        assert meanings(own.components) == ["CD45"]
        # Steps of other paths are not those of the only path of an instance
        assert stainings_of_path(steps, "3", "", True) == ((), False)

    @pytest.mark.parametrize(
        ("description", "expected"),
        [
            ("DAPI", ["DAPI"]),
            ("cycle 3, dapi", ["DAPI"]),
            ("CD3", ["CD3"]),
            ("CD3-Cy5", ["CD3"]),
            ("CD31", []),
            ("CD3.5", []),
            ("", []),
            ("7", []),
        ],
    )
    def test_description_names_a_stain(self, description, expected):
        steps = stainings([(COMPONENT, CD3)], [(COMPONENT, CD45)], [(SUBSTANCE, DAPI)])
        own, _ = stainings_of_path(steps, "7", description, False)
        assert [name for staining in own for name in staining.names] == expected

    def test_description_that_contains_two_names_means_the_longer_one(self):
        names = ("HLA", "HLA-DR", "Keratin", "Pan-Keratin")
        steps = stainings(*([(COMPONENT, Code(name, "99X", name))] for name in names))
        for name in names:
            (own,), _ = stainings_of_path(steps, "1", name, False)
            assert own.names == [name]

    def test_fluorophore_that_several_stainings_share_names_none_of_them(self):
        fitc = Code("90669001", "SCT", "FITC")
        steps = stainings(*([(COMPONENT, c), (FLUOROPHORE, fitc)] for c in (CD3, CD45)))
        assert stainings_of_path(steps, "1", "Cycle 1 FITC", False) == ((), False)

    def test_description_stands_in_the_name_of_one_stain(self):
        steps = stainings(
            [(SUBSTANCE, ANTI_CD45)], [(SUBSTANCE, Code("1", "99X", "anti-human CD3"))]
        )
        (own,), _ = stainings_of_path(steps, "1", "CD45", False)
        assert own.names == ["PE anti-human CD45"]
        # It stands in the names of both
        assert stainings_of_path(steps, "1", "human", False) == ((), False)

    def test_stains_of_one_step_are_told_apart_by_the_descriptions_of_paths(self):
        steps = stainings([(SUBSTANCE, DAPI), (SUBSTANCE, EOSIN), (SUBSTANCE, HEMATOXYLIN)])
        (own,), _ = stainings_of_path(steps, "1", "DAPI", False)
        assert own.names == ["DAPI"]

    def test_only_path_shows_all_stains(self):
        steps = stainings([(SUBSTANCE, HEMATOXYLIN), (SUBSTANCE, EOSIN)])
        assert stainings_of_path(steps, "1", "Brightfield", True) == (steps, False)
        assert stainings_of_path(steps, "1", "Brightfield", False) == ((), False)


def test_specimens_that_cannot_be_read_say_nothing():
    dataset = Dataset()
    dataset.SpecimenDescriptionSequence = [specimen([(SUBSTANCE, DAPI)])]
    (step,) = dataset.SpecimenDescriptionSequence[0].SpecimenPreparationSequence
    content = step.SpecimenPreparationStepContentItemSequence[1]
    content.ConceptCodeSequence[0].CodeMeaning = ["DAPI", "twice"]
    (staining,) = read_stainings(dataset)
    assert len(staining.substances) == 1
    del content.ConceptCodeSequence
    content.add_new("ConceptCodeSequence", "LO", "no sequence")
    assert read_stainings(dataset) == ()
