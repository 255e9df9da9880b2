"""From a place where slides are kept to a slide."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from pydicom.dataset import Dataset

from dicomslide.damage import naming
from dicomslide.errors import NoSlideError
from dicomslide.grouping import group_slides, pyramid_uids_of, series_of, shows_only_labels
from dicomslide.places import Access, Source, find_images, name_of_source
from dicomslide.slide import Slide

__all__ = ["open_slide", "open_slides"]


# An error names no more slides than this
_MOST_CHOICES = 20


def open_slide(
    source: Source,
    *,
    correct_color: bool = True,
    max_frame_cache_size: int = 6,
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
    """Open the slide at a place: files, a bucket, or a DICOMweb service.

    Only metadata are read.

    Parameters
    ----------
    source : path, URL, sequence of them, or dicomweb_client.api.DICOMClient
        A folder with the files of a slide (files that are no DICOM images of a slide are passed
        over), one file, a list of files, a DICOMDIR; a URL of a file or a folder that fsspec knows,
        such as ``s3://bucket/slide/``; a DICOMweb service as ``dicomweb+https://host/path``, with
        ``/studies/…`` and ``/series/…`` at the end if wanted; or a client of a service
    correct_color : bool, optional
        Whether the ICC profiles of the images are applied
    max_frame_cache_size : int, optional
        Number of decoded frames that are kept for each image instance
    pyramid_tolerance : float, optional
        Largest tolerated distance in millimetres between the centres of images at different
        pyramid levels; one pixel of the coarser image is always tolerated
    include_derived : bool, optional
        Whether Segmentations and Parametric Maps are included
    container_identifier : str, optional
        Container Identifier of the slide, where `source` holds several slides
    study_instance_uid, series_instance_uid : str, optional
        Study of the slide, and series of its VOLUME and THUMBNAIL images, where `source` holds
        several. With both of them nothing is searched for at a DICOMweb service
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
        The slide

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
        When the images lack attributes that are supplied: see `dicomslide.leniency`; when an image
        does not fit the others and is set aside; when a service does not deliver ICC profiles

    Examples
    --------
    >>> slide = dicomslide.open_slide("folder of one slide")  # doctest: +SKIP
    >>> slide = dicomslide.open_slide("s3://bucket/slide/")  # doctest: +SKIP
    >>> slide = dicomslide.open_slide(
    ...     "dicomweb+https://example.org/dicom-web", study_instance_uid="1.2.3"
    ... )  # doctest: +SKIP
    """
    client, slides = _find_slides(
        source,
        Access(study_instance_uid, series_instance_uid, session, credentials, storage_options),
        correct_color,
        include_derived,
        container_identifier,
        pyramid_uid,
    )
    name = name_of_source(source)
    if len(slides) > 1:
        raise NoSlideError(f"{name}: there are {len(slides)} slides: {_choices(slides)}")
    with naming(name):
        return Slide(
            client, slides[0], max_frame_cache_size, pyramid_tolerance, correct_color=correct_color
        )


def open_slides(
    source: Source,
    *,
    correct_color: bool = True,
    max_frame_cache_size: int = 6,
    pyramid_tolerance: float = 0.1,
    include_derived: bool = True,
    container_identifier: str | None = None,
    study_instance_uid: str | None = None,
    series_instance_uid: str | None = None,
    pyramid_uid: str | None = None,
    session: Any = None,
    credentials: tuple[str, str] | str | None = None,
    storage_options: dict[str, Any] | None = None,
) -> list[Slide]:
    """Open all slides at a place.

    The parameters and errors are those of `open_slide`, but there may be several slides: also of
    one glass slide that was scanned several times, or in several places.

    Returns
    -------
    list of Slide
        At least one slide
    """
    client, slides = _find_slides(
        source,
        Access(study_instance_uid, series_instance_uid, session, credentials, storage_options),
        correct_color,
        include_derived,
        container_identifier,
        pyramid_uid,
    )
    with naming(name_of_source(source)):
        return [
            Slide(
                client, images, max_frame_cache_size, pyramid_tolerance, correct_color=correct_color
            )
            for images in slides
        ]


def _find_slides(
    source: Source,
    access: Access,
    correct_color: bool,
    include_derived: bool,
    container_identifier: str | None,
    pyramid_uid: str | None,
) -> tuple[Any, list[list[Dataset]]]:
    """Find the metadata of the images of each slide that is asked for, and where its frames are."""
    name = name_of_source(source)
    client, datasets = find_images(
        source, access, correct_color=correct_color, include_derived=include_derived
    )
    with naming(name):
        slides = [
            images
            for images in group_slides(datasets, name, access.series_instance_uid)
            if container_identifier in (None, _container(images))
            and pyramid_uid in (None, *pyramid_uids_of(images))
        ]
    if not slides:
        wanted = {
            "series": access.series_instance_uid,
            "container": container_identifier,
            "pyramid": pyramid_uid,
        }
        named = " and ".join(f"the {what} {uid!r}" for what, uid in wanted.items() if uid)
        raise NoSlideError(f"{name}: no slide has {named}")
    return client, [images for images in slides if not shows_only_labels(images)] or slides


def _container(images: Sequence[Dataset]) -> str:
    return next(
        (str(i.get("ContainerIdentifier")) for i in images if i.get("ContainerIdentifier")), ""
    )


def _choices(slides: Sequence[Sequence[Dataset]]) -> str:
    """Say by which keyword each of several slides is chosen."""
    for keyword, option, names_of in (
        ("container_identifier", "--container", lambda images: (_container(images),)),
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
    """The series of a slide whose images are all of one."""
    series = series_of(images)
    return series if len(series) == 1 else ()


def _own_names(names: Sequence[tuple[str, ...]]) -> list[str]:
    """Find a name of each slide that is of no other; empty where there is none."""
    counts = Counter(name for found in names for name in found)
    return [next((name for name in found if counts[name] == 1), "") for found in names]
