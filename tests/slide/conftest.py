"""The small slides that the tests of Slide share."""

import pytest

from dicomslide import open_slide
from dicomslide.testing import SegmentationOptions
from tests.slide.derived import SLIDE
from tests.slide.small import SMALL, read_metadata


@pytest.fixture(scope="module")
def written(make_slide):
    return make_slide(**SMALL)


@pytest.fixture(scope="module")
def slide(written):
    return open_slide(written.folder)


@pytest.fixture(scope="module")
def metadata(written):
    return read_metadata(written)


@pytest.fixture(scope="module")
def annotated(make_slide):
    """A slide with an optical path, two segmentations and a parametric map."""
    return make_slide(
        **SMALL,
        segmentations=(
            SegmentationOptions("BINARY", ("nucleus", "stroma")),
            SegmentationOptions("BINARY", ("epithelium", "tissue"), levels=(0,)),
        ),
        parametric_maps=("float",),
    )


@pytest.fixture(scope="module")
def annotated_slide(annotated):
    return open_slide(annotated.folder)


@pytest.fixture(scope="module")
def plain(make_slide):
    """A slide of three levels of colour, to derive images from."""
    return make_slide(**SLIDE)


@pytest.fixture(scope="module", params=("centres", "same"))
def either(request, make_slide):
    """The same: its levels state their own origins, or repeat that of the base level."""
    return make_slide(**SLIDE, level_origins=request.param)
