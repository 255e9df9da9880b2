"""Whether what a search found is what was searched for."""

import pytest

from dicomslide.stores.series import matches


def item(**values: str):
    tags = {"PatientID": "00100020", "StudyID": "00200010"}
    return {tags[name]: {"vr": "LO", "Value": [value]} for name, value in values.items()}


@pytest.mark.parametrize(
    ("told", "wanted", "is_found"),
    [
        # Wild cards of PS3.4 C.2.2.2.4
        ("P-1", "P-1", True),
        ("P-1", "P-2", False),
        ("P-12", "P-1", False),
        ("P-12", "P-1*", True),
        ("P-12", "P-??", True),
        ("P-12", "P-?", False),
        ("P-12", "*2", True),
        ("P-12", "", True),
        # What pads a text does not count, and nothing else is a pattern
        (" P-1 ", "P-1", True),
        ("P-1", " P-1", True),
        ("p-1", "P-1", True),
        ("P.1", "P.1", True),
        ("P-1", "P.1", False),
        ("P[1]", "P[1]", True),
        ("P1", "P[1]", False),
    ],
)
def test_value_is_like_the_one_wanted(told, wanted, is_found):
    assert matches(item(PatientID=told), {"PatientID": wanted}) is is_found


def test_value_that_is_not_told_may_be_any():
    assert matches({}, {"PatientID": "P-1"})
    assert matches({"00100020": {"vr": "LO"}}, {"PatientID": "P-1"})


def test_all_values_are_wanted_together():
    both = item(PatientID="P-1", StudyID="S-1")
    assert matches(both, {})
    assert matches(both, {"PatientID": "P-1", "StudyID": "S-1"})
    assert not matches(both, {"PatientID": "P-1", "StudyID": "S-2"})
