"""Make a picture of a slide in a bucket: ``python slide_in_a_bucket.py [URL]``.

URL is one that fsspec knows, such as ``s3://bucket/slide/``. Without one, a slide is put into
memory, which takes the place of the bucket. How many bytes are read is printed.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import fsspec
from PIL import Image

import dicomslide
from dicomslide.testing import write_slide

OUT = Path("slide.png")


def main(url: str) -> None:
    slide = dicomslide.open_slide(url)
    print(f"{slide.num_levels} levels, the largest of {slide.size[0]} x {slide.size[1]} pixels")
    # The smallest level of at least 400 pixels, and a region of the largest
    level = max(n for n in range(slide.num_levels) if max(slide.get_image(n).size) >= 400)
    picture = slide.get_image(level).get_total_pixel_matrix()[...]
    Image.fromarray(picture).save(OUT)
    print(f"level {level} as {OUT}: {picture.shape[0]} x {picture.shape[1]} pixels")
    row, column = (size // 2 for size in slide.size)
    region = slide.get_image_region((row, column), 0, (256, 256))
    print(f"mean of 256 x 256 pixels in the middle: {region.mean():.1f}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with TemporaryDirectory() as folder:
            write_slide(folder, size=(2000, 3000))
            fsspec.filesystem("memory").put(f"{folder}/", "memory://bucket/slide/", recursive=True)
        main("memory://bucket/slide/")
