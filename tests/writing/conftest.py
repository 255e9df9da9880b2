"""Fixtures of the tests of written results: a slide of three levels."""

import pytest

from dicomslide import open_slide
from tests.writing.results import LEVELS


@pytest.fixture
def written(make_slide):
    return make_slide(**LEVELS)


@pytest.fixture
def slide(written):
    return open_slide(written.folder)
