"""The frames of images that are split into several instances."""

import pickle
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from dicomslide import Slide
from dicomslide.errors import FrameError, InvalidImageError
from dicomslide.sources.base import FrameSource
from dicomslide.sources.concatenation import ConcatenatedFrames
from dicomslide.sources.files import open_image_file

SIZES = (3, 1, 5)
WHOLE = [b"frame %d" % number for number in range(sum(SIZES))]


@dataclass
class Part:
    """A part in memory, and what was asked of it."""

    frames: list[bytes]
    name: str
    transfer_syntax_uid: str = "1.2.840.10008.1.2.1"
    batch_size: int = 256
    remote: bool = False
    requests: list[list[int]] = field(default_factory=list)

    @property
    def token(self) -> str:
        return repr(self.frames)

    def read(self, frames):
        self.requests.append(list(frames))
        return [self.frames[frame] for frame in frames]


@pytest.fixture
def parts():
    return (
        Part(WHOLE[:3], "part-1.dcm"),
        Part(WHOLE[3:4], "part-2.dcm"),
        Part(WHOLE[4:], "part-3.dcm"),
    )


@pytest.fixture
def joined(parts):
    return ConcatenatedFrames(parts, (0, 3, 4, 9))


class TestRead:
    @given(wanted=st.lists(st.integers(0, len(WHOLE) - 1)))
    def test_frames_come_in_the_order_asked_for(self, wanted):
        frames = ConcatenatedFrames((Part(WHOLE[:3], "1"), Part(WHOLE[3:], "2")), (0, 3, 9))
        assert frames.read(wanted) == [WHOLE[frame] for frame in wanted]

    def test_each_part_is_asked_once_for_its_own(self, joined, parts):
        assert joined.read([8, 0, 4, 2]) == [WHOLE[frame] for frame in (8, 0, 4, 2)]
        assert [part.requests for part in parts] == [[[0, 2]], [], [[4, 0]]]

    @pytest.mark.parametrize("frame", [-1, 9])
    def test_frame_that_is_not_there_is_an_error(self, joined, frame):
        with pytest.raises(FrameError, match=rf"part-1\.dcm.*\[{frame + 1}\]"):
            joined.read([0, frame])


class TestSource:
    def test_joined_source_has_the_interface_of_sources(self, joined):
        assert isinstance(joined, FrameSource)
        assert joined.transfer_syntax_uid == "1.2.840.10008.1.2.1"

    def test_token_is_that_of_all_parts_in_their_order(self, joined, parts):
        same = ConcatenatedFrames(parts, joined.starts)
        assert joined.token == same.token
        others = [parts[::-1], parts[:2], (*parts[:2], Part(WHOLE[:5], "part-3.dcm"))]
        tokens = {ConcatenatedFrames(other, joined.starts).token for other in others}
        assert len(tokens | {joined.token}) == 4

    def test_pickled_source_reads_the_same_frames(self, make_slide, open_all_counted):
        whole, split = make_slide(), make_slide(concatenation=3)
        client, datasets = open_all_counted(split.paths)
        array = Slide(client, datasets).get_image(0).get_total_pixel_matrix().array
        frames = pickle.loads(pickle.dumps(array.source))
        _, expected = open_image_file(whole.paths[0])
        assert frames.read(range(20)) == expected.read(range(20))

    @pytest.mark.parametrize("keyword", ["TotalPixelMatrixFocalPlanes", "TotalPixelMatrixRows"])
    def test_part_with_a_damaged_value_is_named(self, make_slide, open_all_counted, keyword):
        """pydicom converts a value when it is asked for: two bytes are no UL."""
        client, datasets = open_all_counted(make_slide(concatenation=3).paths)
        tag = Tag(keyword)
        datasets[1][tag] = RawDataElement(tag, "UL", 2, b"\1\0", 0, False, True)
        with pytest.raises(InvalidImageError, match=f"image {datasets[1].SOPInstanceUID}: damaged"):
            Slide(client, datasets)
