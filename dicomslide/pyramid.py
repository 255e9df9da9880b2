"""Image pyramids: their levels, and the choice of an image among them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

from pydicom.dataset import Dataset

from dicomslide.arguments import number, number_pair, require_type
from dicomslide.errors import ArgumentTypeError, ArgumentValueError, InvalidImageError
from dicomslide.errors.damage import reads_image
from dicomslide.metadata.flavors import image_flavor
from dicomslide.metadata.frames import matrix_size
from dicomslide.metadata.geometry import ImageGeometry, pixel_spacing, read_geometry

__all__ = [
    "Pyramid",
    "PyramidLevel",
    "compute_image_center_position",
    "get_image_pixel_spacing",
    "get_image_size",
    "select_image_at_magnification",
    "select_image_at_pixel_spacing",
    "sort_images_by_pixel_spacing",
    "sort_images_by_size",
]

# Usual distance between pixels in millimetres by the power of the objective lens
_SPACING_OF_MAGNIFICATION = {2: 0.005, 4: 0.0025, 10: 0.001, 20: 0.0005, 40: 0.00025}
# Relative error of the size of a level that is computed from a Pixel Spacing of few digits
_ROUNDED_SPACING = 1e-3


class PyramidLevel(NamedTuple):
    """Level of an image pyramid."""

    total_pixel_matrix_dimensions: tuple[int, int]
    """Number of rows and columns."""
    pixel_spacing: tuple[float, float]
    """Distance between pixels in millimetres along the row and along the column direction."""
    downsampling_factors: tuple[float, float]
    """Pixel Spacing divided by that of the base level, between rows and between columns."""
    has_pixels: bool
    """Whether there is an image at this level."""


class LocatedImage(Protocol):
    """Image with a size and a position."""

    @property
    def uid(self) -> str:
        """SOP Instance UID."""

    @property
    def label(self) -> str:
        """Name of the image in messages."""

    @property
    def metadata(self) -> Dataset:
        """Image metadata."""

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the total pixel matrix."""

    @property
    def geometry(self) -> ImageGeometry:
        """Position of the image on the slide."""


@dataclass(frozen=True)
class LevelGrid:
    """Grid of the pixels of a level, with its position on the slide.

    Parameters
    ----------
    size : tuple of int
        Number of rows and columns
    geometry : ImageGeometry
        Position of the grid
    """

    size: tuple[int, int]
    geometry: ImageGeometry

    def is_same_as(self, other: "LevelGrid") -> bool:
        """Whether the pixels are those of another grid, apart from their Z."""
        z = other.geometry.origin[2]
        return self.size == other.size and self.geometry.at_height(z) == other.geometry

    @property
    def center(self) -> tuple[float, float]:
        """Centre (x, y) of the area in millimetres."""
        rows, columns = self.size
        x, y, _ = self.geometry.to_slide(((rows - 1) / 2, (columns - 1) / 2)).tolist()
        return x, y


class Pyramid(Sequence[PyramidLevel]):
    """Image pyramid: its levels from the largest matrix to the smallest.

    Parameters
    ----------
    metadata : sequence of pydicom.dataset.Dataset
        Metadata of DICOM image instances, one for each level
    tolerance : float
        Largest tolerated distance in millimetres between the centres of images at different levels
        in the slide coordinate system
    ref_metadata : sequence of pydicom.dataset.Dataset, optional
        Metadata of source images that serve as a template: the pyramid has a level for each of
        them, which `has_pixels` if one of the images has the same size

    Raises
    ------
    TypeError
        When an argument has the wrong type
    ValueError
        When there are no images, two of one size, images that are not aligned within the
        tolerance, or an image that matches no level of the template
    """

    def __init__(
        self,
        metadata: Sequence[Dataset],
        tolerance: float,
        ref_metadata: Sequence[Dataset] | None = None,
    ) -> None:
        number("tolerance", tolerance)
        images = template = _largest_first("metadata", metadata)
        if ref_metadata is not None:
            template = _largest_first("ref_metadata", ref_metadata)
        _check_sizes(images, [image.size for image in template])
        base = base_grid(template[0])
        for image in (*images, *template):
            grid = level_grid(image, template[0], base)
            check_fit(image, grid, template[0], base, tolerance, "tolerance")
        self._levels = make_levels(
            [level_grid(image, template[0], base) for image in template],
            [image.size in {other.size for other in images} for image in template],
        )

    def __len__(self) -> int:
        return len(self._levels)

    def __getitem__(self, key):  # type: ignore[no-untyped-def]
        return self._levels[key]

    def __iter__(self) -> Iterator[PyramidLevel]:
        return iter(self._levels)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Pyramid):
            return NotImplemented
        return self._levels == other._levels

    def __hash__(self) -> int:
        return hash(self._levels)

    def __repr__(self) -> str:
        sizes = (level.total_pixel_matrix_dimensions for level in self._levels)
        return f"<Pyramid of {', '.join(f'{rows} x {columns}' for rows, columns in sizes)}>"


