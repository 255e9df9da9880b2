"""Analyse a slide where it is stored, and store the results beside it:
``results_in_an_archive.py [SERVICE [CONTAINER]]``.

SERVICE is such as ``dicomweb+https://example.org/dicom-web``, and CONTAINER the Container
Identifier of the slide. Without them an Orthanc is started if it is installed, and a slide stored
there.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

import numpy as np
import requests
import xarray as xr
from nuclei_as_segmentation import SEGMENTS, find_nuclei
from skimage.measure import find_contours
from slide_on_a_server import PLUGIN, SERVER, server, wait_for

import dicomslide
from dicomslide.testing import write_slide

LEVEL = 1
ALGORITHM = ("threshold", "1")


def write_results(
    nuclei: xr.DataArray, slide: dicomslide.Slide, folder: str
) -> list[dicomslide.WrittenInstance]:
    """Write a mask and the outlines of what is in it."""
    written = dicomslide.write_segmentation(
        nuclei, folder, slide=slide, segments=SEGMENTS, algorithm=ALGORITHM
    )
    # Contours count from the centre of a pixel and rows come first; annotations count from its
    # corner. With a margin of one pixel all contours are closed
    contours = find_contours(np.pad(nuclei.values, 1), 0.5)
    outlines = [found[:-1, ::-1] - 0.5 for found in contours]
    cells = dicomslide.write_annotations(
        (np.concatenate(outlines), np.array([len(one) for one in outlines])),
        folder,
        slide=slide,
        level=LEVEL,
        label="Nucleus",
        algorithm=ALGORITHM,
    )
    return [*written, cells]


def main(service: str, container: str | None) -> None:
    slide = dicomslide.open_slide(service, container_identifier=container)
    image = slide.to_datatree()[f"level_{LEVEL}/image"].isel(channel=0, focal_plane=0)
    nuclei = find_nuclei(image)
    with TemporaryDirectory() as folder:
        stored = dicomslide.store(write_results(nuclei, slide, folder), service)
    print(f"stored {len(stored)} instances at {service}")

    again = dicomslide.open_slide(service, container_identifier=container)
    level = again.to_datatree()[f"level_{LEVEL}"]
    mask = level["segmentation"].isel(segment=-1, focal_plane=0)
    group = again.annotations[-1]
    inside = group.rasterize(level=LEVEL) > 0
    print(f"the mask is the same: {bool((mask == nuclei).all())}")
    print(f"{len(group)} outlines are around all of it: {bool(inside.values[mask == 1].all())}")
    with (
        dicomslide.view(again, show=False) as viewer,
        urlopen(f"{viewer.url}slides/0") as answer,
    ):
        print("the viewer shows", ", ".join(one["name"] for one in json.load(answer)["layers"]))


def demonstrate() -> None:
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        slide = write_slide(folder / "slide", size=(800, 1200))
        with server(folder) as origin:
            wait_for(f"{origin}/system")
            for path in slide.paths:
                requests.post(f"{origin}/instances", data=path.read_bytes(), timeout=60)
            main(f"dicomweb+{origin}/dicom-web", None)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
    elif SERVER and PLUGIN.exists():
        demonstrate()
    else:
        print("no service was given, and Orthanc is not installed", file=sys.stderr)
        sys.exit("usage: results_in_an_archive.py dicomweb+https://example.org/dicom-web S26-1")
