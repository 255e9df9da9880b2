"""Index of a collection of slides: `index_slides` makes it, `open_index` opens it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from inspect import signature
from itertools import groupby
from numbers import Real
from os import PathLike
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dicomslide.arguments import integer, require_type
from dicomslide.collection.columns import COLUMNS
from dicomslide.collection.parts import Folder, Place
from dicomslide.collection.reading import name_of_source, read_slides, source_of_name
from dicomslide.collection.records import FileRecord, SlideRecord
from dicomslide.errors import ArgumentTypeError, ArgumentValueError, NoSlideError, SelectionError
from dicomslide.errors.failures import logging_failure
from dicomslide.metadata.words import counted
from dicomslide.opening import open_slide
from dicomslide.pixels.threads import ahead
from dicomslide.sources.base import File
from dicomslide.sources.knownservice import KnownService
from dicomslide.sources.remotefile import is_url
from dicomslide.stores.files import FileStore, Paths
from dicomslide.stores.places import Access, open_store
from dicomslide.stores.protocol import ImageStore
from dicomslide.stores.services import ServiceStore

if TYPE_CHECKING:
    import pandas as pd

    from dicomslide.slide import Slide

__all__ = ["SlideIndex", "index_slides", "open_index"]

# Number of slides that are opened while the caller uses one
_AHEAD = 2
_KEYS = ("source", "slide")
# Parameters of `open_slide` that choose a slide, for which an index has `select`
_CHOICES = ("container_identifier", "study_instance_uid", "series_instance_uid", "pyramid_uid")


def index_slides(
    sources: str | PathLike[str] | Iterable[Paths] | None,
    index: str | PathLike[str],
    *,
    errors: Literal["raise", "skip"] = "raise",
    session: Any = None,
    credentials: tuple[str, str] | str | None = None,
    storage_options: dict[str, Any] | None = None,
    index_options: Mapping[str, Any] | None = None,
) -> SlideIndex:
    """Add the slides of sources to an index, or read again those that it has.

    An index keeps what opening a slide needs: its metadata, where its frames lie in its files, and
    the version of each file. It is a folder of Parquet files, which other programs can read. It
    contains what the headers of the images say of patients, but no pixels.

    Files that an index has, and that have not changed, are listed but not read again. Slides that
    are no longer in one of the sources are removed. The index is as it was until the slides of a
    source are complete.

    Parameters
    ----------
    sources : path, URL, or iterable of them, optional
        Folders, files, URLs that fsspec knows, and DICOMweb services as ``dicomweb+https://…``,
        each with all images of its slides; a list of paths is one source, too. Without it the
        sources of the index are read again
    index : path or URL
        Folder of the index, which is made if it is not there
    errors : {"raise", "skip"}, optional
        Whether a slide that cannot be opened is an error, or is left out; the logger ``dicomslide``
        then states which, and why
    session, credentials, storage_options
        What the sources are reached with, as for `open_slide`; an index keeps none of it
    index_options : mapping, optional
        Options of the file system of the index; `storage_options` by default

    Returns
    -------
    SlideIndex
        The whole index

    Raises
    ------
    TypeError
        When an argument has the wrong type
    ValueError
        When a slide is damaged or not supported, or pyarrow is missing (extra ``index``)
    OSError
        When a source cannot be read, or the index cannot be written

    Examples
    --------
    >>> index = dicomslide.index_slides("s3://bucket/slides/", "slides.index")  # doctest: +SKIP
    """
    if errors not in ("raise", "skip"):
        raise ArgumentValueError(f"errors: expected 'raise' or 'skip', got {errors!r}")
    require_type("index", index, str, PathLike)
    require_type("storage_options", storage_options, Mapping, type(None))
    require_type("index_options", index_options, Mapping, type(None))
    require_type("sources", sources, str, PathLike, Iterable, type(None))
    folder = Folder(index, _options_of(index, storage_options, index_options))
    places = _places(folder)
    if sources is None:
        known_names = dict.fromkeys(source for source, _ in places)
        sources = list(map(source_of_name, known_names))
        if not sources:
            raise NoSlideError(
                f"{folder.name}: there is no index of slides; sources for one come before it"
            )
    elif isinstance(sources, (str, PathLike)):
        sources = [sources]
    sources = list(sources)
    if not sources:
        raise ArgumentValueError("sources: there are none")
    access = Access(session, credentials, storage_options)
    # All are checked before the first one is read
    names = list(map(name_of_source, sources))
    for source, name in zip(sources, names, strict=True):
        known = {
            record.key: record
            for record in _records(folder, [p for key, p in places.items() if key[0] == name])
        }
        with logging_failure(errors == "skip", name):
            folder.write(_changes(source, name, access, known, errors == "skip"))
    return SlideIndex(folder, access, {})


def _changes(
    source: Paths,
    name: str,
    access: Access,
    known: Mapping[tuple[str, str], SlideRecord],
    skips: bool,
) -> Iterator[SlideRecord]:
    """Yield the records of a source that an index lacks, and removals of what is gone."""
    files: dict[str, FileRecord] = {
        file.path: file for record in known.values() for file in record.files
    }
    gone = dict.fromkeys(known)
    try:
        for record in read_slides(source, access, files, skips=skips):
            gone.pop(record.key, None)
            before = known.get(record.key)
            if before is None or not record.same_as(before):
                yield record
    except NoSlideError:
        # A place that had slides may be empty now; one that never had any is a mistake
        if len(gone) < len(known) or not known:
            raise
    for key in gone:
        yield SlideRecord(*key, removed=True)


def open_index(
    index: str | PathLike[str],
    *,
    session: Any = None,
    credentials: tuple[str, str] | str | None = None,
    storage_options: dict[str, Any] | None = None,
    index_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> SlideIndex:
    """Open an index that `index_slides` or the command ``dicomslide index`` made.

    Only the columns that slides are selected by are read.

    Parameters
    ----------
    index : path or URL
        Folder of the index
    session, credentials, storage_options
        What the slides are reached with, as for `open_slide`
    index_options : mapping, optional
        Options of the file system of the index; `storage_options` by default
    **options
        Other parameters of `open_slide`, for all slides

    Returns
    -------
    SlideIndex
        Slides, which are opened when they are taken out

    Raises
    ------
    TypeError
        When an argument has the wrong type, or there is no such parameter
    ValueError
        When pyarrow is missing (extra ``index``)
    OSError
        When there is no index, or it is damaged

    Examples
    --------
    >>> index = dicomslide.open_index("slides.index")  # doctest: +SKIP
    >>> for slide in index.select(stains="*hematoxylin*"):  # doctest: +SKIP
    ...     print(slide.container_identifier)
    """
    for name in options:
        if name in _CHOICES or name not in signature(open_slide).parameters:
            raise ArgumentTypeError(f"{name}: open_index has no such parameter")
    folder = Folder(index, _options_of(index, storage_options, index_options))
    if not folder.parts():
        raise NoSlideError(f"{folder.name}: there is no index of slides")
    return SlideIndex(folder, Access(session, credentials, storage_options), options)


def _options_of(
    index: str | PathLike[str],
    storage_options: Mapping[str, Any] | None,
    index_options: Mapping[str, Any] | None,
) -> Mapping[str, Any] | None:
    """Choose the options of the file system of an index; that of local folders needs none."""
    if index_options is not None:
        return index_options
    return storage_options if is_url(index) else None


class SlideIndex(Sequence["Slide"]):
    """Slides of a collection, each of which is opened without a request to its source.

    Slides are opened when they are taken out, by iteration or by number. The first request is for
    frames, and an object that has changed since it was indexed is an error then.

    Parameters
    ----------
    folder : Folder
        Folder of the index
    access : Access
        What the slides are reached with
    options : mapping
        Parameters of `open_slide`
    rows : list, optional
        Rows that were selected; all by default
    """

    def __init__(
        self,
        folder: Folder,
        access: Access,
        options: Mapping[str, Any],
        rows: list[tuple[Place, dict[str, Any]]] | None = None,
    ) -> None:
        self._folder = folder
        self._access = access
        self._options = dict(options)
        self._rows = _live_rows(folder) if rows is None else rows
        self._lock = Lock()
        self._group: tuple[tuple[str, int], list[SlideRecord]] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return SlideIndex, (self._folder, self._access, self._options, self._rows)

    def __repr__(self) -> str:
        return f"<SlideIndex {self._folder.name}: {counted(len(self), 'slide')}>"

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self))}</p>{self.to_dataframe()._repr_html_()}"

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: Any) -> Any:
        """Open a slide by its number; a slice is an index of these slides.

        Raises
        ------
        IndexError
            When there is no slide with the number
        OSError, ValueError
            When the slide cannot be opened, as for `open_slide`
        """
        if isinstance(number, slice):
            return self._of(self._rows[number])
        return self._open(self._row(number))

    def __iter__(self) -> Iterator[Slide]:
        """Open the slides one after the other, the next ones while the caller uses one."""
        return ahead(self._open, self._rows, _AHEAD)

    def store(self, number: int) -> ImageStore:
        """Make the store of a slide, which `open_slide` and the engine of xarray take as a source.

        Parameters
        ----------
        number : int
            Number of the slide

        Raises
        ------
        IndexError
            When there is no slide with the number
        """
        return self._store(self._record(self._row(number)[0]))

    def to_dataframe(self) -> pd.DataFrame:
        """Make a table of the slides, with a row for each, in their order.

        Returns
        -------
        pandas.DataFrame
            Columns ``source``, ``slide`` (SOP Instance UID of the largest image) and those that
            the documentation of the index lists
        """
        import pandas as pd

        names = [*_KEYS, *COLUMNS]
        return pd.DataFrame(
            {name: [values[name] for _, values in self._rows] for name in names}, columns=names
        )

    def select(
        self,
        where: Callable[[pd.DataFrame], Any] | pd.DataFrame | Sequence[bool] | None = None,
        **values: Any,
    ) -> SlideIndex:
        """Select slides by their columns.

        Parameters
        ----------
        where : callable, pandas.DataFrame or sequence of bool, optional
            Rows of the table of `to_dataframe` that are wanted: whether each of them is, a table
            with these rows in any order, or a function of the table that returns one of these
        **values
            Values of columns: a text may have the wild cards ``*`` and ``?``, upper and lower case
            are the same, and one of several texts has to match; a number has to be equal, or within
            the two of a tuple, each of which may be None

        Returns
        -------
        SlideIndex
            Slides that meet all criteria

        Raises
        ------
        TypeError, ValueError
            When there is no such column, or a criterion has the wrong type or length
        """
        wanted = np.ones(len(self), bool)
        if where is not None:
            wanted &= self._mask(where)
        for name, value in values.items():
            if name not in COLUMNS and name not in _KEYS:
                raise ArgumentValueError(f"{name}: there is no such column, only {_names()}")
            matches = _criterion(name, value)
            wanted &= np.array([matches(row[name]) for _, row in self._rows], bool)
        return self._of([self._rows[number] for number in np.flatnonzero(wanted)])

    def _mask(self, where: Any) -> Any:
        import pandas as pd

        table = self.to_dataframe()
        found = where(table) if callable(where) else where
        if isinstance(found, pd.DataFrame):
            keys = list(_KEYS)
            if not set(keys) <= set(found.columns):
                raise ArgumentValueError(f"where: the table lacks the columns {', '.join(keys)}")
            # Rows may have been sorted, merged or numbered anew
            wanted = set(zip(*(found[key] for key in keys), strict=True))
            return [key in wanted for key in zip(*(table[key] for key in keys), strict=True)]
        if isinstance(found, pd.Series):
            if not found.index.sort_values().equals(table.index):
                raise ArgumentValueError("where: the series has other labels than the table")
            found = found.reindex(table.index)
        mask = np.asarray(found)
        if mask.dtype != bool or mask.shape != (len(self),):
            raise ArgumentTypeError(
                f"where: expected a bool for each of {len(self)} slides, got an array of "
                f"{mask.dtype} with the shape {mask.shape}"
            )
        return mask

    def _row(self, number: Any) -> tuple[Place, dict[str, Any]]:
        position = integer("number", number)
        if not -len(self) <= position < len(self):
            raise SelectionError(f"number: there is no slide {position} of {len(self)}")
        return self._rows[position]

    def _of(self, rows: list[tuple[Place, dict[str, Any]]]) -> SlideIndex:
        return SlideIndex(self._folder, self._access, self._options, rows)

    def _open(self, row: tuple[Place, dict[str, Any]]) -> Slide:
        return open_slide(self._store(self._record(row[0])), **self._options)

    def _record(self, place: Place) -> SlideRecord:
        """Read a record; those that are stored beside it are kept for the next call."""
        with self._lock:
            key = place.part, place.group
            if self._group is None or self._group[0] != key:
                self._group = key, self._folder.read_records(*key)
            return self._group[1][place.row]

    def _store(self, record: SlideRecord) -> ImageStore:
        if not record.instances:
            return _KnownFiles(record, self._access.storage_options)
        store = open_store(record.source, self._access.of_service)
        assert isinstance(store, ServiceStore)
        values: dict[str, bytes] = {}
        for instance in record.instances:
            values |= instance.bulk_data
        metadata = [instance.metadata for instance in record.instances]
        return store.through(KnownService(store.service, metadata, values))


class _KnownFiles(FileStore):
    """Store of the files of one slide, whose headers are known."""

    def __init__(self, record: SlideRecord, storage_options: dict[str, Any] | None) -> None:
        super().__init__([file.path for file in record.files], storage_options)
        self._record = record

    def _files(self) -> Iterator[tuple[File, bool]]:
        return ((file.open(self._options), False) for file in self._record.files)


def _live_rows(folder: Folder) -> list[tuple[Place, dict[str, Any]]]:
    """Read the rows of all slides: of several rows of a slide the last one, if it is there."""
    found: dict[tuple[str, str], tuple[Place, dict[str, Any]]] = {}
    for part in folder.parts():
        for place, values in folder.read_columns(part):
            key = values["source"], values["slide"]
            found.pop(key, None)
            if not values["removed"]:
                found[key] = place, values
    return list(found.values())


def _places(folder: Folder) -> dict[tuple[str, str], Place]:
    return {(v["source"], v["slide"]): place for place, v in _live_rows(folder)}


def _records(folder: Folder, places: Iterable[Place]) -> Iterator[SlideRecord]:
    """Read the records at places; those that are stored together are read together."""
    ordered = sorted(places, key=lambda place: (place.part, place.group, place.row))
    for (part, group), same in groupby(ordered, key=lambda place: (place.part, place.group)):
        records = folder.read_records(part, group)
        yield from (records[place.row] for place in same)


def _criterion(name: str, value: Any) -> Callable[[Any], bool]:
    """Make a function that tells whether the value of a column matches a wanted one."""
    kind = COLUMNS.get(name, "string")
    if kind in ("string", "strings"):
        if not isinstance(value, str):
            raise ArgumentTypeError(f"{name}: expected a text, got {type(value).__name__}")
        text = re.escape(value).replace(r"\*", ".*").replace(r"\?", ".")
        pattern = re.compile(text, re.IGNORECASE | re.DOTALL)
        if kind == "string":
            return lambda found: pattern.fullmatch(found or "") is not None
        return lambda found: any(pattern.fullmatch(text) for text in found or ())
    is_pair = isinstance(value, (tuple, list)) and len(value) == 2
    least, most = value if is_pair else (value, value)
    for bound in (least, most):
        if bound is not None and (isinstance(bound, bool) or not isinstance(bound, Real)):
            raise ArgumentTypeError(
                f"{name}: expected a number or two of them, got {type(bound).__name__}"
            )
    return lambda found: (
        found is not None and (least is None or found >= least) and (most is None or found <= most)
    )


def _names() -> str:
    return ", ".join((*_KEYS, *COLUMNS))