def base_grid(image: LocatedImage) -> LevelGrid:
    """Make the grid of the base level, at the position that its image states."""
    return LevelGrid(image.size, image.geometry.squared())


def level_grid(
    image: LocatedImage,
    base_image: LocatedImage,
    base: LevelGrid,
    corner: ImageGeometry | None = None,
) -> LevelGrid:
    """Make the grid of a level of a pyramid.

    A level that is stored with padding to whole tiles, of the size of those of the base level, is
    cut where the base level ends.

    Parameters
    ----------
    image, base_image : LocatedImage
        Images of the level and of the base level
    base : LevelGrid
        Grid of the base level
    corner : ImageGeometry, optional
        Position of the finest image with the same Total Pixel Matrix Origin, if that is not the
        base level

    Raises
    ------
    InvalidImageError
        When the image is not parallel to the base level, or does not state its position
    """
    geometry = image.geometry.as_level_of(corner or base.geometry)
    tile = _tile_size(image.metadata)
    # Only levels with the tiles of the base level are padded; a single frame has the image's size
    if tile != _tile_size(base_image.metadata):
        return LevelGrid(image.size, geometry)
    scale = geometry.scale_to(base.geometry)
    rows, columns = (
        _without_padding(*sizes) for sizes in zip(image.size, tile, base.size, scale, strict=True)
    )
    return LevelGrid((rows, columns), geometry)


def _without_padding(stored: int, tile: int, base: int, scale: float) -> int:
    """Compute the number of rows or columns of a level that lie in the area of the base level."""
    # Rounding errors of the division must not add a pixel
    needed = math.ceil(round(base / scale, 6))
    is_padded = stored % tile == 0 and 0 <= stored - needed < tile
    # A smaller excess is no padding, but an error of a rounded Pixel Spacing
    return needed if is_padded and stored - needed > _ROUNDED_SPACING * stored else stored


@reads_image
def _tile_size(dataset: Dataset) -> tuple[int, int]:
    rows, columns = (dataset.get(keyword) for keyword in ("Rows", "Columns"))
    return int(rows or 1), int(columns or 1)


def check_fit(
    image: LocatedImage,
    grid: LevelGrid,
    base_image: LocatedImage,
    base: LevelGrid,
    tolerance: float,
    keyword: str,
) -> None:
    """Check that an image shows the area of the base level.

    The centres of the areas may be apart by the tolerance, or by one pixel of the coarser image,
    which may be missing where the size of the base level is not a whole multiple.

    Parameters
    ----------
    image, base_image : LocatedImage
        Images of the level and of the base level
    grid, base : LevelGrid
        Grids of the images
    tolerance : float
        Tolerated distance in millimetres
    keyword : str
        Name of the argument of the tolerance, for the message

    Raises
    ------
    ArgumentValueError
        When the image shows another area
    """
    distance = math.dist(grid.center, base.center)
    pixel = max(*grid.geometry.spacing, *base.geometry.spacing)
    if not distance <= max(tolerance, pixel):
        raise ArgumentValueError(
            f"{_describe(base_image)} and {_describe(image)} are not aligned: the centres of their "
            f"areas are {distance:.6g} mm apart, more than the tolerated {tolerance:g} mm and more "
            f"than one pixel; a larger {keyword} allows it"
        )


def _describe(image: LocatedImage) -> str:
    rows, columns = image.size
    kind = image_flavor(image.metadata) or "no flavor"
    return f"{image.label} ({kind}, {rows} x {columns} pixels)"


