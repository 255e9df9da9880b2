"""Open slides from a place of one's own: ``python place_of_ones_own.py``.

The place is a bucket that has a folder for each image: a document with its metadata in the DICOM
JSON Model, and an object for each encoded frame. Memory takes the place of the bucket.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import fsspec
import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames

import dicomslide
from dicomslide.testing import write_slide


class FrameObjects(dicomslide.FrameSource):
    """The frames of an image, each an object named by its index. They never change."""

    def __init__(self, folder: str, transfer_syntax_uid: str) -> None:
        self._folder = folder
        self._transfer_syntax_uid = transfer_syntax_uid

    name = token = property(lambda self: self._folder)
    transfer_syntax_uid = property(lambda self: self._transfer_syntax_uid)

    def read(self, frames: Sequence[int]) -> list[bytes]:
        bucket, folder = fsspec.url_to_fs(self._folder)
        try:
            found = bucket.cat([f"{folder}/{frame}" for frame in frames])
        except OSError as error:
            raise dicomslide.SourceError(f"{self.name}: {error}") from error
        return [found[f"{folder}/{frame}"] for frame in frames]


class FrameBucket:
    """A bucket with a folder for each image."""

    def __init__(self, url: str) -> None:
        self.name = url

    def images(self, query: dicomslide.ImageQuery) -> Iterator[Dataset]:
        for file in fsspec.open_files(f"{self.name}/*/metadata.json"):
            with file as stream:
                yield Dataset.from_json(json.load(stream)["metadata"])

    def frame_sources(self, datasets: Sequence[Dataset]) -> list[FrameObjects]:
        sources = []
        for folder in [f"{self.name}/{dataset.SOPInstanceUID}" for dataset in datasets]:
            with fsspec.open(f"{folder}/metadata.json") as stream:
                sources.append(FrameObjects(folder, json.load(stream)["transfer_syntax_uid"]))
        return sources


# What puts slides into the bucket


def put(path: Path, url: str) -> None:
    """Put the frames and the metadata of a file into a bucket."""
    dataset = pydicom.dcmread(path)
    frames = generate_frames(dataset.PixelData, number_of_frames=dataset.NumberOfFrames)
    objects = {str(index): frame for index, frame in enumerate(frames)}
    del dataset.PixelData
    document = {
        "transfer_syntax_uid": dataset.file_meta.TransferSyntaxUID,
        "metadata": dataset.to_json_dict(),
    }
    objects["metadata.json"] = json.dumps(document).encode()
    bucket, folder = fsspec.url_to_fs(f"{url}/{dataset.SOPInstanceUID}")
    bucket.pipe({f"{folder}/{name}": content for name, content in objects.items()})


if __name__ == "__main__":
    with TemporaryDirectory() as files:
        for path in write_slide(files, size=(2000, 3000)).paths:
            put(path, "memory://slides")
    slide = dicomslide.open_slide(FrameBucket("memory://slides"))
    print(f"{slide.num_levels} levels, the largest of {slide.size[0]} x {slide.size[1]} pixels")
    region = slide.get_image_region((1000, 1500), 0, (256, 256))
    print(f"mean of 256 x 256 pixels in the middle: {region.mean():.1f}")
