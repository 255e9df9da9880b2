"""Read a slide as Zarr without copying it: ``python slide_as_zarr.py [SLIDE]``."""

import sys
import tempfile
import urllib.request
from pathlib import Path

import dask.array as da
import zarr

import dicomslide
from dicomslide.testing import write_slide


def main() -> None:
    if len(sys.argv) > 1:
        source = Path(sys.argv[1])
    else:
        source = Path(tempfile.mkdtemp()) / "slide"
        write_slide(source)
    slide = dicomslide.open_slide(source)

    store = dicomslide.as_zarr(slide)
    group = zarr.open_group(store, mode="r")
    (multiscale,) = group.attrs["ome"]["multiscales"]
    for dataset in multiscale["datasets"]:
        array = group[dataset["path"]]
        print(f"level {dataset['path']}: {array.shape[2]} x {array.shape[3]} pixels")

    smallest = da.from_zarr(store, component=dataset["path"])
    print("mean of each channel:", *smallest.mean(axis=(1, 2, 3)).round(1).compute())

    # Programs that take an address read it over HTTP, as long as the server is there
    with dicomslide.SlideServer([slide]) as server:
        (url,) = server.urls.values()
        with urllib.request.urlopen(f"{url}ome.zarr/zarr.json") as answer:
            print("metadata:", answer.headers["Content-Type"], len(answer.read()), "bytes")


if __name__ == "__main__":
    main()
