"""From a place where slides are kept to a slide."""

from typing import Any

from dicomslide.damage import reading
from dicomslide.errors import NoSlideError
from dicomslide.leniency import supply_missing
from dicomslide.places import Access, Source, find_images, name_of_source
from dicomslide.search import group_images, shows_only_labels
from dicomslide.slide import Slide

__all__ = ["open_slide", "open_slides"]


def open_slide(
    source: Source,
    *,
    correct_color: bool = True,
    max_frame_cache_size: int = 6,
    pyramid_tolerance: float = 0.1,
    container_identifier: str | None = None,
    study_instance_uid: str | None = None,
    series_instance_uid: str | None = None,
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
        pyramid levels
    container_identifier : str, optional
        Container Identifier of the slide, needed only where `source` holds several slides
    study_instance_uid, series_instance_uid : str, optional
        Study of the slide at a DICOMweb service, and its series if there is only one: nothing is
        searched for then
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
        When the images lack attributes that are supplied: see `dicomslide.leniency`; when a
        service does not deliver ICC profiles

    Examples
    --------
    >>> slide = dicomslide.open_slide("folder of one slide")  # doctest: +SKIP
    >>> slide = dicomslide.open_slide("s3://bucket/slide/")  # doctest: +SKIP
    >>> slide = dicomslide.open_slide(
    ...     "dicomweb+https://example.org/dicom-web", study_instance_uid="1.2.3"
    ... )  # doctest: +SKIP
    """
    slides = open_slides(
        source,
        correct_color=correct_color,
        max_frame_cache_size=max_frame_cache_size,
        pyramid_tolerance=pyramid_tolerance,
        container_identifier=container_identifier,
        study_instance_uid=study_instance_uid,
        series_instance_uid=series_instance_uid,
        session=session,
        credentials=credentials,
        storage_options=storage_options,
    )
    if len(slides) > 1:
        found = ", ".join(repr(slide.container_identifier or "no name") for slide in slides)
        raise NoSlideError(
            f"{name_of_source(source)}: there are {len(slides)} slides: {found}; name one with "
            "container_identifier (--container), or open them all with open_slides"
        )
    return slides[0]


def open_slides(
    source: Source,
    *,
    correct_color: bool = True,
    max_frame_cache_size: int = 6,
    pyramid_tolerance: float = 0.1,
    container_identifier: str | None = None,
    study_instance_uid: str | None = None,
    series_instance_uid: str | None = None,
    session: Any = None,
    credentials: tuple[str, str] | str | None = None,
    storage_options: dict[str, Any] | None = None,
) -> list[Slide]:
    """Open all slides at a place.

    The parameters and errors are those of `open_slide`, but there may be several slides.

    Returns
    -------
    list of Slide
        At least one slide
    """
    name = name_of_source(source)
    access = Access(study_instance_uid, series_instance_uid, session, credentials, storage_options)
    client, datasets = find_images(source, access, correct_color=correct_color)
    with reading(name):
        supply_missing(datasets, name)
        groups = [
            group
            for group in group_images(datasets)
            if container_identifier in (None, group[0].get("ContainerIdentifier"))
        ]
        if not groups:
            raise NoSlideError(f"{name}: no slide has the container {container_identifier!r}")
        groups = [group for group in groups if not shows_only_labels(group)] or groups
        return [
            Slide(
                client, group, max_frame_cache_size, pyramid_tolerance, correct_color=correct_color
            )
            for group in groups
        ]
