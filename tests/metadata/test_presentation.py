"""Windows, palettes and Presentation States."""

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from dicomslide.metadata.presentation import (
    Presentation,
    agreed,
    palette_color,
    read_presentations,
    read_window,
    window_of,
)


def window(center, width):
    item = Dataset()
    item.WindowCenter, item.WindowWidth = center, width
    return item


def test_damaged_window_is_none():
    item = Dataset()
    tag = pydicom.tag.Tag("WindowCenter")
    item[tag] = RawDataElement(tag, "DS", 6, b"12a45 ", 0, False, True)
    item.WindowWidth = "5"
    assert window_of(item) is None


@pytest.mark.parametrize(
    ("center", "width", "expected"),
    [
        ("1000", "1500", (250, 1750)),
        ("30593", "59220", (983, 60203)),
        (["100", "5"], ["50", "1"], (75, 125)),
        ("100", "0", None),
        (None, "50", None),
        ("100", "", None),
        ("1", "1e400", None),
    ],
)
def test_window_is_what_is_shown_as_black_and_white(center, width, expected):
    assert window_of(window(center, width)) == expected


def test_window_may_be_shared_by_all_frames():
    dataset, groups = Dataset(), Dataset()
    assert read_window(dataset) is None
    groups.FrameVOILUTSequence = [window("40", "20")]
    dataset.SharedFunctionalGroupsSequence = [groups]
    assert read_window(dataset) == (30, 50)


def palette(color, bits=8, segments=None):
    item = Dataset()
    for name, part in zip(("Red", "Green", "Blue"), color, strict=True):
        setattr(item, f"{name}PaletteColorLookupTableDescriptor", [256, 0, bits])
        if segments:
            setattr(item, f"Segmented{name}PaletteColorLookupTableData", segments(part))
        else:
            values = np.linspace(0, part, 256).round().astype("u1" if bits == 8 else "<u2")
            setattr(item, f"{name}PaletteColorLookupTableData", values.tobytes())
    return item


def words(part):
    """A discrete entry of 0, and a line to the last of 255 more, in words of 16 bits."""
    return np.array([0, 1, 0, 1, 255, part], "<u2").tobytes()


def octets(part):
    """The same in words of 8 bits."""
    return bytes([0, 1, 0, 1, 255, part])


@pytest.mark.parametrize("segments", [None, words, octets])
def test_colour_of_a_palette_is_its_brightest(segments):
    assert palette_color(palette((0, 255, 128), segments=segments)) == "00FF80"


def test_colour_of_a_palette_of_16_bits_is_its_brightest():
    assert palette_color(palette((65535, 0, 32768), bits=16)) == "FF0080"


def test_damaged_palette_has_no_colour():
    item = palette((0, 255, 0))
    item.RedPaletteColorLookupTableData = b"\0"
    assert palette_color(item) == ""
    assert palette_color(Dataset()) == ""


def state(number, series="1.2", images=(), **attributes):
    item = Dataset()
    item.SOPInstanceUID, item.InstanceNumber = f"1.2.{number}", number
    blended = Dataset()
    blended.SeriesInstanceUID = series
    blended.ReferencedImageSequence = []
    for uid, path in images:
        reference = Dataset()
        reference.ReferencedSOPInstanceUID = uid
        if path:
            reference.ReferencedOpticalPathIdentifier = path
        blended.ReferencedImageSequence.append(reference)
    blended.update(attributes)
    item.AdvancedBlendingSequence = [blended]
    return item


def test_states_come_in_the_order_of_their_numbers():
    states = [state(3), state(1), state(2)]
    assert [read for read, _ in read_presentations(states)] == [states[1], states[2], states[0]]


def test_damaged_state_is_left_out_with_a_warning():
    damaged, whole = state(1), state(2)
    damaged["InstanceNumber"]._value = "one"
    with pytest.warns(UserWarning, match=r"Presentation State 1\.2\.1.*left out"):
        read = read_presentations([damaged, whole])
    assert [dataset for dataset, _ in read] == [whole]


def test_state_shows_the_paths_that_it_names():
    ((_, (shown,)),) = read_presentations([state(1, images=[("1.7", ""), ("1.8", "b")])])
    assert shown.shows("1.7", "1.2", "a")
    assert shown.shows("1.8", "1.2", "b")
    assert not shown.shows("1.8", "1.2", "a")
    assert not shown.shows("1.9", "1.2", "b")


def test_state_names_several_paths_of_an_image():
    ((_, (shown,)),) = read_presentations([state(1, images=[("1.7", "a"), ("1.7", "c")])])
    assert [path for path in "abc" if shown.shows("1.7", "1.2", path)] == ["a", "c"]


def test_parts_of_a_state_that_contradict_each_other_say_nothing():
    shown = [Presentation("1.2", {}, "FF0000"), Presentation("1.2", {}, "00FF00")]
    assert agreed(shown) == ("", None)
    assert agreed([*shown[:1], Presentation("1.2", {}, window=(1, 2))]) == ("FF0000", (1, 2))


def test_state_without_images_shows_its_series():
    ((_, (shown,)),) = read_presentations([state(1)])
    assert shown.shows("1.7", "1.2", "a")
    assert not shown.shows("1.7", "1.3", "a")


def test_softcopy_state_has_windows_of_single_images():
    item = Dataset()
    item.SOPInstanceUID, item.InstanceNumber = "1.2.3", 1
    series, reference = Dataset(), Dataset()
    series.SeriesInstanceUID = "1.2"
    reference.ReferencedSOPInstanceUID = "1.7"
    series.ReferencedImageSequence = [reference]
    item.ReferencedSeriesSequence = [series]
    item.SoftcopyVOILUTSequence = [hd.pr.SoftcopyVOILUTTransformation(50.0, 20.0)]
    ((_, parts),) = read_presentations([item])
    assert [part.window for part in parts] == [None, (40.0, 60.0)]
    assert all(part.shows("1.7", "1.2", "") for part in parts)
