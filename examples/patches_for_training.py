"""Patches of tissue for the training of a model: ``python patches_for_training.py [FOLDER]``.

Worker processes read patches of 256 x 256 pixels at half a micrometre a pixel, once as items of a
map-style data set and once as the stream of an iterable one, and started in both ways that there
are. The classes have what `torch.utils.data.DataLoader` asks of data sets; here
`multiprocessing` is in its place, so that PyTorch need not be installed.
"""

import multiprocessing
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

import dicomslide
from dicomslide.spacing import image_at_spacing
from dicomslide.testing import write_slide

SIDE, SPACING = 256, 0.5
BATCH, WORKERS = 16, 2
# Glass is white or grey, tissue has a colour: the largest sample less the smallest one
COLOR = 12


def tissue(slide: dicomslide.Slide) -> NDArray:
    """Find patches of tissue: (x, y) of their middles on the slide in millimetres, shape (n, 2).

    In an image whose pixels are as large as patches each has the mean colour of its patch. It is
    made of a low level, in a moment.
    """
    image = image_at_spacing(slide, SIDE * SPACING)
    spread = image.max("sample").astype(int) - image.min("sample")
    # One of the coordinates runs along the rows and one along the columns
    x, y = (image[name].broadcast_like(spread) for name in ("slide_x", "slide_y"))
    found = (spread > COLOR).values
    return np.column_stack([x.values[found], y.values[found]])


@dataclass
class Patches:
    """A map-style data set: one patch for each place.

    It travels to workers with its slide, which reopens its files there.
    """

    slide: dicomslide.Slide
    places: NDArray

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> tuple[NDArray, NDArray]:
        """Read a patch, shape (samples, rows, columns), and its place."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[NDArray, NDArray]]:
        """Read the patches of a batch together; a DataLoader calls this where it is there."""
        places = self.places[indices]
        return list(zip(self.read(places), places, strict=True))

    def read(self, places: NDArray) -> NDArray:
        """Read the patches around places, shape (patches, samples, rows, columns)."""
        points = np.column_stack([places, np.zeros(len(places))])
        middles = self.slide.map_slide_coordinates_to_pixel_indices(points, level=0)
        samples = self.slide.get_total_pixel_matrix(0).shape[2]
        # PyTorch has the samples before the rows: pixels are put there when they are decoded
        batch = np.empty((len(places), samples, SIDE, SIDE), np.uint8)
        self.slide.get_image_regions(
            middles - SIDE // 2, 0, (SIDE, SIDE), out=batch.transpose(0, 2, 3, 1)
        )
        return batch


@dataclass
class PatchStream:
    """An iterable data set: whole batches, of which each worker has its own part.

    With PyTorch the two numbers are those of `torch.utils.data.get_worker_info()`.
    """

    patches: Patches
    worker: int = 0
    workers: int = 1

    def __iter__(self) -> Iterator[NDArray]:
        # Neighbours share frames: each worker has a connected part
        parts = np.array_split(self.patches.places, self.workers)
        places = parts[self.worker]
        for start in range(0, len(places), BATCH):
            yield self.patches.read(places[start : start + BATCH])


def start_worker(patches: Patches) -> None:
    """Prepare a worker: the `worker_init_fn` of a DataLoader."""
    global data_set
    data_set = patches


def sum_of_batch(indices: Sequence[int]) -> NDArray:
    """Stand in for a model: add up colours of a batch of items."""
    return np.sum([pixels.sum(axis=(1, 2)) for pixels, _ in data_set.__getitems__(indices)], axis=0)


def sum_of_stream(worker: int) -> NDArray:
    """Add up colours of all batches of a worker."""
    stream = PatchStream(data_set, worker, WORKERS)
    return sum(batch.sum(axis=(0, 2, 3)) for batch in stream)


def train(patches: Patches, method: str) -> None:
    context = multiprocessing.get_context(method)
    order = np.random.default_rng(0).permutation(len(patches))
    batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
    with context.Pool(WORKERS, start_worker, (patches,)) as pool:
        for name, sums in (
            ("map-style", pool.imap_unordered(sum_of_batch, batches)),
            ("iterable", pool.imap_unordered(sum_of_stream, range(WORKERS))),
        ):
            mean = sum(sums) / (len(patches) * SIDE**2)
            print(f"{method:<6} {name:<10} mean colour {', '.join(f'{v:.3f}' for v in mean)}")


def main(folder: str) -> None:
    slide = dicomslide.open_slide(folder)
    patches = Patches(slide, tissue(slide))
    low, high = patches.places.min(axis=0), patches.places.max(axis=0)
    print(
        f"{len(patches)} patches of tissue, from ({low[0]:.3f}, {low[1]:.3f}) to "
        f"({high[0]:.3f}, {high[1]:.3f}) mm"
    )
    with warnings.catch_warnings():
        # Other libraries may have threads, of which Python warns. Those of dicomslide, and its open
        # files and connections, are made anew in a child
        warnings.simplefilter("ignore", DeprecationWarning)
        for method in ("fork", "spawn"):
            if method in multiprocessing.get_all_start_methods():
                train(patches, method)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with TemporaryDirectory() as folder:
            write_slide(Path(folder), size=(1000, 1200), factors=(1, 4))
            main(folder)
