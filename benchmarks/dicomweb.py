"""Orthanc near and far: regions and a whole level, beside wsidicom and the limit.

The limit is one request for all frames that a region touches (512 at most), and decoding them with
the same codec on two threads. Readers take turns in one process, in an order that changes.

    python -m benchmarks.dicomweb [--folder FOLDER] [--rounds N] [--delay SECONDS]
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import imagecodecs
import numpy as np
import pydicom
import urllib3
import wsidicom

import dicomslide
from dicomslide.sources import readahead
from dicomslide.testing import write_slide
from tests.servers.distance import RoundTrips
from tests.servers.forwarding import ForwardingServer
from tests.servers.orthanc import Orthanc, run_orthanc

SIZE, TILE = (8160, 11520), 240
SIDES = 256, 1024, 4096
Place = tuple[int, int]


class Limit:
    """Frames of a region of the base level with one request, decoded and nothing else."""

    def __init__(self, service: str, path: Path) -> None:
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        self.url = (
            f"{service}/studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}"
            f"/instances/{dataset.SOPInstanceUID}/frames"
        )
        self.across = -(-SIZE[1] // TILE)
        self.connections = urllib3.PoolManager()
        self.pool = ThreadPoolExecutor(2)

    def region(self, place: Place, side: int) -> int:
        rows, columns = (range(p // TILE, (p + side - 1) // TILE + 1) for p in place)
        return self.frames([row * self.across + column for row in rows for column in columns])

    def frames(self, frames: list[int]) -> int:
        numbers = ",".join(str(frame + 1) for frame in frames)
        accept = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
        url = f"{self.url}/{numbers}"
        body = self.connections.request("GET", url, headers={"Accept": accept}).data
        parts = body.split(body[: body.index(b"\r\n")])[1:-1]
        assert len(parts) == len(frames)
        encoded = [part[part.index(b"\r\n\r\n") + 4 : -2] for part in parts]
        return sum(1 for _ in self.pool.map(imagecodecs.jpeg8_decode, encoded))


def measure(readers: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each reader, which take turns."""
    times: dict[str, list[float]] = {name: [] for name in readers}
    order = list(readers)
    for _ in range(rounds):
        order = order[1:] + order[:1]
        for name in order:
            read = readers[name]
            start = time.perf_counter()
            read()
            times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where the slide is kept between runs")
    parser.add_argument("--rounds", type=int, default=15, help="reads of each kind (%(default)s)")
    parser.add_argument(
        "--delay", type=float, default=0, help="seconds until an answer begins (%(default)s)"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)) / "dicomweb-slide"
        if not folder.exists():
            write_slide(
                folder, size=SIZE, tile=(TILE, TILE), factors=(1, 2, 4), label=False, overview=False
            )
        with run_orthanc(Path(temporary)) as orthanc:
            orthanc.upload(sorted(folder.glob("*.dcm")))
            with far_away(orthanc, options.delay) as service:
                run(service, folder / "level-0.dcm", options.rounds)


@contextmanager
def far_away(orthanc: Orthanc, delay: float) -> Iterator[str]:
    """URL of the service, behind another server that delays its answers if there is a delay."""
    if not delay:
        yield orthanc.url
        return
    parts = urlsplit(orthanc.url)
    with ForwardingServer(f"{parts.scheme}://{parts.netloc}") as server:
        server.distance = RoundTrips(delay)
        yield f"{server.origin}{parts.path}"


def run(service: str, base: Path, rounds: int) -> None:
    dataset = pydicom.dcmread(base, stop_before_pixels=True)
    study, series = str(dataset.StudyInstanceUID), str(dataset.SeriesInstanceUID)
    url = f"dicomweb+{service}/studies/{study}/series/{series}"
    peer_client = wsidicom.WsiDicomWebClient.create_client(service)

    def open_ours() -> dicomslide.Slide:
        return dicomslide.open_slide(url, correct_color=False, max_frame_cache_size=0)

    def open_peer() -> wsidicom.WsiDicom:
        syntax = dataset.file_meta.TransferSyntaxUID
        return wsidicom.WsiDicom.open_web(peer_client, study, series, syntax)

    slide, peer, limit = open_ours(), open_peer(), Limit(service, base)
    matrix = slide.get_image(level=0).get_total_pixel_matrix()
    rng = np.random.default_rng(0)

    print("| | limit | dicomslide | wsidicom | ratio to limit | ratio to wsidicom |")
    print("| --- | --- | --- | --- | --- | --- |")
    show("open", measure({"dicomslide": open_ours, "wsidicom": open_peer}, rounds))
    for side in SIDES:
        place = [0, 0]

        def move(side: int = side, place: list[int] = place) -> None:
            place[:] = (int(rng.integers(0, size - side)) for size in SIZE)

        def read_ours(side: int = side, place: list[int] = place) -> object:
            move()
            return matrix[place[0] : place[0] + side, place[1] : place[1] + side]

        def read_peer(side: int = side, place: list[int] = place) -> object:
            move()
            return np.asarray(peer.read_region((place[1], place[0]), 0, (side, side)))

        def read_limit(side: int = side, place: list[int] = place) -> object:
            move()
            return limit.region((place[0], place[1]), side)

        readers = {"limit": read_limit, "dicomslide": read_ours, "wsidicom": read_peer}
        show(f"{side} x {side}", measure(readers, rounds))
    # The first graph imports what dask needs
    matrix.to_dask("auto")[:1, :1].max().compute()
    everything = list(range(limit.across * -(-SIZE[0] // TILE)))
    halves = [everything[:512], everything[512:1024], everything[1024:1536], everything[1536:]]

    def whole_limit() -> None:
        for part in halves:
            limit.frames(part)

    for chunks in ("auto", "frames"):

        def whole_ours(chunks: str = chunks) -> object:
            # Nothing is left from the time before
            readahead._buffer.clear()
            return matrix.to_dask(chunks).max().compute()

        def whole_peer() -> object:
            return np.asarray(peer.read_region((0, 0), 0, (SIZE[1], SIZE[0]))).max()

        readers = {"limit": whole_limit, "dicomslide": whole_ours, "wsidicom": whole_peer}
        show(f'whole level, chunks="{chunks}"', measure(readers, max(rounds // 5, 1)))


def show(what: str, times: dict[str, float]) -> None:
    limit, ours, peer = (times.get(name) for name in ("limit", "dicomslide", "wsidicom"))
    ratios = [f"{ours / other:.2f}" if ours and other else "" for other in (limit, peer)]
    figures = [f"{value:.1f}" if value else "" for value in (limit, ours, peer)]
    print(f"| {what} | {' | '.join(figures)} | {' | '.join(ratios)} |", flush=True)


if __name__ == "__main__":
    main()