def make_levels(grids: Sequence[LevelGrid], has_pixels: Sequence[bool]) -> tuple[PyramidLevel, ...]:
    """Make the descriptions of levels from their grids, the base level first."""
    levels = []
    for grid, filled in zip(grids, has_pixels, strict=True):
        between_rows, between_columns = grid.geometry.spacing
        levels.append(
            PyramidLevel(
                total_pixel_matrix_dimensions=grid.size,
                pixel_spacing=(between_columns, between_rows),
                downsampling_factors=grid.geometry.scale_to(grids[0].geometry),
                has_pixels=filled,
            )
        )
    return tuple(levels)


class _Described:
    """Image of which only the metadata are known."""

    def __init__(self, dataset: Dataset) -> None:
        self.metadata = dataset
        self.uid = str(dataset.get("SOPInstanceUID"))
        self.label = f"image {self.uid}"
        self.size = matrix_size(dataset)

    @cached_property
    def geometry(self) -> ImageGeometry:
        geometry = read_geometry(self.metadata)
        if geometry is None:
            raise InvalidImageError(
                f"image {self.uid} has no position on the slide: Pixel Spacing, Image Orientation "
                "(Slide) and Total Pixel Matrix Origin are needed"
            )
        return geometry


def _largest_first(name: str, metadata: Sequence[Dataset]) -> list[_Described]:
    return [_Described(image) for image in sort_images_by_size(_checked(name, metadata))]


def _check_sizes(images: Sequence[LocatedImage], levels: Sequence[tuple[int, int]]) -> None:
    found: dict[tuple[int, int], str] = {}
    for image in images:
        rows, columns = image.size
        if image.size in found:
            raise ArgumentValueError(
                f"images {found[image.size]} and {image.uid} both have {rows} x {columns} pixels, "
                "a pyramid has one image at each level"
            )
        if image.size not in levels:
            raise ArgumentValueError(
                f"image {image.uid} has {rows} x {columns} pixels, the levels of the reference "
                f"have {', '.join(f'{r} x {c}' for r, c in levels)}"
            )
        found[image.size] = image.uid


def compute_image_center_position(image: Dataset) -> tuple[float, float, float]:
    """Compute position of image center in slide coordinate system.

    Parameters
    ----------
    image : pydicom.dataset.Dataset
        Metadata of DICOM VL Whole Slide Microscopy Image instance

    Returns
    -------
    tuple of float
        (x, y, z) coordinates in millimetres

    Raises
    ------
    ValueError
        When the image does not state its position
    """
    described = _Described(image)
    rows, columns = described.size
    x, y, z = described.geometry.to_slide(((rows - 1) / 2, (columns - 1) / 2)).tolist()
    return x, y, z


def get_image_size(image: Dataset) -> int:
    """Get size of an image.

    Parameters
    ----------
    image : pydicom.dataset.Dataset
        Metadata of a DICOM VL Whole Slide Microscopy Image instance or a derived image instance
        (for example DICOM Segmentation)

    Returns
    -------
    int
        Number of pixels in each total pixel matrix

    Raises
    ------
    ValueError
        When the image does not state its size
    """
    rows, columns = matrix_size(image)
    return rows * columns


def get_image_pixel_spacing(image: Dataset) -> tuple[float, float]:
    """Get pixel spacing (spacing between pixels) of an image.

    Parameters
    ----------
    image : pydicom.dataset.Dataset
        Metadata of a DICOM VL Whole Slide Microscopy Image instance or a derived image instance
        (for example DICOM Segmentation)

    Returns
    -------
    tuple of float
        Distance in millimetres between rows and between columns: the two values of Pixel Spacing
        (PS3.3 C.7.6.16.2.1). Pixels are usually square

    Raises
    ------
    ValueError
        When the image has no Pixel Spacing
    """
    spacing = pixel_spacing(image)
    if spacing is None:
        raise InvalidImageError(f"image {image.get('SOPInstanceUID')} has no Pixel Spacing")
    return spacing


