"""The error for a place that cannot be reached says whether the host or the server is missing."""

import re
import socket

import pytest

from dicomslide import open_slide
from dicomslide.errors import SourceError
from dicomslide.sources.unreachable import why_unreachable

pytestmark = pytest.mark.usefixtures("slept")

# Nobody may register a name that ends in this (RFC 2606)
UNKNOWN = "no-such-host.invalid"
BUCKET = "s3://bucket/slide/"


@pytest.fixture
def address() -> str:
    """Host and port at which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


def error_of(url: str, address: str) -> str:
    """Open a slide at an address that cannot be reached; gives the message."""
    options = None
    if url == BUCKET:
        options = {
            "key": "nobody",
            "secret": "nothing",
            "endpoint_url": f"http://{address}",
            "client_kwargs": {"region_name": "us-east-1"},
            "config_kwargs": {"retries": {"max_attempts": 0}},
        }
    url = url.format(address=address)
    with pytest.raises(SourceError) as caught:
        open_slide(url, storage_options=options)
    assert str(caught.value).startswith(url.removeprefix("dicomweb+"))
    return str(caught.value)


URLS = [
    "http://{address}/slide/",
    "http://{address}/slide.dcm",
    "dicomweb+http://{address}/dicom-web",
    "ftp://{address}/slide/",
    BUCKET,
]


@pytest.mark.parametrize("url", URLS)
def test_message_says_that_nothing_listens(url, address):
    assert re.search(rf": nothing listens at {address}(; asked \d times)?$", error_of(url, address))


@pytest.mark.parametrize("url", URLS)
def test_message_says_that_the_host_is_not_known(url):
    message = error_of(url, UNKNOWN)
    assert re.search(rf": the host {UNKNOWN} is not known(; asked \d times)?$", message)


@pytest.mark.parametrize(
    "error", [FileNotFoundError("a"), PermissionError("a"), TimeoutError(), ConnectionResetError()]
)
def test_other_errors_are_none_of_a_place_that_cannot_be_reached(error):
    assert why_unreachable(error, "https://example.org/a") is None
