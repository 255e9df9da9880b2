"""Names, colours and windows of channels."""

import colorsys

import numpy as np
import pydicom
import pytest
import zarr

from dicomslide import open_slide, to_ome_zarr
from dicomslide.metadata.colors import named_color, named_emission
from dicomslide.testing import OpticalPath


def channels_of(image_of, group, path=""):
    return image_of(group, path)["omero"]["channels"]


def hue(color):
    """Hue of six hexadecimal digits in degrees."""
    return colorsys.rgb_to_hsv(*(part / 255 for part in bytes.fromhex(color)))[0] * 360


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_channels_of_colour_are_red_green_and_blue(make_slide, export, image_of, version):
    channels = channels_of(image_of, export(make_slide(), version=version))
    named = [(channel["label"], channel["color"]) for channel in channels]
    assert named == [("R", "FF0000"), ("G", "00FF00"), ("B", "0000FF")]
    for channel in channels:
        assert channel["window"] == {"min": 0, "max": 255, "start": 0, "end": 255}


def test_samples_of_several_optical_paths_have_their_names(make_slide, export, image_of):
    paths = (OpticalPath("1", "H&E"), OpticalPath("2", "DAB"))
    channels = channels_of(image_of, export(make_slide(optical_paths=paths)))
    expected = [f"{name} {sample}" for name in ("H&E", "DAB") for sample in "RGB"]
    assert [channel["label"] for channel in channels] == expected


def test_names_are_descriptions_where_these_tell_channels_apart(make_slide, export, image_of):
    for paths, expected in (
        ((OpticalPath("1", "Nuclei"), OpticalPath("2", "Fibres")), ["Nuclei", "Fibres"]),
        ((OpticalPath("1", "Same"), OpticalPath("2", "Same")), ["Same (1)", "Same (2)"]),
        (
            (OpticalPath("1", "DAPI"), OpticalPath("2", "CD3"), OpticalPath("3", "DAPI")),
            ["DAPI (1)", "CD3", "DAPI (2)"],
        ),
        ((OpticalPath("a", "Same"), OpticalPath("b", "Same")), ["a", "b"]),
        ((OpticalPath("1"), OpticalPath("2", "One")), ["1", "One"]),
        ((OpticalPath("dapi"), OpticalPath("fitc")), ["dapi", "fitc"]),
    ):
        channels = channels_of(image_of, export(make_slide(optical_paths=paths, samples=1)))
        assert [channel["label"] for channel in channels] == expected


@pytest.mark.parametrize(
    ("excitation", "low", "high"),
    [(405.0, 220, 280), (488.0, 70, 130), (561.0, 0, 50), (640.0, 0, 5)],
)
def test_fluorescence_has_the_colour_that_it_is_emitted_in(
    make_slide, export, image_of, excitation, low, high
):
    paths = (OpticalPath("1", None, excitation), OpticalPath("2", None, 700.0))
    channel, other = channels_of(image_of, export(make_slide(optical_paths=paths, samples=1)))
    assert low <= hue(channel["color"]) <= high
    assert other["color"] == "FF0000"


def test_filter_of_the_image_path_tells_the_emission(make_slide, image_of, tmp_path):
    dataset = pydicom.dcmread(make_slide(samples=1).paths[0])
    dataset.OpticalPathSequence[0].ImagePathFilterPassThroughWavelength = 460
    dataset.save_as(tmp_path / "slide.dcm")
    to_ome_zarr(open_slide(tmp_path / "slide.dcm"), tmp_path / "slide.zarr")
    (channel,) = channels_of(image_of, zarr.open_group(str(tmp_path / "slide.zarr")))
    assert channel["color"] == "0000FF"


@pytest.mark.parametrize(
    ("description", "color"),
    [
        ("Green", "00FF00"),
        ("red", "FF0000"),
        ("BLUE filter", "0000FF"),
        ("cyan", "00FFFF"),
        ("Magenta", "FF00FF"),
        ("yellow", "FFFF00"),
        ("white", "FFFFFF"),
        ("grey", "FFFFFF"),
        ("far-red", "FF0000"),
    ],
)
def test_unknown_light_has_the_color_that_the_description_names(
    make_slide, export, image_of, description, color
):
    paths = (OpticalPath("1", description), OpticalPath("2", "other"))
    channel, _ = channels_of(image_of, export(make_slide(optical_paths=paths, samples=1)))
    assert channel["color"] == color


