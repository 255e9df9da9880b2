"""The accessor ``.slide`` of arrays, data sets and trees of xarray.

It is there as soon as a slide was opened in a process. For a tree that comes from elsewhere, such
as a Zarr store, import this module.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import xarray as xr

from dicomslide.display import orientation, plot, spacing, thumbnail
from dicomslide.display.picture import as_rgb, with_windows
from dicomslide.display.segments import Overlays
from dicomslide.tree.schema import IMAGE, level_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL import Image

    from dicomslide.slide import Slide
    from dicomslide.writing.identity import WrittenInstance

__all__ = ["SlideAccessor"]


@xr.register_datatree_accessor("slide")  # type: ignore[no-untyped-call]
@xr.register_dataset_accessor("slide")  # type: ignore[no-untyped-call]
@xr.register_dataarray_accessor("slide")  # type: ignore[no-untyped-call]
class SlideAccessor:
    """What can be done with the pixels of a slide, knowing where they lie.

    Use it through xarray: ``tree.slide``, ``tree["level_2"].slide`` or
    ``tree["level_2/image"].slide``.

    Parameters
    ----------
    data : xarray.DataArray, xarray.Dataset or xarray.DataTree
        Tree of a slide, one of its levels or one of its arrays, or what was computed from them and
        kept their coordinates
    """

    def __init__(self, data: xr.DataArray | xr.Dataset | xr.DataTree) -> None:
        self._data: Any = data

    def upright(self) -> Any:
        """Turn pixels the way that the glass slide stands: +X to the right and +Y upwards.

        Returns
        -------
        xarray.DataArray, xarray.Dataset or xarray.DataTree
            The same pixels, lazily, with the dimensions ``slide_y`` (descending) and ``slide_x``
            in the place of ``y`` and ``x``, which stay coordinates. Nodes that are not placed on
            the slide, such as those of associated images, stay as they are

        Raises
        ------
        ValueError
            When rows and columns are not parallel to the axes of the slide
        """
        return orientation.upright(self._data)

    def clip(
        self, x: tuple[float, float] | None = None, y: tuple[float, float] | None = None
    ) -> Any:
        """Cut pixels to a rectangle of the slide.

        Parameters
        ----------
        x, y : tuple of float, optional
            Bounds along X and Y of the slide in millimetres, in either order; not cut by default

        Returns
        -------
        xarray.DataArray, xarray.Dataset or xarray.DataTree
            The pixels whose centres lie in the rectangle, its largest X and Y left out, as in
            `dicomslide.Slide.get_slide_region`; lazily. A tree has all of its levels

        Raises
        ------
        TypeError, ValueError
            When bounds are no two numbers, or rows and columns are not parallel to the axes of the
            slide
        """
        return orientation.clip(self._data, x, y)

    def to_rgb(self, variable: str = IMAGE.name) -> Any:
        """Show optical paths as red, green and blue.

        Parameters
        ----------
        variable : str, optional
            Name of the image in a level or tree

        Returns
        -------
        xarray.DataArray or xarray.DataTree
            Array of shape (focal_plane, y, x, sample) of 8 bits, lazily where the image is lazy;
            of a tree, the levels that have the image. Colours are what they are; channels of one
            sample, the first eight, are shown within the windows and in the colours of the
            coordinates ``window_start``, ``window_end`` and ``color``, and added. A window that is
            not stated is chosen from the pixels, in a tree from those of the smallest level

        Raises
        ------
        ValueError
            When there is no such image, channels of colours were to be added, or the array is too
            large to choose a window from it
        """
        data = self._data
        if isinstance(data, xr.DataTree) and not data.children:
            data = data.to_dataset()
        if isinstance(data, xr.DataTree):
            made = {"/": xr.Dataset(attrs=data.attrs)}
            for number, level in with_windows(data, variable).items():
                rgb = as_rgb(level, variable).to_dataset(name=variable)
                made[level_path(number)] = rgb.assign_attrs(level.attrs)
            return xr.DataTree.from_dict(made, name=data.name)
        if isinstance(data, xr.DataArray):
            variable = str(data.name or variable)
            data = data.rename(variable).to_dataset()
        return as_rgb(data, variable)

    def at_spacing(self, spacing_um: float) -> Any:
        """Resample pixels to a distance between them.

        Parameters
        ----------
        spacing_um : float
            Distance in micrometres between pixels along rows and columns

        Returns
        -------
        xarray.DataArray or xarray.Dataset
            Of a tree, all variables of the coarsest level that is not coarser, or else of the
            finest one. Pixels are those of the level where it has this spacing, and otherwise means
            over the areas of the new ones, which begin at the corner of the level; masks and label
            maps take the value at the centre. Lazy, with dask

        Raises
        ------
        TypeError, ValueError
            When the spacing is not a positive number, or there are no coordinates in millimetres

        See Also
        --------
        dicomslide.Slide.get_image_region_at_spacing : Regions of a slide as NumPy arrays
        """
        return spacing.at_spacing(self._data, spacing_um)

    def thumbnail(self, size: int = 1024, variable: str = IMAGE.name) -> "Image.Image":
        """Make a small picture, upright where the pixels are parallel to the axes of the slide.

        Parameters
        ----------
        size : int, optional
            Number of pixels of the longer side, at most those that there are
        variable : str, optional
            Name of the image in a level or tree

        Returns
        -------
        PIL.Image.Image
            RGB image; of a tree, made from the smallest level that is large enough

        Raises
        ------
        TypeError, ValueError
            When the size is not a positive integer, or `to_rgb` cannot show the image
        """
        return thumbnail.thumbnail(self._data, size, variable)

    def plot(
        self,
        ax: "Axes | None" = None,
        variable: str = IMAGE.name,
        *,
        overlay: Overlays = False,
        colors: Mapping[str, str] | None = None,
        alpha: float = 0.5,
        legend: bool = True,
        axes: str = "slide",
        **options: Any,
    ) -> "Axes":
        """Plot pixels where they lie on the slide, in millimetres, with matplotlib.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to plot; by default the current axes
        variable : str, optional
            Name of the image, the parametric map or another variable of a level or tree. Of a tree
            the level that has about as many pixels as the axes is read
        overlay : bool, str, int, xarray.DataArray, sequence or mapping, optional
            What is laid over an image: with True all segments; labels or numbers of segments; or
            masks, parts from 0 to 1 or labels with coordinates of the slide, by their names if
            there are several. They may lie on other pixels than the image
        colors : mapping, optional
            Colours of the overlays by their names, six hexadecimal digits each; by default those
            that the segments state, or else different ones
        alpha : float, optional
            Opacity of overlays, from 0 to 1
        legend : bool, optional
            Whether overlays are named
        axes : {"slide", "image"}, optional
            Whether the picture stands on the axes of the slide, or on those of the image, rows
            downwards
        **options
            Keywords of `matplotlib.axes.Axes.imshow`

        Returns
        -------
        matplotlib.axes.Axes
            Where it was plotted

        Raises
        ------
        TypeError, ValueError
            When a dimension is left over to choose from, there are too many pixels for a figure, or
            there is no such variable or segment

        Examples
        --------
        >>> tree.slide.clip(x=(12.4, 12.6), y=(27.0, 27.1)).slide.plot(overlay=True)
        """
        return plot.plot(
            self._data,
            ax,
            variable,
            overlay=overlay,
            colors=colors,
            alpha=alpha,
            legend=legend,
            axes=axes,
            **options,
        )

    def write_segmentation(
        self, path: str | os.PathLike[str], *, slide: "Slide", segments: Any, **options: Any
    ) -> "tuple[WrittenInstance, ...]":
        """Write this mask as a Segmentation.

        Parameters
        ----------
        path : path or str
            File whose name ends with ``.dcm``, or folder
        slide : Slide
            Slide that the mask was made from
        segments : mapping, or sequence of highdicom.seg.SegmentDescription
            Category and type of each segment by its label, or descriptions
        **options
            Keywords of `dicomslide.write_segmentation`

        Returns
        -------
        tuple of WrittenInstance
            Path and UIDs of each instance

        Raises
        ------
        TypeError, ValueError, OSError
            As in `dicomslide.write_segmentation`
        """
        from dicomslide.writing.segmentation import write_segmentation

        return write_segmentation(self._data, path, slide=slide, segments=segments, **options)

    def write_parametric_map(
        self, path: str | os.PathLike[str], *, slide: "Slide", parameters: Any, **options: Any
    ) -> "tuple[WrittenInstance, ...]":
        """Write these values as a Parametric Map.

        Parameters
        ----------
        path : path or str
            File whose name ends with ``.dcm``, or folder
        slide : Slide
            Slide that the values were computed from
        parameters : mapping, or sequence of highdicom.pm.RealWorldValueMapping
            Unit of each parameter by its label, or mappings
        **options
            Keywords of `dicomslide.write_parametric_map`

        Returns
        -------
        tuple of WrittenInstance
            Path and UIDs of each instance

        Raises
        ------
        TypeError, ValueError, OSError
            As in `dicomslide.write_parametric_map`
        """
        from dicomslide.writing.parametric_map import write_parametric_map

        return write_parametric_map(self._data, path, slide=slide, parameters=parameters, **options)

    def write_image(
        self, path: str | os.PathLike[str], *, slide: "Slide", **options: Any
    ) -> "tuple[WrittenInstance, ...]":
        """Write these pixels as a whole slide image.

        Parameters
        ----------
        path : path or str
            File whose name ends with ``.dcm``, or folder
        slide : Slide
            Slide that the pixels were computed from
        **options
            Keywords of `dicomslide.write_image`

        Returns
        -------
        tuple of WrittenInstance
            Path and UIDs of each instance

        Raises
        ------
        TypeError, ValueError, OSError
            As in `dicomslide.write_image`
        """
        from dicomslide.writing.image import write_image

        return write_image(self._data, path, slide=slide, **options)
