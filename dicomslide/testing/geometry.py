"""Places of synthetic images on the slide."""

import math

__all__ = [
    "ORIENTATIONS",
    "SLIDE_LENGTH",
    "SLIDE_WIDTH",
    "Orientation",
    "centre_on_slide",
    "locate_pixel",
    "orientation_from_angle",
]

Orientation = tuple[float, float, float, float, float, float]

# Half of them show the slide as the microscope does, turned in steps of 90 degrees; the others are
# mirrored
ORIENTATIONS: tuple[Orientation, ...] = (
    (1.0, 0.0, 0.0, 0.0, -1.0, 0.0),
    (0.0, 1.0, 0.0, 1.0, 0.0, 0.0),
    (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    (0.0, -1.0, 0.0, -1.0, 0.0, 0.0),
    (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    (0.0, 1.0, 0.0, -1.0, 0.0, 0.0),
    (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0),
    (0.0, -1.0, 0.0, 1.0, 0.0, 0.0),
)

SLIDE_WIDTH = 25.0
SLIDE_LENGTH = 75.0
# The middle of the part of the slide that the label leaves free
_SPECIMEN_CENTRE = (12.5, 27.0)


def orientation_from_angle(degrees: float, mirrored: bool = False) -> Orientation:
    """Make the direction cosines of an image that is turned on the slide.

    Parameters
    ----------
    degrees : float
        Angle from the X axis of the slide to the direction of the rows of the image,
        counterclockwise
    mirrored : bool, optional
        Whether the image is flipped along its columns

    Returns
    -------
    tuple of float
        Value of Image Orientation (Slide), PS3.3 C.8.12.14
    """
    # Twelve decimals fit the 16 characters of a Decimal String; adding zero turns -0.0 into 0.0
    cosine, sine = (round(f(math.radians(degrees)), 12) + 0.0 for f in (math.cos, math.sin))
    flip = -1.0 if mirrored else 1.0
    return (cosine, sine, 0.0, flip * sine + 0.0, -flip * cosine + 0.0, 0.0)


def locate_pixel(
    row: float,
    column: float,
    origin: tuple[float, float],
    orientation: Orientation,
    spacing: tuple[float, float],
) -> tuple[float, float]:
    """Compute the slide coordinates (X, Y) in mm of a zero-based, possibly fractional pixel index.

    `origin` is that of the top-left pixel in mm, `spacing` is (between rows, between columns) in
    mm.
    """
    along_row, along_column = column * spacing[1], row * spacing[0]
    x = origin[0] + orientation[0] * along_row + orientation[3] * along_column
    y = origin[1] + orientation[1] * along_row + orientation[4] * along_column
    return round(x, 9) + 0.0, round(y, 9) + 0.0


def centre_on_slide(
    size: tuple[int, int], orientation: Orientation, spacing: tuple[float, float]
) -> tuple[float, float]:
    """Find the origin (X, Y) in mm that puts an image in the middle of the specimen area."""
    middle = ((size[0] - 1) / 2, (size[1] - 1) / 2)
    x, y = locate_pixel(-middle[0], -middle[1], _SPECIMEN_CENTRE, orientation, spacing)
    return round(x, 6), round(y, 6)