@pytest.mark.parametrize(
    ("description", "wavelength"),
    [
        ("DAPI", 461),
        ("Hoechst 33342", 461),
        ("FITC", 519),
        ("anti-GFP", 509),
        ("EGFP", 509),
        ("TRITC", 576),
        ("Cy2", 506),
        ("cy3", 570),
        ("Cy3.5", 596),
        ("Cy5 CD3", 670),
        ("CD8, Cy5.5", 694),
        ("Cy 7", 773),
        ("Texas Red", 615),
        ("mCherry", 610),
        ("RFP", 584),
        ("YFP", 527),
        ("CFP", 477),
        ("Alexa Fluor 350", 442),
        ("AlexaFluor 488", 519),
        ("alexa-594 phalloidin", 617),
        ("AF647", 668),
        ("Alexa Fluor 790", 814),
    ],
)
def test_fluorophores_are_known_by_what_they_emit(description, wavelength):
    assert named_emission(description) == wavelength


@pytest.mark.parametrize(
    "description", ["", "Greenland", "infrared", "bored", "DAPIX", "Cy31", "Cy4.5", "Alexa 4880"]
)
def test_words_in_other_words_name_nothing(description):
    assert named_emission(description) is None
    assert named_color(description) is None


def test_fluorophore_has_the_color_of_the_light_that_it_emits(make_slide, export, image_of):
    paths = (OpticalPath("1", "Cy5 CD3"), OpticalPath("FITC"), OpticalPath("3", "Texas Red"))
    group = export(make_slide(optical_paths=paths, samples=1))
    cy5, fitc, texas_red = channels_of(image_of, group)
    # Fluorescein is green, and more than 640 nm are red
    assert cy5["color"] == "FF0000"
    assert 115 <= hue(fitc["color"]) <= 125
    assert 10 <= hue(texas_red["color"]) <= 40


def test_wavelength_counts_more_than_the_name(make_slide, export, image_of):
    paths = (OpticalPath("1", "Green", 700.0), OpticalPath("2", "DAPI", 700.0))
    group = export(make_slide(optical_paths=paths, samples=1))
    assert [channel["color"] for channel in channels_of(image_of, group)] == ["FF0000"] * 2


def test_wavelength_of_0_is_unknown(make_slide, image_of, tmp_path):
    dataset = pydicom.dcmread(
        make_slide(optical_paths=(OpticalPath("1", "Green", 500.0),), samples=1).paths[0]
    )
    (item,) = dataset.OpticalPathSequence
    item.IlluminationWaveLength = item.ImagePathFilterPassThroughWavelength = 0
    dataset.save_as(tmp_path / "slide.dcm")
    slide = open_slide(tmp_path / "slide.dcm")
    level = slide.to_datatree()["level_0"]
    assert np.isnan(level["wavelength"].values).all()
    assert np.isnan(level["emission"].values).all()
    to_ome_zarr(slide, tmp_path / "slide.zarr")
    (channel,) = channels_of(image_of, zarr.open_group(str(tmp_path / "slide.zarr")))
    assert channel["color"] == "00FF00"


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_monochrome1_is_inverted_and_stored_as_it_is(make_slide, export, image_of, version):
    written = make_slide(samples=1, photometric="MONOCHROME1")
    group = export(written, version=version)
    (channel,) = channels_of(image_of, group)
    assert channel["inverted"] is True
    assert channel["window"]["start"] < channel["window"]["end"]
    np.testing.assert_array_equal(group["0"][0, 0], written.levels[0].pixels()[..., 0])


@pytest.mark.parametrize("options", [{}, {"samples": 1}])
def test_other_channels_are_not_inverted(make_slide, export, image_of, options):
    channels = channels_of(image_of, export(make_slide(**options)))
    assert not any(channel["inverted"] for channel in channels)


def test_what_was_computed_from_monochrome1_is_not_inverted(make_slide, image_of, tmp_path):
    tree = open_slide(make_slide(samples=1, photometric="MONOCHROME1").folder).to_datatree()
    level = tree["level_0"].to_dataset()
    tree["level_0"] = level.assign(image=255 - level["image"])
    to_ome_zarr(tree, tmp_path / "slide.zarr")
    (channel,) = channels_of(image_of, zarr.open_group(str(tmp_path / "slide.zarr")))
    assert channel["inverted"] is False


