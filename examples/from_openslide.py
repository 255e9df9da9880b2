"""Write the Deep Zoom tiles of a slide: ``python from_openslide.py [SLIDE]``.

The generator is that of openslide-python, which knows nothing of dicomslide: it is handed a
`dicomslide.OpenSlide` in place of its own. SLIDE is one of the files of a slide, as for OpenSlide,
or their folder. Viewers such as OpenSeadragon show the result.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from openslide.deepzoom import DeepZoomGenerator

import dicomslide
from dicomslide.testing import write_slide

OUT = Path("deepzoom")


def main(source: str) -> None:
    with dicomslide.OpenSlide(source) as reader:
        generator = DeepZoomGenerator(reader, tile_size=254, overlap=1)
        OUT.mkdir(exist_ok=True)
        (OUT / "slide.dzi").write_text(generator.get_dzi("jpeg"))
        for level, (columns, rows) in enumerate(generator.level_tiles):
            folder = OUT / "slide_files" / str(level)
            folder.mkdir(parents=True, exist_ok=True)
            for row in range(rows):
                for column in range(columns):
                    tile = generator.get_tile(level, (column, row))
                    tile.save(folder / f"{column}_{row}.jpeg")
        print(f"{generator.level_count} levels, {generator.tile_count} tiles: {OUT / 'slide.dzi'}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with TemporaryDirectory() as folder:
            slide = write_slide(folder, size=(2000, 3000))
            main(str(slide.paths[0]))
