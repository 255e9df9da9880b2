"""Slides as Deep Zoom images, which OpenSeadragon and others show.

Levels are counted from a single pixel on, each twice as large as the one before it, the last one of
the size of the slide.
"""

import io
import math

from PIL import Image

from dicomslide.display.tiles import Picture

__all__ = ["FORMAT", "DeepZoom"]

FORMAT = "jpeg"
# A tile has 256 pixels with its neighbours' pixels at its edges
_TILE, _OVERLAP = 254, 1
# As good as that of a scanner, and colours are not subsampled
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
        """The file that describes the image."""
        rows, columns = self._picture.grid.size
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<Image xmlns="http://schemas.microsoft.com/deepzoom/2008" '
            f'Format="{FORMAT}" Overlap="{_OVERLAP}" TileSize="{_TILE}">'
            f'<Size Width="{columns}" Height="{rows}"/></Image>\n'
        )

    def has(self, level: int, column: int, row: int) -> bool:
        """Whether there is a tile."""
        if not 0 <= level <= self._last:
            return False
        rows, columns = self._picture.grid.reduced(self._last - level).size
        return 0 <= row * _TILE < rows and 0 <= column * _TILE < columns

    def tile(self, level: int, column: int, row: int) -> bytes:
        """Draw a tile that there is, and encode it.

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
