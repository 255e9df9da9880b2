"""Services some of whose answers are known, as an index keeps them; others that note answers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from dicomslide.metadata.json_model import text_of_json
from dicomslide.sources.service import InstanceUids, Json, Service

__all__ = ["KnownService", "NotingService"]

T = TypeVar("T")
R = TypeVar("R")

_STUDY, _SERIES, _INSTANCE, _MODALITY = "0020000D", "0020000E", "00080018", "00080060"


class _Before:
    """Service that stands in front of another one, which other processes use alone."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_service":
            raise AttributeError(name)
        return getattr(self._service, name)

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (self._service,)


class NotingService(_Before):
    """Service that notes the metadata and the bulk data that are retrieved.

    Parameters
    ----------
    service : Service
        Service that is asked
    """

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self.metadata: dict[str, Json] = {}
        """Metadata by SOP Instance UID."""
        self.bulk_data: dict[str, bytes] = {}
        """Bulk data by URL."""

    def retrieve_series_metadata(self, study: str, series: str) -> list[Json]:
        """Retrieve the metadata of a series, and note them."""
        items = self._service.retrieve_series_metadata(study, series)
        self.metadata |= {text_of_json(item, _INSTANCE): item for item in items}
        return items

    def retrieve_instance_metadata(self, uids: InstanceUids) -> Json:
        """Retrieve the metadata of an instance, and note them."""
        item = self._service.retrieve_instance_metadata(uids)
        self.metadata[text_of_json(item, _INSTANCE)] = item
        return item

    def retrieve_bulkdata(self, url: str, *args: int) -> bytes:
        """Retrieve a value, and note it."""
        found = self._service.retrieve_bulkdata(url, *args)
        self.bulk_data[url] = found
        return found


class KnownService(_Before):
    """Service of which the metadata of some instances are known, and all that is searched.

    Parameters
    ----------
    service : Service
        Service that is asked for everything else
    metadata : iterable of dict
        Metadata of the instances
    bulk_data : mapping
        Values by URL
    """

    def __init__(
        self, service: Service, metadata: Iterable[Json], bulk_data: Mapping[str, bytes]
    ) -> None:
        super().__init__(service)
        self._bulk_data = bulk_data
        self._items: dict[tuple[str, str], dict[str, Json]] = {}
        for item in metadata:
            uids = text_of_json(item, _STUDY), text_of_json(item, _SERIES)
            self._items.setdefault(uids, {})[text_of_json(item, _INSTANCE)] = item

    def each(self, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Call a function for each item; nothing is asked, so one after the other."""
        return [function(item) for item in items]

    def search_for_series(
        self, study: str | None = None, _: Mapping[str, str] | None = None
    ) -> list[Json]:
        """Find the known series; filters are applied again to the results."""
        firsts = [
            next(iter(items.values()))
            for uids, items in self._items.items()
            if study in (None, uids[0])
        ]
        return [
            {tag: item[tag] for tag in (_STUDY, _SERIES, _MODALITY) if tag in item}
            for item in firsts
        ]

    def search_in_study(self, study: str) -> tuple[list[Json], int | None]:
        """Find the known series of a study, and count them."""
        found = self.search_for_series(study)
        return found, len(found)

    def search_for_instance(self, study: str, series: str) -> Json | None:
        """Return a known instance of a series."""
        return next(iter(self._items[study, series].values()), None)

    def retrieve_series_metadata(self, study: str, series: str) -> list[Json]:
        """Return the known metadata of a series."""
        return list(self._items[study, series].values())

    def retrieve_instance_metadata(self, uids: InstanceUids) -> Json:
        """Return the known metadata of an instance."""
        return self._items[uids.study, uids.series][uids.instance]

    def retrieve_bulkdata(self, url: str, *args: int) -> bytes:
        """Return a known value, or retrieve it."""
        known = self._bulk_data.get(url)
        return self._service.retrieve_bulkdata(url, *args) if known is None else known


def _itself(service: Service) -> Service:
    return service
