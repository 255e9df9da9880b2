"""URLs of services: names without secrets for messages, joining, and origins."""

import re
from typing import TypeGuard
from urllib.parse import urljoin

from urllib3.util import Url, parse_url

from dicomslide.errors import SourceError

__all__ = [
    "SERVICE_PREFIX",
    "is_service_url",
    "join_url",
    "name_of_url",
    "origin_of_url",
    "parse_web_url",
    "secrets_of",
    "without_secrets",
]

SERVICE_PREFIX = "dicomweb+"
"""Prefix that tells the URL of a DICOMweb service from the URL of a file."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_NAME = 320
# User and password, query and fragment, also inside of chained URLs; and line breaks and tabs
_SECRETS = re.compile(r"(?<=//)[^/?#]*@|[?#].*|[\t\r\n]", re.DOTALL)


def is_service_url(source: object) -> TypeGuard[str]:
    """Whether a source is the URL of a DICOMweb service: ``dicomweb+https://…``."""
    return isinstance(source, str) and source.startswith(SERVICE_PREFIX)


def without_secrets(url: str) -> str:
    """Remove user and password from a URL, and the query, which may identify a patient."""
    return _SECRETS.sub("", url)


def secrets_of(url: str) -> tuple[str, ...]:
    """Return the parts of a URL that `without_secrets` removes."""
    return tuple(_SECRETS.findall(url))


def name_of_url(url: str) -> str:
    """Make the name of a URL for messages: without secrets, and shortened if it is long."""
    name = without_secrets(url)
    return name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 20]}…{name[-20:]}"


def join_url(base: str, url: str) -> str:
    """Make a URL absolute.

    Raises
    ------
    SourceError
        When the URL is invalid
    """
    try:
        return urljoin(base, url)
    except ValueError as error:
        raise SourceError(
            f"{name_of_url(base)}: refers to {name_of_url(url)!r}, which is no URL"
        ) from error


def parse_web_url(url: str) -> Url | None:
    """Parse an HTTP URL as urllib3, which connects to it, does; None for other URLs."""
    try:
        parts = parse_url(url)
    except ValueError:
        return None
    return parts if parts.scheme in _DEFAULT_PORTS and parts.host else None


def origin_of_url(url: str) -> tuple[str | None, str | None, int] | None:
    """Get scheme, host and port of an HTTP URL; None for other URLs."""
    parts = parse_web_url(url)
    return parts and (parts.scheme, parts.host, parts.port or _DEFAULT_PORTS[str(parts.scheme)])
