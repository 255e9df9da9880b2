"""What users of multiplexed immunofluorescence do: find a marker, show, measure, export."""

import numpy as np
import pydicom
import pytest
import xarray as xr
import zarr
from PIL import Image
from pydicom.sr.coding import Code

from dicomslide import open_slide, to_ome_zarr
from dicomslide.cli import main
from dicomslide.errors import NoSlideError
from dicomslide.testing import OpticalPath, write_slide
from dicomslide.thumbnail import make_thumbnail
from tests.conftest import SMALL
from tests.multiplex import (
    CHANNEL,
    COMPONENT,
    FLUOROPHORE,
    SUBSTANCE,
    change_files,
    code_item,
    presentation_state,
    specimen,
)
from tests.servers.archive import Archive
from tests.servers.dicomweb import DicomwebServer

# Ten cycles of four channels, each with the nuclei again
NAMES = [
    name for cycle in range(10) for name in ("DAPI", *(f"CD{3 * cycle + i}" for i in (1, 2, 3)))
]
DAPI = Code("C0049053", "UMLS", "DAPI")
FITC = Code("90669001", "SCT", "Fluorescein isothiocyanate")
COLORS = [(0, 0, 255), (255, 0, 0), (0, 255, 128)]
WINDOWS = [(983, 60203), (250, 1750), (0, 4000)]


def marker(name):
    return Code(f"M-{name}", "99X", name)


