"""Damaged slides end in right pixels, in other ones for a reason, or in an error of the package.

This is a small part of ``python -m tests.fuzzing``, with fixed seeds. The environment variables
``DICOMSLIDE_FUZZING_CASES`` and ``DICOMSLIDE_FUZZING_SEED`` set other ones.
"""

import os
from collections import Counter

import numpy as np
import pytest
from pydicom.uid import JPEGBaseline8Bit

from dicomslide import open_slide
from tests.fuzzing.cases import Case
from tests.fuzzing.doors import DOORS
from tests.fuzzing.elements import read_file
from tests.fuzzing.kinds import KINDS, write_kinds
from tests.fuzzing.workers import run_cases

CASES = int(os.environ.get("DICOMSLIDE_FUZZING_CASES", "80"))
SEED = os.environ.get("DICOMSLIDE_FUZZING_SEED", "1")
# Doors of a case, beside `open_slide`: fewer of them make room for more cases
SOME_DOORS = 2


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    return folder, write_kinds(folder)


@pytest.fixture(scope="module")
def cases(written) -> list[Case]:
    return list(run_cases(written[0], SEED, range(CASES), SOME_DOORS))


@pytest.mark.parametrize("kind", KINDS)
def test_slides_are_right_to_begin_with(written, kind):
    slide = written[1][kind]
    with open_slide(slide.folder, correct_color=False) as opened:
        for path in range(len(slide.optical_paths)):
            for plane in range(slide.options.focal_planes):
                found = opened.get_image_region((0, 0), 0, opened.size, path, plane).astype(int)
                difference = np.abs(found - slide.levels[0].pixels(path, plane))
                assert difference.mean() < 5 if is_lossy(slide) else not difference.any()


def is_lossy(slide) -> bool:
    lossy = (JPEGBaseline8Bit, "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.112")
    return slide.options.transfer_syntax in (*lossy, "1.2.840.10008.1.2.4.203")


@pytest.mark.parametrize("kind", KINDS)
def test_trees_that_are_not_damaged_are_the_files(written, kind):
    for path in written[1][kind].paths:
        data = path.read_bytes()
        assert read_file(data).encode() == data


def test_nothing_but_errors_of_the_package_comes_out(cases):
    """Neither does a process die, hang, or take more memory or time than is allowed."""
    faults = [
        f"python -m tests.fuzzing --seed {SEED} --case {case.number}: {case.what}: {door}: {text}"
        for case in cases
        for door, text in case.results.items()
        if text.startswith("FAULT")
    ]
    assert not faults, "\n".join(faults[:5])
    assert [case.number for case in cases] == list(range(CASES))


def test_cases_have_results_of_every_sort(cases):
    """Cases that always fail, or never, would find nothing."""
    results = Counter(case.results.get("open_slide") for case in cases)
    for result in ("right", "InvalidImageError", "FrameError", "other frames"):
        assert results[result], results
    assert set().union(*(case.results for case in cases)) == {"open_slide", *DOORS}
