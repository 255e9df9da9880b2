"""Frames of image instances of a DICOMweb service."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from dicomslide.bounds import Recent
from dicomslide.errors import FrameError, SourceError
from dicomslide.errors.damage import reads_image
from dicomslide.metadata.frames import number_of_frames, tiles_across
from dicomslide.metadata.storage import InstanceStorage
from dicomslide.metadata.transfer_syntaxes import is_encapsulated
from dicomslide.sources.base import FrameLocation, check_frames
from dicomslide.sources.dicomweb import WebService
from dicomslide.sources.http import RefusedRequestError
from dicomslide.sources.native import read_native_frames
from dicomslide.sources.readahead import ReadAhead, frames_per_request
from dicomslide.sources.service import InstanceUids
from dicomslide.sources.sidebyside import AT_ONCE

__all__ = ["WebFrames", "batch_size_of", "frame_bits", "web_frames"]

# Encoded frames may have this many bytes more than twice the decoded frame
_OVERHEAD = 1 << 16
# Most bytes of an image that is held in memory, as its service has bulk data instead of frames
_MAX_BULK = 1 << 28
# Rounds of concurrent requests for single frames in one batch
_ROUNDS = 4
# Tags of Float Pixel Data and Double Float Pixel Data
_FLOATS = {32: "7fe00008", 64: "7fe00009"}


@dataclass(frozen=True)
class WebFrames:
    """Source of the frames of an image instance of a DICOMweb service.

    Parameters
    ----------
    service : WebService
        Service that has the instance
    url : str
        URL of the instance
    count : int
        Number of frames
    frame_bits : int
        Size of a decoded frame in bits
    transfer_syntax_uid : str
        Transfer Syntax UID; empty where the service does not tell it
    ahead : ReadAhead
        Read-ahead in this source
    bulk_url : str
        URL of the pixels of all frames as bulk data; empty where the service has frames
    """

    service: WebService
    url: str
    count: int
    frame_bits: int
    transfer_syntax_uid: str
    ahead: ReadAhead
    bulk_url: str = ""

    @property
    def name(self) -> str:
        """URL of the instance."""
        return self.url

    @property
    def token(self) -> str:
        """Key that is equal for the same instance and the same user."""
        return _token(self.service, self.url)

    @property
    def remote(self) -> bool:
        """Whether a request costs more than the frames that it brings."""
        return True

    @property
    def batch_size(self) -> int:
        """Number of frames that are best read with one call."""
        return batch_size_of(
            self.frame_bits // 8, self.transfer_syntax_uid, self.service.refuses_frame_lists
        )

    def locate(self, frames: Sequence[int]) -> list[FrameLocation | None]:
        """Return None for each frame, as services do not tell where frames lie."""
        return [None] * len(frames)

    def close(self) -> None:
        """Drop all frames that were read ahead."""
        self.ahead.clear()

    def read(self, frames: Sequence[int]) -> list[bytes]:
        """Read encoded frames; see `FrameSource.read`."""
        check_frames(frames, self.count, self.name)
        if self.bulk_url:
            return read_native_frames(self._read_bulk, 0, self.frame_bits, frames)
        return self.ahead.read(frames, self.count, self.batch_size, self._fetch)

    def _fetch(self, frames: Sequence[int]) -> list[bytes]:
        # Repeated frames are requested once
        wanted = list(dict.fromkeys(frames))
        found: dict[int, bytes] = {}
        # The size is read before the loop, as it shrinks if the first answer refuses the list
        size = self.batch_size
        for start in range(0, len(wanted), size):
            batch = wanted[start : start + size]
            encoded, syntax = self._retrieve(batch)
            if syntax and self.transfer_syntax_uid and syntax != self.transfer_syntax_uid:
                raise FrameError(
                    f"{self.name}: frames {[frame + 1 for frame in batch]} arrive in transfer "
                    f"syntax {syntax}, expected {self.transfer_syntax_uid}"
                )
            found.update(zip(batch, encoded, strict=True))
        return [found[frame] for frame in frames]

    def _retrieve(self, frames: Sequence[int]) -> tuple[list[bytes], str]:
        limit = self.frame_bits // 4 + _OVERHEAD
        return self.service.retrieve_frames(self.url, frames, limit, self.transfer_syntax_uid)

    def _read_bulk(self, ranges: list[tuple[int, int]]) -> list[bytes]:
        size = -(-self.count * self.frame_bits // 8)
        pixels = _pixels.get(
            (self.service, self.bulk_url, size),
            lambda: _bulk_pixels(self.service, self.bulk_url, size),
            size,
        )
        return [pixels[offset : offset + length] for offset, length in ranges]

    def probed(self, bulk_url: str) -> "WebFrames":
        """Retrieve the first frame to learn its transfer syntax, or that there are no frames.

        Parameters
        ----------
        bulk_url : str
            URL of all pixels as bulk data; empty if it is not known. Used where the service has no
            frames of the image: some have none of floats, or of one bit a pixel

        Returns
        -------
        WebFrames
            Source with the transfer syntax, if it was found out
        """
        try:
            return replace(self, transfer_syntax_uid=self._retrieve([0])[1])
        except RefusedRequestError:
            if bulk_url and self.count * self.frame_bits // 8 <= _MAX_BULK:
                syntax = str(ExplicitVRLittleEndian)
                return replace(self, transfer_syntax_uid=syntax, bulk_url=bulk_url)
            # A slide opens without its frames: the error is raised when pixels are read
            return self


def _token(service: WebService, url: str) -> str:
    # The token includes the user's session, as frames of one user must not reach another
    return f"{service.http.sessions.key} {url}".strip()


def web_frames(
    service: WebService, uids: InstanceUids, dataset: Dataset, storage: InstanceStorage
) -> WebFrames:
    """Make the source of the frames of an image instance of a service.

    Parameters
    ----------
    service : WebService
        Service that has the instance
    uids : InstanceUids
        UIDs of the instance
    dataset : pydicom.dataset.Dataset
        Metadata of the instance
    storage : InstanceStorage
        Storage of its pixels as the metadata state it; a frame is retrieved if that is not enough

    Raises
    ------
    SourceError
        When the service does not deliver what is needed
    """
    url, syntax = service.instance_url(uids), storage.transfer_syntax_uid
    if syntax and not is_encapsulated(syntax):
        # Services send native pixels in this transfer syntax, however they are stored
        # (PS3.18 8.7.3)
        syntax = str(ExplicitVRLittleEndian)
    frames = WebFrames(
        service=service,
        url=url,
        count=number_of_frames(dataset),
        frame_bits=frame_bits(dataset),
        transfer_syntax_uid=syntax,
        ahead=ReadAhead(_token(service, url), tiles_across(dataset)),
    )
    bulk_url = storage.pixel_data_url
    if _has_floats(dataset):
        bulk_url = bulk_url or f"{url}/bulk/{_FLOATS[dataset.BitsAllocated]}"
    elif syntax or not frames.count:
        return frames
    return frames.probed(bulk_url)


@reads_image
def _has_floats(dataset: Dataset) -> bool:
    return dataset.get("BitsAllocated") in _FLOATS and "BitsStored" not in dataset


_pixels = Recent("bulk-pixels")


def _bulk_pixels(service: WebService, url: str, size: int) -> bytes:
    pixels = service.retrieve_bulkdata(url, size)
    if len(pixels) < size:
        raise SourceError(f"{url}: has {len(pixels)} bytes, expected {size}")
    return pixels


def batch_size_of(
    frame_bytes: int, transfer_syntax_uid: str, refuses_frame_lists: bool = False
) -> int:
    """Choose the number of frames of a batch; the transfer syntax may be empty.

    Frames of a service that refuses lists need a request each. A batch is then a few rounds of
    concurrent requests, so that decoding can begin soon.
    """
    encapsulated = not transfer_syntax_uid or is_encapsulated(transfer_syntax_uid)
    size = frames_per_request(frame_bytes, encapsulated)
    return min(size, _ROUNDS * AT_ONCE) if refuses_frame_lists else size


@reads_image
def frame_bits(dataset: Dataset) -> int:
    """Compute the size of a decoded frame in bits; decoders report attributes that are invalid."""
    size = 1
    for keyword in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated"):
        value = dataset.get(keyword)
        size *= value if isinstance(value, int) and value > 0 else 1
    return size
