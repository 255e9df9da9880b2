"""Values of attributes that a service delivers separately (PS3.18 10.4.1.1.5)."""

from collections.abc import Hashable
from dataclasses import dataclass

from dicomslide.sources.service import Service

__all__ = ["ServiceValue"]

# The most bytes of a value, as services do not state its length before they send it
_MOST_BYTES = 1 << 32


@dataclass(frozen=True)
class ServiceValue:
    """Value that a service has at a URL; a `DeferredValue`.

    Parameters
    ----------
    service : Service
        Service that has the value
    url : str
        URL of the value
    """

    service: Service
    url: str

    @property
    def length(self) -> None:
        """Return None, as services do not tell."""

    @property
    def big_endian(self) -> bool:
        """Whether numbers are in big endian order: services send Explicit VR Little Endian."""
        return False

    @property
    def token(self) -> Hashable:
        """Key that is equal in all processes for the same bytes and the same user."""
        return self.service.identity, self.url

    def fetch(self) -> bytes:
        """Retrieve the value; see `DeferredValue.fetch`."""
        return self.service.retrieve_bulkdata(self.url, _MOST_BYTES)

    def close(self) -> None:
        """Do nothing, as nothing is held for the value."""
