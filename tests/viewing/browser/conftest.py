"""A browser that looks at viewers."""

import shutil
from collections.abc import Iterator

import pytest

from tests.viewing.browser.chromium import Browser


@pytest.fixture(scope="session")
def _browser() -> Iterator[Browser]:
    for name in ("chromium", "chromium-browser"):
        if path := shutil.which(name):
            break
    else:
        pytest.skip("chromium is not installed")
    with Browser(path) as browser:
        yield browser


@pytest.fixture
def browser(_browser: Browser) -> Iterator[Browser]:
    """A page of 1200 x 800 pixels, in which nothing may go wrong."""
    _browser.resize(1200, 800)
    _browser.errors.clear()
    yield _browser
    assert _browser.errors == []
    _browser.open("about:blank#closed")