def staining(number, name):
    """One step of a cycle, as converters of public archives write it."""
    step = [(CHANNEL, str(number)), (COMPONENT, marker(name)), (COMPONENT, name)]
    if name == "DAPI":
        return [*step, (SUBSTANCE, DAPI)]
    return [
        *step,
        (FLUOROPHORE, FITC),
        (SUBSTANCE, Code(f"AB_{number}", "RRID", f"FITC anti-{name}")),
    ]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Forty channels in an instance each, with a Presentation State of the first three."""
    written = write_slide(
        tmp_path_factory.mktemp("multiplex"),
        SMALL,
        size=(96, 128),
        tile=(64, 64),
        samples=1,
        bits=16,
        optical_paths=tuple(OpticalPath(str(n)) for n in range(1, 41)),
        optical_paths_in="each",
        segmentations=("LABELMAP",),
    )
    described = specimen(*(staining(n, name) for n, name in enumerate(NAMES, 1)))

    def change(dataset):
        dataset.SpecimenDescriptionSequence = [described]

    images = [written.folder / f"level-0-path-{n}.dcm" for n in range(40)]
    change_files(images, change)
    first = [pydicom.dcmread(path) for path in images[:3]]
    state = presentation_state(first, COLORS, WINDOWS)
    state.save_as(written.folder / "state.dcm")
    return written


@pytest.fixture(scope="module")
def slide(written):
    return open_slide(written.folder)


@pytest.fixture(scope="module")
def level(written):
    return xr.open_datatree(written.folder, engine="dicomslide", chunks={})["level_0"].to_dataset()


def test_each_channel_has_its_marker(level):
    assert level.marker.values.tolist() == NAMES
    assert level.marker_code.values.tolist() == [f"M-{name}" for name in NAMES]
    assert set(level.marker_scheme.values.tolist()) == {"99X"}
    assert level.stain.values.tolist()[:2] == ["DAPI", "FITC anti-CD1"]
    assert level.stain_scheme.values.tolist()[:2] == ["UMLS", "RRID"]
    assert np.isnan(level.wavelength).all()


def test_marker_selects_its_channel(level, written):
    chosen = level.image.sel(marker="CD7")
    np.testing.assert_array_equal(
        chosen.values.squeeze(), written.levels[0].pixels(optical_path=NAMES.index("CD7")).squeeze()
    )
    nuclei = level.image.sel(channel=level.marker == "DAPI")
    assert nuclei.sizes["channel"] == 10


def test_optical_paths_are_found_by_name_code_and_stain(slide):
    nuclei = tuple(range(0, 40, 4))
    assert slide.find_optical_paths(marker="CD7") == (NAMES.index("CD7"),)
    assert slide.find_optical_paths(marker="cd7") == (NAMES.index("CD7"),)
    assert slide.find_optical_paths(marker=marker("CD7")) == (NAMES.index("CD7"),)
    assert slide.find_optical_paths(specimen_stain=DAPI) == nuclei
    assert slide.find_optical_paths(marker="dapi") == nuclei
    assert slide.find_optical_paths(marker="CD31") == ()
    with pytest.raises(TypeError, match="marker"):
        slide.find_optical_paths(marker=7)


def test_presentation_state_tells_colours_and_windows(level):
    assert level.color.values.tolist()[:3] == ["0000FF", "FF0000", "00FF80"]
    # Fluorescein is green
    assert level.color.values.tolist()[3] == "00FF08"
    np.testing.assert_array_equal(level.window_start[:3], [w[0] for w in WINDOWS])
    np.testing.assert_array_equal(level.window_end[:3], [w[1] for w in WINDOWS])
    assert np.isnan(level.window_start[3:]).all()


def test_presentation_state_in_the_study_of_a_service(written):
    names = "level-0-path-0", "level-0-path-1."
    some = [path for path in written.paths if path.name.startswith(names)]
    with DicomwebServer(Archive([*some, written.folder / "state.dcm"])) as server:
        slide = open_slide(f"dicomweb+{server.url}")
        assert [channel.window for channel in slide.channels[:2]] == WINDOWS[:2]
        assert slide.channels[1].color == "FF0000"
        asked = [request.path for request in server.requests]
    # As the search of the study tells the series, its state is one more request
    assert sum("/metadata" in path for path in asked) == 2


def test_info_has_a_line_for_each_channel(written, capsys):
    assert main(["info", str(written.folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 80
    assert max(map(len, lines)) <= 80
    (line,) = [line for line in lines if "CD7" in line]
    assert line.split() == ["9", "10", "CD7", "FITC", "anti-CD7", "00FF08", "16"]


def test_export_has_names_colours_and_windows(slide, tmp_path):
    to_ome_zarr(slide, tmp_path / "slide.zarr")
    channels = zarr.open_group(tmp_path / "slide.zarr").attrs["ome"]["omero"]["channels"]
    labels = [channel["label"] for channel in channels]
    assert labels[:6] == ["DAPI (1)", "CD1", "CD2", "CD3", "DAPI (2)", "CD4"]
    assert len(set(labels)) == 40
    assert [channel["color"] for channel in channels][:3] == ["0000FF", "FF0000", "00FF80"]
    shown = [(c["window"]["start"], c["window"]["end"]) for c in channels[:3]]
    assert shown == WINDOWS
    assert [channel["active"] for channel in channels] == [True] * 8 + [False] * 32


def composite(written, channels):
    """Add channels in their colours within their windows, as NumPy does."""
    mixed = np.zeros((*written.levels[0].size, 3))
    for channel in channels:
        start, end = WINDOWS[channel]
        pixels = written.levels[0].pixels(optical_path=channel)[..., 0].astype(float)
        grey = np.around(((pixels - start) / (end - start)).clip(0, 1) * 255)
        mixed += grey[..., np.newaxis] * (np.array(COLORS[channel]) / 255)
    return np.around(mixed.clip(0, 255))


def test_thumbnail_is_a_composite(slide, written):
    picture = make_thumbnail(slide, 128, [0, 1, 2])
    np.testing.assert_array_equal(np.asarray(picture), composite(written, [0, 1, 2]))
    # The first eight
    assert np.asarray(make_thumbnail(slide, 128)).shape == (96, 128, 3)


def test_one_channel_is_grey_or_in_its_colour(slide, written):
    grey = np.asarray(make_thumbnail(slide, 128, 1))
    red = np.asarray(make_thumbnail(slide, 128, 1, composite=True))
    np.testing.assert_array_equal(red, composite(written, [1]))
    np.testing.assert_array_equal(grey, red[..., 0])
    assert not red[..., 1:].any()


def test_command_takes_channels_by_name(written, tmp_path, capsys):
    out = tmp_path / "thumbnail.png"
    arguments = ["thumbnail", str(written.folder), str(out), "--size", "128"]
    assert main([*arguments, "--channel", "0", "--channel", "CD1"]) == 0
    with Image.open(out) as picture:
        np.testing.assert_array_equal(np.asarray(picture), composite(written, [0, 1]))
    assert main([*arguments, "--channel", "CD1", "--composite"]) == 0
    with Image.open(out) as picture:
        np.testing.assert_array_equal(np.asarray(picture), composite(written, [1]))
    assert main([*arguments, "--channel", "CD99"]) == 2
    assert "there is no 'CD99', only 0 to 42, 1, DAPI, 2, CD1" in capsys.readouterr().err
    assert main([*arguments, "--channel", "99"]) == 2


def test_mean_intensity_of_each_segment(level, written):
    labels = level.label_map.squeeze().compute()
    means = level.image.sel(marker="CD7").squeeze().groupby(labels).mean()
    values = written.levels[0].pixels(optical_path=NAMES.index("CD7")).squeeze()
    for number in np.unique(labels):
        expected = values[labels == number].mean()
        np.testing.assert_allclose(means.sel(label_map=number), expected)


def test_ratio_of_unsigned_integers(level, written):
    first, second = (level.image.sel(marker=name).squeeze().astype(int) for name in ("CD1", "CD2"))
    own = [written.levels[0].pixels(optical_path=index).squeeze().astype(int) for index in (1, 2)]
    np.testing.assert_array_equal((first - second).values, own[0] - own[1])


@pytest.fixture(scope="module")
def one_instance(tmp_path_factory):
    """Twelve paths in one instance, whose specimen lists the stains of all."""
    written = write_slide(
        tmp_path_factory.mktemp("paths"),
        SMALL,
        samples=1,
        optical_paths=tuple(OpticalPath(str(n), name) for n, name in enumerate(NAMES[:12])),
    )

    def change(dataset):
        steps = [[(COMPONENT, marker(name))] for name in NAMES[:12] if name != "DAPI"]
        dataset.SpecimenDescriptionSequence = [specimen([(SUBSTANCE, DAPI)], *steps)]
        for item, start in zip(dataset.OpticalPathSequence, range(300, 420, 10), strict=True):
            item.LightPathFilterPassBand = [start, start + 30]
            item.ImagePathFilterPassBand = [start + 100, start + 120]

    change_files(written.paths, change)
    return open_slide(written.folder)


def test_descriptions_tell_whose_stains_are_whose(one_instance):
    assert [code.meaning for c in one_instance.channels for code in c.markers] == NAMES[:12]
    assert one_instance.find_optical_paths(specimen_stain=DAPI) == (0, 4, 8)


def test_middle_of_a_pass_band_is_the_wavelength(one_instance):
    assert [c.wavelength for c in one_instance.channels] == [315 + 10 * n for n in range(12)]
    assert [c.emission for c in one_instance.channels] == [410 + 10 * n for n in range(12)]
    assert one_instance.find_optical_paths(illumination_wavelength=325) == (1,)


def test_list_that_channels_share_says_nothing_of_any(tmp_path):
    """Two instances of one path each repeat the stains of the whole slide."""
    paths = OpticalPath("1"), OpticalPath("2")
    written = write_slide(tmp_path, SMALL, samples=1, optical_paths=paths, optical_paths_in="each")

    def change(dataset):
        dataset.SpecimenDescriptionSequence = [specimen([(SUBSTANCE, DAPI), (SUBSTANCE, FITC)])]

    change_files(written.paths, change)
    slide = open_slide(written.folder)
    assert [channel.stains for channel in slide.channels] == [(), ()]
    assert slide.to_datatree().attrs["stains"] == ["DAPI", FITC.meaning]
    # Either may show it
    assert slide.find_optical_paths(specimen_stain=FITC) == (0, 1)


def test_list_of_components_that_channels_share_says_nothing_of_any(tmp_path):
    written = write_slide(tmp_path, SMALL, samples=1, optical_paths=3, optical_paths_in="each")

    def change(dataset):
        steps = [[(COMPONENT, marker(name))] for name in ("CD1", "CD2", "CD3")]
        # Writers list them in any order
        turn = int(dataset.OpticalPathSequence[0].OpticalPathIdentifier) % 3
        dataset.SpecimenDescriptionSequence = [specimen(*steps[turn:], *steps[:turn])]
        for item in dataset.OpticalPathSequence:
            del item.ChannelDescriptionCodeSequence

    change_files(written.paths, change)
    assert [channel.markers for channel in open_slide(tmp_path).channels] == [(), (), ()]


def test_marker_that_a_channel_itself_states_is_not_that_of_the_list(tmp_path):
    written = write_slide(tmp_path, SMALL, samples=1, optical_paths=2, optical_paths_in="each")

    def change(dataset):
        dataset.SpecimenDescriptionSequence = [specimen([(SUBSTANCE, DAPI), (SUBSTANCE, FITC)])]
        for item in dataset.OpticalPathSequence:
            name = f"Ki-{item.OpticalPathIdentifier}"
            item.ChannelDescriptionCodeSequence = [code_item(marker(name))]

    change_files(written.paths, change)
    channels = open_slide(tmp_path).channels
    assert [[code.meaning for code in c.markers] for c in channels] == [["Ki-1"], ["Ki-2"]]
    assert [channel.stains for channel in channels] == [(), ()]


def test_stains_that_others_show_are_not_those_of_the_last_channel(tmp_path):
    paths = tuple(OpticalPath(str(n), name) for n, name in enumerate(("DAPI", "FITC", "Auto")))
    written = write_slide(tmp_path, SMALL, samples=1, optical_paths=paths, optical_paths_in="each")

    def change(dataset):
        fitc = Code("90669001", "SCT", "FITC")
        dataset.SpecimenDescriptionSequence = [specimen([(SUBSTANCE, DAPI), (SUBSTANCE, fitc)])]

    change_files(written.paths, change)
    stains = [[code.meaning for code in c.stains] for c in open_slide(tmp_path).channels]
    assert stains == [["DAPI"], ["FITC"], []]


@pytest.mark.parametrize(
    ("meaning", "is_marker"),
    [
        ("Kappa light chain", True),
        ("Green fluorescent protein", True),
        ("Evans blue", True),
        ("colorectal antigen", True),
        ("Full Spectrum", False),
        ("Red", False),
        ("Near infrared light", False),
        ("Blue spectrum", False),
    ],
)
def test_channel_description_names_a_substance_or_light(tmp_path, meaning, is_marker):
    written = write_slide(tmp_path, SMALL, samples=1)

    def change(dataset):
        del dataset.SpecimenDescriptionSequence
        item = dataset.OpticalPathSequence[0]
        item.ChannelDescriptionCodeSequence = [code_item(Code("1", "99X", meaning))]

    change_files(written.paths, change)
    (channel,) = open_slide(tmp_path).channels
    assert [code.meaning for code in channel.markers] == [meaning] * is_marker


def test_monochrome1_beside_monochrome2_is_a_variable_of_its_own(tmp_path):
    written = write_slide(tmp_path, SMALL, samples=1, optical_paths=2, optical_paths_in="each")

    def change(dataset):
        dataset.PhotometricInterpretation = "MONOCHROME1"

    change_files(written.paths[1:2], change)
    level = open_slide(tmp_path).to_datatree()["level_0"]
    shown = {name: level[name].encoding["photometric_interpretation"] for name in level.data_vars}
    assert shown == {"image": "MONOCHROME2", "image_2": "MONOCHROME1"}


@pytest.mark.parametrize("color", ["red", "00F"])
def test_color_that_is_none_is_not_exported(slide, tmp_path, color):
    tree = slide.to_datatree()
    level = tree["level_0"].to_dataset().assign_coords(color=("channel", [color] * 40))
    tree["level_0"] = xr.DataTree(level)
    with pytest.raises(ValueError, match=f"color has '{color}', expected six"):
        to_ome_zarr(tree, tmp_path / "slide.zarr")


def test_state_of_another_slide_is_left_alone(written, tmp_path):
    other = write_slide(tmp_path, SMALL, samples=1, optical_paths=2)
    (tmp_path / "state.dcm").write_bytes((written.folder / "state.dcm").read_bytes())
    slide = open_slide(other.folder)
    assert all(channel.window is None for channel in slide.channels)


def test_damaged_state_does_not_keep_a_slide_from_opening(written, tmp_path):
    other = write_slide(tmp_path, SMALL, samples=1)
    state = (written.folder / "state.dcm").read_bytes()
    (tmp_path / "state.dcm").write_bytes(state[: len(state) // 2])
    with pytest.warns(UserWarning, match=r"state\.dcm: .*damaged or truncated; it is left out"):
        slide = open_slide(other.folder)
    assert slide.num_channels == 1


def test_folder_of_states_alone_has_no_slide(written, tmp_path):
    (tmp_path / "state.dcm").write_bytes((written.folder / "state.dcm").read_bytes())
    with pytest.raises(NoSlideError, match="1 x Advanced Blending Presentation State"):
        open_slide(tmp_path)
