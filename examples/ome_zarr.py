"""Export a slide as OME-Zarr and read a place of it back: ``python ome_zarr.py [SLIDE]``."""

import sys
import tempfile
from pathlib import Path

import numpy as np
import zarr

import dicomslide
from dicomslide.testing import write_slide

# Micrometres along the rows and the columns, from the top left pixel, and the size of the region
PLACE, SIZE = np.array([300.0, 400.0]), 100.0


def main() -> None:
    if len(sys.argv) > 1:
        source = Path(sys.argv[1])
    else:
        source = Path(tempfile.mkdtemp()) / "slide"
        write_slide(source, segmentations=["BINARY"])
    slide = dicomslide.open_slide(source)
    # A second run finishes what the first one has begun
    dicomslide.to_ome_zarr(slide, "slide.ome.zarr", resume=True)

    group = zarr.open_group("slide.ome.zarr", mode="r")
    ome = group.attrs["ome"]
    print("channels:", ", ".join(channel["label"] for channel in ome["omero"]["channels"]))
    for dataset in ome["multiscales"][0]["datasets"]:
        pixels = read(group[dataset["path"]], dataset["coordinateTransformations"])
        print(f"level {dataset['path']}: {pixels.shape} pixels, mean {pixels.mean():.1f}")
    for name in group["labels"].attrs["ome"]["labels"] if "labels" in group else ():
        label = group["labels"][name]
        (dataset, *_) = label.attrs["ome"]["multiscales"][0]["datasets"]
        values = read(label[dataset["path"]], dataset["coordinateTransformations"])
        print(f"{name}: {(values > 0).mean():.1%} of the region")


def read(array: zarr.Array, transformations: list[dict]) -> np.ndarray:
    """Read the same region of any level: positions are those of the centres of pixels.

    Images have the axes (c, z, y, x), and label images (z, y, x).
    """
    scale, translation = (np.array(step[step["type"]][-2:]) for step in transformations)
    first, last = (
        np.rint((corner - translation) / scale).astype(int) for corner in (PLACE, PLACE + SIZE)
    )
    return array[..., first[0] : last[0] + 1, first[1] : last[1] + 1]


if __name__ == "__main__":
    main()