def test_single_channel_of_unknown_light_is_white(make_slide, export, image_of):
    paths = (OpticalPath("1"),)
    (channel,) = channels_of(image_of, export(make_slide(optical_paths=paths, samples=1)))
    assert channel["color"] == "FFFFFF"


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_window_spans_the_bits_stored_and_shows_the_values_that_occur(
    make_slide, export, image_of, bits
):
    written = make_slide(samples=1, bits=bits, factors=(1, 2), optical_paths=2)
    channels = channels_of(image_of, export(written))
    for path, channel in enumerate(channels):
        smallest = written.levels[1].pixels(path)
        window = channel["window"]
        assert (window["min"], window["max"]) == (0, 2**bits - 1)
        assert smallest.min() <= window["start"] < window["end"] <= smallest.max()
        shown = (smallest >= window["start"]) & (smallest <= window["end"])
        assert shown.mean() > 0.99


def test_window_of_signed_pixels_begins_below_zero(make_slide, export, image_of):
    (channel,) = channels_of(image_of, export(make_slide(samples=1, bits=12, signed=True)))
    assert (channel["window"]["min"], channel["window"]["max"]) == (-2048, 2047)


def test_parameters_have_their_labels_and_real_world_values(make_slide, export, image_of):
    written = make_slide(parametric_maps=("float", "integer"), factors=(1, 2))
    group = export(written)
    labels = [c["label"] for c in channels_of(image_of, group, "parametric_map")]
    assert labels == ["HAEMATOXYLIN", "EOSIN"]
    (one, other) = written.parametric_maps
    for path, index, expected in (
        ("parametric_map", 0, one.values(0, 0)),
        ("parametric_map", 1, one.values(0, 1)),
        ("parametric_map_2", 0, other.values(0, 0)),
        ("parametric_map_3", 0, other.values(0, 1)),
    ):
        stored = group[f"{path}/0"]
        assert stored.dtype.kind == "f"
        np.testing.assert_allclose(stored[index, 0], expected, rtol=1e-6, atol=1e-6)
        window = channels_of(image_of, group, path)[index]["window"]
        values = group[f"{path}/1"][index]
        assert (window["min"], window["max"]) == pytest.approx((values.min(), values.max()))


def test_image_has_the_name_of_the_container(make_slide, export, image_of):
    (multiscale,) = image_of(export(make_slide(container_identifier="S-1")))["multiscales"]
    assert multiscale["name"] == "S-1"


def test_optical_paths_of_another_kind_are_an_image_of_their_own(make_slide, image_of, tmp_path):
    shared = {
        "container_identifier": "S-1",
        "frame_of_reference_uid": "1.2.3",
        "study_instance_uid": "1.2.4",
    }
    color = make_slide(samples=3, optical_paths=(OpticalPath("1"),), **shared)
    gray = make_slide(samples=1, bits=16, optical_paths=(OpticalPath("2"),), **shared)
    to_ome_zarr(open_slide([color.paths[0], gray.paths[0]]), tmp_path / "slide.zarr")
    group = zarr.open_group(str(tmp_path / "slide.zarr"))
    images = {"": color, "image_2": gray}
    if group["0"].shape[0] == 1:
        images = {"": gray, "image_2": color}
    for path, written in images.items():
        stored = group[f"{path}/0".lstrip("/")][:, 0]
        np.testing.assert_array_equal(np.moveaxis(stored, 0, -1), written.levels[0].pixels())
        assert len(channels_of(image_of, group, path)) == written.levels[0].options.samples


def test_associated_images_are_colour_images(make_slide, export, image_of):
    written = make_slide(label=True, overview=True)
    group = export(written, associated=True)
    for name, expected in (("label", written.label), ("overview", written.overview)):
        stored = group[f"associated/{name}/0"][:, 0]
        np.testing.assert_array_equal(np.moveaxis(stored, 0, -1), expected)
        labels = [c["label"] for c in channels_of(image_of, group, f"associated/{name}")]
        assert labels == ["R", "G", "B"]


def test_associated_images_are_left_out_unless_asked_for(make_slide, export):
    # Labels show names of patients
    assert "associated" not in export(make_slide(label=True, overview=True))
