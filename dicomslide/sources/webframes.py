"""The frames of an image instance of a DICOMweb service."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from dicomslide.errors import FrameError, SourceError
from dicomslide.metadata.frames import number_of_frames, tiles_across
from dicomslide.metadata.pixel_format import is_encapsulated
from dicomslide.sources.dicomweb import WebService
from dicomslide.sources.http import RefusedRequestError
from dicomslide.sources.readahead import ReadAhead, frames_per_request

__all__ = ["WebFrames", "batch_size_of", "check_frames", "frame_size", "web_frames"]

# No encoded frame is larger than twice the decoded one and this
_OVERHEAD = 1 << 16
# Tags of Float Pixel Data and Double Float Pixel Data
_FLOATS = {32: "7fe00008", 64: "7fe00009"}


@dataclass(frozen=True)
class WebFrames:
    """The frames of an image instance of a DICOMweb service.

    Parameters
    ----------
    service : WebService
        The service
    url : str
        URL of the instance
    count : int
        Number of frames
    frame_bytes : int
        Size of a decoded frame
    transfer_syntax_uid : str
        Transfer Syntax UID; empty where the service does not tell, then each frame does
    ahead : ReadAhead
        Frames that are read before they are asked for
    bulk_url : str
        URL of the pixels of all frames; empty where the service has frames
    """

    service: WebService
    url: str
    count: int
    frame_bytes: int
    transfer_syntax_uid: str
    ahead: ReadAhead
    bulk_url: str = ""

    @property
    def name(self) -> str:
        """URL of the instance."""
        return self.url

    @property
    def token(self) -> str:
        """A name that is the same for the same instance of the same service."""
        return self.url

    @property
    def remote(self) -> bool:
        """Whether a request costs more than the frames that it brings."""
        return True

    @property
    def batch_size(self) -> int:
        """How many frames are best read with one call."""
        return batch_size_of(self.frame_bytes, self.transfer_syntax_uid)

    def read(self, frames: Sequence[int]) -> list[bytes]:
        """Read encoded frames; see `FrameSource.read`."""
        check_frames(frames, self.count, self.name)
        if self.bulk_url:
            size = self.frame_bytes
            pixels = _bulk_pixels(self.service, self.bulk_url, self.count * size)
            return [pixels[frame * size : (frame + 1) * size] for frame in frames]
        return self.ahead.read(frames, self.count, self.batch_size, self._fetch)

    def _fetch(self, frames: Sequence[int]) -> list[bytes]:
        # Each frame is asked for once
        wanted = list(dict.fromkeys(frames))
        found: dict[int, bytes] = {}
        for start in range(0, len(wanted), self.batch_size):
            batch = wanted[start : start + self.batch_size]
            encoded, syntax = self._retrieve(batch)
            if syntax and self.transfer_syntax_uid and syntax != self.transfer_syntax_uid:
                raise FrameError(
                    f"{self.name}: frames {[frame + 1 for frame in batch]} arrive in transfer "
                    f"syntax {syntax}, expected {self.transfer_syntax_uid}"
                )
            found.update(zip(batch, encoded, strict=True))
        return [found[frame] for frame in frames]

    def _retrieve(self, frames: Sequence[int]) -> tuple[list[bytes], str]:
        limit = 2 * self.frame_bytes + _OVERHEAD
        return self.service.retrieve_frames(self.url, frames, limit, self.transfer_syntax_uid)

    def with_transfer_syntax(self) -> "WebFrames":
        """Ask for a frame, and read its transfer syntax, if the service tells."""
        if self.transfer_syntax_uid or self.count == 0:
            return self
        return replace(self, transfer_syntax_uid=self._retrieve([0])[1])


def web_frames(
    service: WebService, url: str, dataset: Dataset, transfer_syntax_uid: str
) -> WebFrames:
    """Find the frames of an image instance of a service.

    Parameters
    ----------
    service : WebService
        The service
    url : str
        URL of the instance
    dataset : pydicom.dataset.Dataset
        Its metadata
    transfer_syntax_uid : str
        Transfer Syntax UID; empty where the metadata do not tell

    Raises
    ------
    SourceError
        When the service does not deliver what is needed
    """
    if transfer_syntax_uid and not is_encapsulated(transfer_syntax_uid):
        # Pixels that are not compressed always arrive so (PS3.18 8.7.3)
        transfer_syntax_uid = str(ExplicitVRLittleEndian)
    frames = WebFrames(
        service=service,
        url=url,
        count=number_of_frames(dataset),
        frame_bytes=frame_size(dataset),
        transfer_syntax_uid=transfer_syntax_uid,
        ahead=ReadAhead(url, tiles_across(dataset)),
    )
    if not _has_floats(dataset):
        return frames.with_transfer_syntax()
    try:
        frames.read([0])
    except RefusedRequestError:
        # Not all services have frames of floats
        bulk = dataset.get("PixelDataProviderURL") or f"{url}/bulk/{_FLOATS[dataset.BitsAllocated]}"
        frames = replace(frames, bulk_url=str(bulk))
    return replace(frames, transfer_syntax_uid=str(ExplicitVRLittleEndian))


def _has_floats(dataset: Dataset) -> bool:
    return dataset.get("BitsAllocated") in _FLOATS and "BitsStored" not in dataset


@lru_cache(maxsize=2)
def _bulk_pixels(service: WebService, url: str, size: int) -> bytes:
    pixels = b"".join(service.retrieve_bulkdata(url, size))
    if len(pixels) < size:
        raise SourceError(f"{url}: has {len(pixels)} bytes, expected {size}")
    return pixels


def check_frames(frames: Sequence[int], count: int, name: str) -> None:
    """Check that frames exist.

    Raises
    ------
    FrameError
        When one of the frames is not among the `count` frames of the image
    """
    outside = [frame + 1 for frame in frames if not 0 <= frame < count]
    if outside:
        raise FrameError(f"{name}: frames {outside} are not among its {count}")


def batch_size_of(frame_bytes: int, transfer_syntax_uid: str) -> int:
    """Choose how many frames of a transfer syntax, which may be empty, are asked for at once."""
    encapsulated = not transfer_syntax_uid or is_encapsulated(transfer_syntax_uid)
    return frames_per_request(frame_bytes, encapsulated)


def frame_size(dataset: Dataset) -> int:
    """Size of a decoded frame in bytes; who decodes says what is wrong with its attributes."""
    size = 1
    for keyword in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated"):
        value = dataset.get(keyword)
        size *= value if isinstance(value, int) and value > 0 else 1
    return -(-size // 8)
