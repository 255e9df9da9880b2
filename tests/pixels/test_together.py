"""Channels, focal planes and segments are read together, each frame once."""

import threading

import numpy as np
import pytest
from pydicom.uid import RLELossless

from dicomslide import Slide, open_slide
from dicomslide.pixels import frames
from dicomslide.pixels.array import FrameArray
from dicomslide.pixels.cache import FrameCache
from dicomslide.pixels.stack import FrameStack
from dicomslide.pixels.threads import set_threads
from dicomslide.sources.base import FrameSource
from dicomslide.tile import FullTiling
from tests.pixels.test_array import ONE_BYTE

FLUORESCENCE = {"samples": 1, "size": (16, 24), "transfer_syntax": RLELossless}


@pytest.fixture
def threads():
    """Lets a read use four threads."""
    set_threads(4)
    yield 4
    set_threads(None)


class MeetingFrames(FrameSource):
    """A source of one frame, which is delivered when all sources have been asked."""

    transfer_syntax_uid = ONE_BYTE.transfer_syntax_uid

    def __init__(self, number: int, barrier: threading.Barrier) -> None:
        self.number = number
        self.barrier = barrier

    @property
    def name(self) -> str:
        return str(self.number)

    @property
    def token(self) -> str:
        return f"meeting {self.number}"

    def read(self, frames):
        self.barrier.wait()
        return [bytes([self.number])] * len(frames)


@pytest.mark.parametrize("together", ["one", "each"])
def test_channels_are_decoded_side_by_side(make_slide, threads, monkeypatch, together):
    slide = make_slide(**FLUORESCENCE, optical_paths=4, optical_paths_in=together)
    image = open_slide(slide.folder).to_datatree(chunks=None)["level_0"].image
    # Passes only when frames of four channels are being decoded at once
    barrier, decode = threading.Barrier(threads, timeout=20), frames.decode_frame

    def meet(*arguments):
        barrier.wait()
        return decode(*arguments)

    monkeypatch.setattr(frames, "decode_frame", meet)
    pixels = image.values
    for channel in range(4):
        expected = slide.levels[0].pixels(channel, 0)
        np.testing.assert_array_equal(pixels[channel, 0], expected)


def test_remote_sources_are_asked_side_by_side():
    barrier = threading.Barrier(5, timeout=20)
    arrays = [
        FrameArray(
            frames.ImageFrames(MeetingFrames(number, barrier), ONE_BYTE, FrameCache("", 0)),
            (1, 1),
            FullTiling((1, 1), (1, 1)),
            (number, 0),
        )
        for number in range(5)
    ]
    stack = FrameStack(tuple((array,) for array in arrays))
    assert stack[:, 0, 0, 0, 0].tolist() == [*range(5)]


@pytest.mark.parametrize("focal_planes", [1, 3])
def test_each_frame_of_channels_and_focal_planes_is_decoded_once(make_slide, decoded, focal_planes):
    slide = make_slide(**FLUORESCENCE, optical_paths=3, focal_planes=focal_planes)
    image = open_slide(slide.folder, max_frame_cache_size=0).to_datatree(chunks=None)
    pixels = image["level_0"].image[[2, 0, 2]].values
    assert len(decoded) == 2 * focal_planes
    for place, channel in enumerate([2, 0, 2]):
        for plane in range(focal_planes):
            expected = slide.levels[0].pixels(channel, plane)
            np.testing.assert_array_equal(pixels[place, plane], expected)


def test_frames_of_a_label_map_are_read_and_decoded_once_for_all_segments(
    make_slide, open_all_counted, decoded
):
    slide = make_slide(segmentations=("LABELMAP",))
    client, datasets = open_all_counted(slide.paths)
    tree = Slide(client, datasets, 0).to_datatree(chunks=None)
    found = tree["level_0"].segmentation.values
    segmentation = slide.segmentations[0]
    assert len(found) > 2
    for place, number in enumerate(tree["level_0"].segment.values):
        np.testing.assert_array_equal(found[place, 0], segmentation.mask(0, int(number)))
    read = [frame for request in client.requests for frame in request]
    assert len(read) == len(set(read)) == len(decoded)
