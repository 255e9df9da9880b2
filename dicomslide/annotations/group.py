"""Groups of annotations, and single ones, of a slide."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dicomslide.annotations.measurements import Measurement
from dicomslide.annotations.places import Place
from dicomslide.annotations.shapes import bounding_boxes
from dicomslide.annotations.vectors import HeldVectors, Vectors, VectorSource
from dicomslide.arguments import integer, number_pair, selection
from dicomslide.errors import ArgumentTypeError, PixelIndexError
from dicomslide.metadata.codes import CodeItem

if TYPE_CHECKING:
    import geopandas as gpd
    import xarray as xr

    pass

__all__ = ["Annotation", "AnnotationGroup"]


@dataclass(frozen=True, eq=False)
class AnnotationGroup:
    """Group of annotations of one kind, all of which have the same graphic type.

    A group is an item of the Annotation Group Sequence of a Microscopy Bulk Simple Annotations
    instance (PS3.3 C.37.1.2), or has the regions of one finding of a Structured Report (PS3.16 TID
    1500). Coordinates and measurements are read when they are needed, and kept within a bound,
    ``dicomslide.keep.annotations``.

    ``len(group)`` is the number of annotations; ``group[3]`` is one of them; ``group[10:20]``,
    indices and masks give groups of some of them.

    Parameters
    ----------
    number : int
        Annotation Group Number; of a Structured Report, the number of the group in it
    uid : str
        Annotation Group UID; empty where there is none
    label : str
        Annotation Group Label, or the meaning of the finding
    description : str
        Annotation Group Description
    graphic_type : str
        Graphic Type: POINT, POLYLINE, POLYGON, ELLIPSE or RECTANGLE
    coordinate_type : str
        Annotation Coordinate Type: 2D for pixels of an image, 3D for millimetres on the slide
    category, property_type : CodeItem
        Annotation Property Category and Type, or finding category and finding
    generation_type : str
        Annotation Group Generation Type: MANUAL, SEMIAUTOMATIC or AUTOMATIC; empty where it is not
        stated
    algorithms : tuple of str
        Names of the algorithms, with their versions
    color : str
        Recommended Display CIELab Value as six hexadecimal digits of sRGB; empty where there is
        none
    optical_paths : tuple of str
        Identifiers of the optical paths that the annotations apply to; empty for all
    measurements : tuple of Measurement
        Measurements of the annotations
    identifiers : tuple of str
        Tracking Identifier of each annotation; empty where they have none
    sop_instance_uid, series_instance_uid : str
        UIDs of the instance that has the group
    """

    number: int
    uid: str
    label: str
    description: str
    graphic_type: str
    coordinate_type: str
    category: CodeItem
    property_type: CodeItem
    generation_type: str
    algorithms: tuple[str, ...]
    color: str
    optical_paths: tuple[str, ...]
    measurements: tuple[Measurement, ...]
    identifiers: tuple[str, ...]
    sop_instance_uid: str
    series_instance_uid: str
    _source: VectorSource = field(repr=False)
    _place: Place = field(repr=False)

    def __repr__(self) -> str:
        return f"<AnnotationGroup {self.label!r}: {len(self)} x {self.graphic_type}>"

    def __len__(self) -> int:
        return self._source.size

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, (int, np.integer)):
            return self._one(integer("index", index))
        if isinstance(index, slice):
            return self._some(np.arange(*index.indices(len(self))))
        return self._some(self._indices(index))

    @property
    def vectors(self) -> Vectors:
        """Coordinates of all points as they are stored, and where each annotation starts.

        A pair of arrays: ``points`` of shape (number of points, 2 or 3), and ``starts`` of shape
        (n + 1,). Two-dimensional coordinates are (column, row) in pixels from the corner of the
        top left pixel of the image that the instance refers to, or of one of its frames;
        three-dimensional ones are (x, y, z) in millimetres, or (x, y) where all points share one Z.

        Raises
        ------
        ValueError
            When the coordinates contradict the number of annotations, or are not finite
        OSError
            When they cannot be read
        """
        return self._source.read()

    @property
    def num_points(self) -> int:
        """Number of the points of all annotations."""
        return self._source.num_points

    @property
    def node_counts(self) -> NDArray[np.int64]:
        """Number of points of each annotation, shape (n,)."""
        return self.vectors.counts

    def get_slide_coordinates(self) -> NDArray[np.float64]:
        """Get the positions of all points in the slide coordinate system.

        Returns
        -------
        numpy.ndarray
            (x, y, z) in millimetres, shape (number of points, 3). The points of an ellipse are the
            ends of its major, then of its minor axis
        """
        return self._place.to_slide.apply(self.vectors.points)

    def get_pixel_coordinates(self, level: int = 0) -> NDArray[np.float64]:
        """Get the positions of all points in the pixels of a level.

        Parameters
        ----------
        level : int, optional
            Zero-based index of a level of the slide

        Returns
        -------
        numpy.ndarray
            (column, row) from the corner of the top left pixel, whose centre is (0.5, 0.5), shape
            (number of points, 2)

        Raises
        ------
        ValueError
            When there is no such level
        """
        return self._place.to_level(self._level(level)).apply(self.vectors.points)

    @cached_property
    def bounding_boxes(self) -> NDArray[np.float64]:
        """Smallest x, smallest y, largest x and largest y in millimetres, shape (n, 4)."""
        return bounding_boxes(self.graphic_type, self.vectors, self._place.to_slide)

    def clip(
        self, x: tuple[float, float] | None = None, y: tuple[float, float] | None = None
    ) -> AnnotationGroup:
        """Select the annotations whose bounding boxes touch a rectangle of the slide.

        No geometry is made.

        Parameters
        ----------
        x, y : tuple of float, optional
            Bounds along X and Y of the slide in millimetres, in either order; not limited by
            default

        Returns
        -------
        AnnotationGroup
            The annotations in their order, with their measurements

        Raises
        ------
        TypeError, ValueError
            When bounds are no two numbers
        """
        boxes = self.bounding_boxes
        inside = np.ones(len(boxes), bool)
        for axis, (name, bounds) in enumerate((("x", x), ("y", y))):
            if bounds is not None:
                low, high = sorted(number_pair(name, bounds))
                inside &= (boxes[:, axis + 2] >= low) & (boxes[:, axis] <= high)
        return self._some(np.flatnonzero(inside))

    def to_geodataframe(self, level: int | None = None) -> gpd.GeoDataFrame:
        """Make a table with a geometry and the measurements of each annotation.

        It needs the extra ``annotations``: geopandas and shapely.

        Parameters
        ----------
        level : int, optional
            Level whose pixels the coordinates are: (column, row) from the corner of the top left
            pixel. By default they are (x, y) on the slide in millimetres

        Returns
        -------
        geopandas.GeoDataFrame
            Points, lines or polygons; ellipses are polygons of 64 points. Columns are named as
            measurements; ``attrs`` has their ``units``, and what the coordinates are

        Raises
        ------
        ValueError
            When there is no such level, or geopandas is not installed
        """
        from dicomslide.annotations.tables import to_geodataframe

        return to_geodataframe(self, None if level is None else self._level(level))

    def to_geojson(self, level: int = 0) -> dict[str, Any]:
        """Make a GeoJSON FeatureCollection, as QuPath reads it.

        Parameters
        ----------
        level : int, optional
            Level whose pixels the coordinates are; QuPath expects those of the base level

        Returns
        -------
        dict
            Features with classifications and measurements, for `json.dump`

        Raises
        ------
        ValueError
            When there is no such level
        """
        from dicomslide.annotations.geojson import to_features

        features = list(to_features([self], self._level(level)))
        return {"type": "FeatureCollection", "features": features}

    def rasterize(self, level: int = 0) -> xr.DataArray:
        """Draw the annotations on the pixels of a level.

        Parameters
        ----------
        level : int, optional
            Zero-based index of the level

        Returns
        -------
        xarray.DataArray
            Array of shape (y, x), uint32, with the coordinates of the level: 0, or the number of
            the annotation, counted from 1; the last one where several overlap. An area has the
            pixels whose centres lie in it, a line those that it passes through, and a point the one
            that it lies in. It is a dask array with the chunks of the level, each made from the
            annotations that touch it

        Raises
        ------
        ValueError
            When there is no such level
        """
        from dicomslide.annotations.raster import rasterize

        return rasterize(self, self._level(level))

    def _level(self, level: int) -> int:
        return selection("level", level, len(self._place.levels))

    def _indices(self, index: ArrayLike) -> NDArray[np.int64]:
        found = np.asarray(index)
        if found.dtype == bool and found.shape == (len(self),):
            return np.flatnonzero(found)
        if found.ndim != 1 or (found.dtype.kind not in "iu" and found.size):
            raise ArgumentTypeError(
                f"index: expected an integer, a slice, indices or a mask of {len(self)} "
                f"annotations, got {found.dtype} of shape {found.shape}"
            )
        found = found.astype(np.int64)
        if found.size and not -len(self) <= found.min() <= found.max() < len(self):
            raise PixelIndexError(f"index: there are {len(self)} annotations")
        return found % len(self) if found.size else found

    def _some(self, indices: NDArray[np.int64]) -> AnnotationGroup:
        token = self._source.token, hashlib.sha256(indices.tobytes()).hexdigest()
        return replace(
            self,
            measurements=tuple(found.of(indices) for found in self.measurements),
            identifiers=tuple(self.identifiers[k] for k in indices) if self.identifiers else (),
            _source=HeldVectors(self.vectors.of(indices), token),
        )

    def _one(self, index: int) -> Annotation:
        (place,) = self._indices([index])
        points, starts = self.vectors
        own = points[starts[place] : starts[place + 1]]
        return Annotation(self, int(place), self._place.to_slide.apply(own))


@dataclass(frozen=True, eq=False)
class Annotation:
    """Annotation of a group.

    Parameters
    ----------
    group : AnnotationGroup
        Group of the annotation
    index : int
        Zero-based index in the group
    points : numpy.ndarray
        (x, y, z) of its points in the slide coordinate system in millimetres, shape (k, 3)
    """

    group: AnnotationGroup = field(repr=False)
    index: int
    points: NDArray[np.float64]

    @property
    def graphic_type(self) -> str:
        """Graphic Type."""
        return self.group.graphic_type

    @property
    def measurements(self) -> Mapping[str, float]:
        """Measured values by the meanings of their names; NaN for one without a value."""
        return {
            found.name.meaning: float(found.values[self.index]) for found in self.group.measurements
        }
