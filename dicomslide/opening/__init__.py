"""Opening of the slides at a source: `open_slide` and `open_slides`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydicom.dataset import Dataset

from dicomslide.errors import ArgumentValueError, NoSlideError
from dicomslide.errors.failures import Failure, Failures
from dicomslide.grouping.slides import pyramid_uids_of, series_of, shows_only_labels
from dicomslide.metadata.flavors import accompanies_images
from dicomslide.opening.assembly import assemble, choose_whole, container_of, leave_out, make_slides
from dicomslide.slide import Slide
from dicomslide.stores.places import Access, Source, find_images, open_store
from dicomslide.stores.protocol import ImageQuery, ImageStore

__all__ = ["find_groups", "open_slide", "open_slides"]


# Most slides that an error message lists
_MOST_CHOICES = 20


def open_slide(
    source: Source,
    *,
    correct_color: bool = True,
    max_frame_cache_size: int | None = None,
    pyramid_tolerance: float = 0.1,
    include_derived: bool = True,
    container_identifier: str | None = None,
    study_instance_uid: str | None = None,
    series_instance_uid: str | None = None,
    pyramid_uid: str | None = None,
    session: Any = None,
    credentials: tuple[str, str] | str | None = None,
    storage_options: dict[str, Any] | None = None,
) -> Slide:
    """Open a slide from files, a bucket, or a DICOMweb service.

    Only metadata are read.

    Parameters
    ----------
    source : path, URL, sequence of them, dicomweb_client.api.DICOMClient, or ImageStore
        A folder with the files of a slide (files that are not DICOM images of a slide are skipped),
        one file, a list of files, a DICOMDIR; a URL of a file or a folder that fsspec knows, such
        as ``s3://bucket/slide/``; a DICOMweb service as ``dicomweb+https://host/path``, with
        ``/studies/…`` and ``/series/…`` at the end if wanted; a client of a service; or any other
        store of images
    correct_color : bool, optional
        Whether the ICC profiles of the images are applied
    max_frame_cache_size : int, optional
        Number of decoded frames that are kept for each image instance. By default the frames of
        all images are bounded together, in bytes: ``dicomslide.keep.decoded-frames``
    pyramid_tolerance : float, optional
        Largest tolerated distance in millimetres between the centres of images at different
        pyramid levels; one pixel of the coarser image is always tolerated
    include_derived : bool, optional
        Whether Segmentations, Parametric Maps and annotations are included
    container_identifier : str, optional
        Container Identifier of the slide, where `source` holds several slides
    study_instance_uid, series_instance_uid : str, optional
        Study of the slide, and series of its VOLUME and THUMBNAIL images, where `source` holds
        several. With both of them a DICOMweb service is not searched
    pyramid_uid : str, optional
        Pyramid UID of the slide, where one glass slide was scanned several times; or the SOP
        Instance UID of the largest image of a pyramid that has no UID of its own
    session : requests.Session or callable, optional
        Session for the URL of a DICOMweb service, or a function without arguments that makes one.
        Only the function is pickled with arrays, so that workers in other processes make sessions
        of their own
    credentials : tuple of str or str, optional
        User and password for the URL of a DICOMweb service, or a bearer token; they stay in this
        process
    storage_options : dict, optional
        Options of the file system of a URL, as for ``fsspec.open``

    Returns
    -------
    Slide
        Slide with all its images

    Raises
    ------
    TypeError
        When an argument has the wrong type
    OSError
        When there is no such file or folder, it may not be read, or a service does not deliver
    ValueError
        When there is no slide, more than one, or one that is damaged or not supported

    Warns
    -----
    UserWarning
        When the images lack attributes for which defaults are taken; when an image does not fit the
        others and is set aside; when a service does not deliver ICC profiles

    Examples
    --------
    >>> slide = dicomslide.open_slide("folder of one slide")  # doctest: +SKIP
    >>> slide = dicomslide.open_slide("s3://bucket/slide/")  # doctest: +SKIP
    >>> slide = dicomslide.open_slide(
    ...     "dicomweb+https://example.org/dicom-web", study_instance_uid="1.2.3"
    ... )  # doctest: +SKIP
    """
    store = open_store(source, Access(session, credentials, storage_options))
    failures: list[Failure] = []
    groups = find_groups(
        store, study_instance_uid, series_instance_uid, include_derived, correct_color, failures
    )
    wanted = _Wanted(container_identifier, pyramid_uid, series_instance_uid)
    if wanted.anything:
        groups = wanted.choose(groups, store.name, failures)
    elif failures and len(groups) < 2:
        raise failures[0].error
    if len(groups) > 1:
        more = f"; and {failures[0].reason}" if failures else ""
        raise NoSlideError(
            f"{store.name}: there are {len(groups)} slides: {_choices(groups)}{more}"
        )
    (slide,) = make_slides(
        store,
        groups,
        None,
        max_frame_cache_size=max_frame_cache_size,
        pyramid_tolerance=pyramid_tolerance,
        correct_color=correct_color,
    )
    return slide


def open_slides(
    source: Source,
    *,
    correct_color: bool = True,
    max_frame_cache_size: int | None = None,
    pyramid_tolerance: float = 0.1,
    include_derived: bool = True,
    container_identifier: str | None = None,
    study_instance_uid: str | None = None,
    series_instance_uid: str | None = None,
    pyramid_uid: str | None = None,
    session: Any = None,
    credentials: tuple[str, str] | str | None = None,
    storage_options: dict[str, Any] | None = None,
    errors: Literal["raise", "skip"] = "raise",
) -> list[Slide]:
    """Open all slides in files, a bucket, or a DICOMweb service.

    The other parameters and the errors are those of `open_slide`, but there may be several slides.
    A glass slide that was scanned several times, or in several places, is a slide for each scan.

    Parameters
    ----------
    errors : {"raise", "skip"}, optional
        Whether a slide that cannot be opened, or an image that cannot be read, is an error, or the
        slides concerned are left out; the logger ``dicomslide`` then states which, and why. A file
        or a series that does not state which slide it belongs to is left out alone

    Returns
    -------
    list of Slide
        At least one slide, unless slides were left out
    """
    if errors not in ("raise", "skip"):
        raise ArgumentValueError(f"errors: expected 'raise' or 'skip', got {errors!r}")
    skips = errors == "skip"
    store = open_store(source, Access(session, credentials, storage_options))
    wanted = _Wanted(container_identifier, pyramid_uid, series_instance_uid)
    failures: Failures = [] if skips or wanted.anything else None
    groups = find_groups(
        store, study_instance_uid, series_instance_uid, include_derived, correct_color, failures
    )
    if skips:
        groups = leave_out(groups, failures or ())
        groups = [images for images in groups if wanted.matches(images)]
    elif wanted.anything:
        groups = wanted.choose(groups, store.name, failures or [])
    return make_slides(
        store,
        groups,
        [] if skips else None,
        max_frame_cache_size=max_frame_cache_size,
        pyramid_tolerance=pyramid_tolerance,
        correct_color=correct_color,
    )


@dataclass(frozen=True)
class _Wanted:
    """Criteria for one of several slides; None for those that are not given."""

    container: str | None
    pyramid: str | None
    series: str | None

    @property
    def anything(self) -> bool:
        """Whether any criterion is given."""
        return (self.container, self.pyramid, self.series) != (None, None, None)

    def matches(self, images: Sequence[Dataset]) -> bool:
        """Whether a slide has the container and the pyramid; images were searched by series."""
        return self.container in (None, container_of(images)) and self.pyramid in (
            None,
            *pyramid_uids_of(images),
        )

    def choose(
        self, groups: list[list[Dataset]], name: str, failures: Sequence[Failure]
    ) -> list[list[Dataset]]:
        """Choose the slides that meet the criteria.

        Raises
        ------
        DicomSlideError
            When there is none, or an image that may belong to it could not be read
        """
        found = choose_whole(groups, self.matches, self.series, failures)
        if found:
            return found
        for failure in failures:
            if self.container in (None, failure.marks.container):
                raise failure.error
        wanted = {
            "series": self.series,
            "container": self.container,
            "pyramid": self.pyramid,
        }
        named = " and ".join(f"the {kind} {uid!r}" for kind, uid in wanted.items() if uid)
        raise NoSlideError(
            f"{name}: no slide has {named}" + "".join(f"; {f.reason}" for f in failures[:1])
        )


def find_groups(
    store: ImageStore,
    study: str | None,
    series: str | None,
    include_derived: bool,
    correct_color: bool,
    failures: Failures,
) -> list[list[Dataset]]:
    """Find the metadata of the images of each slide in a store.

    Parameters
    ----------
    store : ImageStore
        Store that is searched
    study, series : str or None
        Study, and series of the VOLUME and THUMBNAIL images
    include_derived : bool
        Whether Segmentations, Parametric Maps and annotations are wanted
    correct_color : bool
        Whether ICC profiles are needed
    failures : list of Failure, optional
        List that images which cannot be read are added to; without it their error is raised

    Returns
    -------
    list of list of pydicom.dataset.Dataset
        Metadata of the images, Presentation States and annotations of each slide

    Raises
    ------
    NoSlideError
        When there is no image of a slide
    """
    query = ImageQuery(
        study,
        series,
        include_derived=include_derived,
        correct_color=correct_color,
        failures=failures,
    )
    datasets = find_images(store, query)
    if all(map(accompanies_images, datasets)) and not failures:
        raise NoSlideError(
            f"{store.name}: there is no image of a slide{f' of study {study!r}' if study else ''}"
        )
    groups = assemble(datasets, store.name, failures, series)
    return [images for images in groups if not shows_only_labels(images)] or groups


def _choices(slides: Sequence[Sequence[Dataset]]) -> str:
    """List a value for each of several slides, and the keyword by which it is chosen."""
    for keyword, option, names_of in (
        ("container_identifier", "--container", lambda images: (container_of(images),)),
        ("series_instance_uid", "--series", _only_series),
        ("pyramid_uid", "--pyramid", pyramid_uids_of),
    ):
        values = _own_names([names_of(images) for images in slides])
        if all(values):
            listed = ", ".join(map(repr, values[:_MOST_CHOICES]))
            hidden = len(values) - _MOST_CHOICES
            more = f" and {hidden} more" if hidden > 0 else ""
            return (
                f"{listed}{more}; name one with {keyword} ({option}), or open them all with "
                "open_slides"
            )
    return "open them all with open_slides"


def _only_series(images: Sequence[Dataset]) -> tuple[str, ...]:
    """Return the series of a slide if it is only one; empty otherwise."""
    series = series_of(images)
    return series if len(series) == 1 else ()


def _own_names(names: Sequence[tuple[str, ...]]) -> list[str]:
    """Find a name of each slide that no other slide has; empty where there is none."""
    counts = Counter(name for found in names for name in found)
    return [next((name for name in found if counts[name] == 1), "") for found in names]
