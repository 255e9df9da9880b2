"""Slides as Deep Zoom images, for viewers such as OpenSeadragon.

Level 0 has a single pixel, each level is twice as large as the one before it, and the last one has
the size of the slide.
"""

import io
import math

from PIL import Image

from dicomslide.display.tiles import Picture

__all__ = ["FORMAT", "DeepZoom"]

FORMAT = "jpeg"
# With the overlap on both sides a tile has 256 x 256 pixels
_TILE, _OVERLAP = 254, 1
# JPEG quality, about that of scanners
_QUALITY = 90


class DeepZoom:
    """The picture of a slide as a Deep Zoom image.

    Parameters
    ----------
    picture : Picture
        The picture
    """

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._last = math.ceil(math.log2(max(*picture.grid.size, 1)))

    @property
    def descriptor(self) -> str:
        """Descriptor of the image (a .dzi file) as XML."""
        rows, columns = self._picture.grid.size
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<Image xmlns="http://schemas.microsoft.com/deepzoom/2008" '
            f'Format="{FORMAT}" Overlap="{_OVERLAP}" TileSize="{_TILE}">'
            f'<Size Width="{columns}" Height="{rows}"/></Image>\n'
        )

    def has(self, level: int, column: int, row: int) -> bool:
        """Whether the image has this tile."""
        if not 0 <= level <= self._last:
            return False
        rows, columns = self._picture.grid.reduced(self._last - level).size
        return 0 <= row * _TILE < rows and 0 <= column * _TILE < columns

    def tile(self, level: int, column: int, row: int) -> bytes:
        """Draw and encode a tile, which has to exist.

        Raises
        ------
        UnsupportedError
            When there is no level of about this size, and too many pixels would have to be read
        FrameError
            When a frame cannot be decoded
        """
        grid = self._picture.grid.reduced(self._last - level)
        starts = [max(index * _TILE - _OVERLAP, 0) for index in (row, column)]
        stops = [
            min((index + 1) * _TILE + _OVERLAP, size)
            for index, size in zip((row, column), grid.size, strict=True)
        ]
        size = stops[0] - starts[0], stops[1] - starts[1]
        pixels = self._picture.render(grid.part((starts[0], starts[1]), size))
        encoded = io.BytesIO()
        Image.fromarray(pixels).save(encoded, FORMAT, quality=_QUALITY, subsampling=0)
        return encoded.getvalue()
