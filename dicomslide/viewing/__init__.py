"""Slides in the browser: nothing is converted, tiles are drawn when somebody looks at them."""

import html
import sys
import warnings
import webbrowser
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from dicomslide.errors import ArgumentValueError, StoreError
from dicomslide.slide import Slide
from dicomslide.viewing.scene import Scene

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["View", "view"]

_LOOPBACK = "127.0.0.1"
_HEIGHT = 640


class View:
    """A viewer that runs: its page is at `url` until it is closed, or the process ends.

    Notebooks show it where it is the result of a cell.

    Parameters
    ----------
    scenes : sequence of Scene
        Slides with their overlays
    address : str
        Address or name of an interface of this machine
    port : int
        Port; 0 for one that is free
    """

    def __init__(self, scenes: Sequence[Scene], address: str, port: int) -> None:
        from dicomslide.viewing.server import Server

        self._names = [scene.name for scene in scenes]
        self._server = Server(scenes, address, port)

    @property
    def url(self) -> str:
        """Address of the page. It has a random token: who knows it can look at the slides."""
        return self._server.url

    def wait(self) -> None:
        """Wait until the viewer is closed, in a program that would end otherwise."""
        self._server.wait()

    def close(self) -> None:
        """Close the viewer: its page shows nothing more."""
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def __repr__(self) -> str:
        names = ", ".join(self._names)
        return f"<View of {names if names.isprintable() else repr(names)}>"

    def _repr_html_(self) -> str:
        return (
            f'<iframe src="{html.escape(self.url)}" title="slide" style="width: 100%; '
            f'height: {_HEIGHT}px; border: 0" allow="clipboard-write"></iframe>'
        )


def view(
    slides: "Slide | xr.DataTree | Sequence[Slide | xr.DataTree] | Mapping[str, Any]",
    overlays: Any = None,
    *,
    show: bool = True,
    show_label: bool = False,
    address: str = _LOOPBACK,
    port: int = 0,
) -> View:
    """Show slides in the browser.

    The viewer runs on a thread of this process, and the function returns at once. Notebooks show
    what it returns; otherwise a browser opens. Pixels are read, and lazy arrays are computed, for
    the tiles that somebody looks at.

    Parameters
    ----------
    slides : Slide, xarray.DataTree, or a sequence or mapping of these
        What is shown: slides, or trees with the nodes of theirs, which may have been computed. A
        mapping has names for them
    overlays : optional
        What is laid over the slide: an array of xarray, a data set or a tree, a NumPy or dask array
        of two dimensions, the path or URL of a Zarr store, or the path of an image file; or several
        in a sequence, or in a mapping by their names. Truth values are shown as a mask, integers as
        labels of which 0 is nothing, and floats as values in the colours of a palette. An overlay
        lies where its coordinates ``slide_x`` and ``slide_y``, or ``y`` and ``x``, say in
        millimetres; without them it covers the whole slide. If there are several slides this is a
        mapping of their names to their overlays
    show : bool, optional
        Whether a browser opens, unless a notebook shows the viewer
    show_label : bool, optional
        Whether the LABEL image is among the associated images, and others that show the label: it
        may name a patient
    address : str, optional
        Address of the interface to listen at; by default only programs of this machine reach it
    port : int, optional
        Port to listen at; by default one that is free

    Returns
    -------
    View
        The viewer, which runs

    Raises
    ------
    TypeError, ValueError
        When something is no slide or cannot be laid over it
    StoreError
        When an overlay cannot be opened, it is not possible to listen there, or Bokeh is not
        installed

    Warns
    -----
    UserWarning
        When other machines reach the viewer

    Examples
    --------
    >>> tissue = tree["level_2/image"].mean("sample") < 200
    >>> viewer = dicomslide.view(slide, overlays={"tissue": tissue})
    >>> viewer.url
    'http://127.0.0.1:49160/…/'
    """
    _require_bokeh()
    from dicomslide.serving.access import is_loopback

    named = _named(slides)
    if overlays is not None and len(named) > 1:
        unknown = set(overlays) - set(named) if isinstance(overlays, Mapping) else {"?"}
        if unknown:
            raise ArgumentValueError(
                f"overlays: expected a mapping from the names of the slides, {sorted(named)}, to "
                f"their overlays"
            )
    else:
        overlays = dict.fromkeys(named, overlays)
    scenes = [
        Scene(name, slide, overlays and overlays.get(name), show_label=show_label)
        for name, slide in named.items()
    ]
    viewer = View(scenes, address, port)
    if not is_loopback(address):
        warnings.warn(
            f"{address}: other machines reach the viewer, and nothing is encrypted", stacklevel=2
        )
    if show and not _is_notebook():
        webbrowser.open(viewer.url)
    return viewer


def _require_bokeh() -> None:
    try:
        import bokeh  # noqa: F401
    except ModuleNotFoundError as error:
        raise StoreError("bokeh is missing: pip install 'dicomslide[view]'") from error


def _named(slides: Any) -> dict[str, Any]:
    """Name slides: by their containers, unless names are given."""
    if isinstance(slides, Mapping) and not _is_tree(slides):
        found = {str(name): slide for name, slide in slides.items()}
    else:
        one = isinstance(slides, Slide) or _is_tree(slides) or not isinstance(slides, Iterable)
        every = [slides] if one else list(slides)
        names = [_name_of(slide) for slide in every]
        counts, seen = Counter(names), Counter[str]()
        found = {}
        for name, slide in zip(names, every, strict=True):
            seen[name] += 1
            found[f"{name} ({seen[name]})" if counts[name] > 1 else name] = slide
    if not found:
        raise ArgumentValueError("slides: there are none")
    return found


def _is_tree(value: Any) -> bool:
    return "xarray" in sys.modules and isinstance(value, sys.modules["xarray"].DataTree)


def _name_of(slide: Any) -> str:
    if isinstance(slide, Slide):
        return slide.container_identifier or slide.frame_of_reference_uid
    attributes = getattr(slide, "attrs", {})
    names = (attributes.get(key) for key in ("container_identifier", "frame_of_reference_uid"))
    return next((str(name) for name in names if name), "slide")


def _is_notebook() -> bool:
    """Whether the program runs in the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")