def sort_images_by_size(collection: Sequence[Dataset]) -> list[Dataset]:
    """Sort images by size in descending order (largest to smallest).

    Parameters
    ----------
    collection : sequence of pydicom.dataset.Dataset
        Metadata of DICOM VL Whole Slide Microscopy Image instances

    Returns
    -------
    list of pydicom.dataset.Dataset
        Sorted metadata; images of one size stay in their order
    """
    return sorted(collection, key=get_image_size, reverse=True)


def sort_images_by_pixel_spacing(collection: Sequence[Dataset]) -> list[Dataset]:
    """Sort images by pixel spacing in ascending order (lowest to highest).

    Parameters
    ----------
    collection : sequence of pydicom.dataset.Dataset
        Metadata of DICOM VL Whole Slide Microscopy Image instances

    Returns
    -------
    list of pydicom.dataset.Dataset
        Sorted metadata; images of one spacing stay in their order
    """
    return sorted(collection, key=lambda image: max(get_image_pixel_spacing(image)))


def select_image_at_magnification(
    collection: Sequence[Dataset], magnification: int, tolerance: float | None = None
) -> Dataset:
    """Select an image from a collection at a desired magnification.

    Parameters
    ----------
    collection : sequence of pydicom.dataset.Dataset
        Metadata of DICOM VL Whole Slide Microscopy Image instances
    magnification : {2, 4, 10, 20, 40}
        Magnification level, which corresponds roughly to the power of the objective lens of a
        microscope. The nearest level is chosen where none matches exactly
    tolerance : float, optional
        Tolerated difference in millimetres between the usual pixel spacing of the magnification and
        the closest one that is available

    Returns
    -------
    pydicom.dataset.Dataset
        Image closest to the desired magnification

    Raises
    ------
    ValueError
        When `collection` is empty, when `magnification` is none of the choices, or when the
        tolerance is exceeded
    """
    if magnification not in _SPACING_OF_MAGNIFICATION:
        choices = ", ".join(map(str, _SPACING_OF_MAGNIFICATION))
        raise ArgumentValueError(f"magnification: expected one of {choices}, got {magnification!r}")
    spacing = _SPACING_OF_MAGNIFICATION[magnification]
    return select_image_at_pixel_spacing(collection, (spacing, spacing), tolerance)


def select_image_at_pixel_spacing(
    collection: Sequence[Dataset],
    pixel_spacing: tuple[float, float],
    tolerance: float | None = None,
) -> Dataset:
    """Select an image from a collection at a desired spatial pixel spacing.

    Parameters
    ----------
    collection : sequence of pydicom.dataset.Dataset
        Metadata of DICOM VL Whole Slide Microscopy Image instances
    pixel_spacing : tuple of float
        Desired distance in millimetres between rows and between columns
    tolerance : float, optional
        Tolerated difference in millimetres between the desired pixel spacing and the closest one
        that is available

    Returns
    -------
    pydicom.dataset.Dataset
        Image closest to the desired pixel spacing, the first one of several

    Raises
    ------
    ValueError
        When `collection` is empty or when the tolerance is exceeded
    """
    wanted = number_pair("pixel_spacing", pixel_spacing)
    if len(collection) == 0:
        raise ArgumentValueError("collection: there are no images to select from")
    distances = [math.dist(wanted, get_image_pixel_spacing(image)) for image in collection]
    nearest = min(range(len(distances)), key=distances.__getitem__)
    image = collection[nearest]
    deviation = max(abs(a - b) for a, b in zip(wanted, get_image_pixel_spacing(image), strict=True))
    if tolerance is not None and deviation > number("tolerance", tolerance):
        raise ArgumentValueError(
            f"no image has a pixel spacing of {wanted} mm: the nearest is "
            f"{get_image_pixel_spacing(image)} mm, which is off by more than the tolerance of "
            f"{tolerance} mm"
        )
    return image


def _checked(name: str, metadata: Sequence[Dataset]) -> Sequence[Dataset]:
    if isinstance(metadata, Dataset) or not isinstance(metadata, Sequence):
        raise ArgumentTypeError(f"{name}: expected a sequence, got {type(metadata).__name__}")
    for image in metadata:
        require_type(name, image, Dataset)
    if not metadata:
        raise ArgumentValueError(f"{name}: there are no images")
    return metadata
