"""Stores of the URLs of DICOMweb services, and of clients of ``dicomweb_client``."""

from functools import partial
from typing import Any

from dicomweb_client.api import DICOMClient, DICOMfileClient

from dicomslide.sources.clients import ClientService, client_frames, file_client_frames
from dicomslide.sources.dicomweb import service_of_client, service_of_url
from dicomslide.sources.webframes import web_frames
from dicomslide.stores.services import ServiceStore

__all__ = ["client_store", "url_store"]


def url_store(
    url: str, session: Any = None, credentials: tuple[str, str] | str | None = None
) -> ServiceStore:
    """Make the store of a URL that starts with ``dicomweb+``.

    Raises
    ------
    TypeError, ValueError
        When the URL, the session or the credentials cannot be used
    """
    service, study, series = service_of_url(url, session, credentials)
    return ServiceStore(service, partial(web_frames, service), study, series)


def client_store(client: DICOMClient) -> ServiceStore:
    """Make the store of a client: its service, the files that it knows, or what it retrieves."""
    if (service := service_of_client(client)) is not None:
        return ServiceStore(service, partial(web_frames, service))
    if isinstance(client, DICOMfileClient):
        return ServiceStore(ClientService(client), partial(file_client_frames, client))
    return ServiceStore(ClientService(client), partial(client_frames, client))
