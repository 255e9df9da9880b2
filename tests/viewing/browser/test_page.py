"""The page of the viewer in Chromium: what it draws is the slide, where it says."""

import threading

import dask.array as da
import numpy as np
import pytest

import dicomslide
from dicomslide.testing import ORIENTATIONS

pytestmark = pytest.mark.browser

SIZE = (600, 800)
# Pixels of the screen for one of the slide
LARGE = 20
IS_DRAWN = (
    "layerViews.length > 0 && drawnSize && !loading.size && ![...wantedOf.values()].flat().length"
)


def show(browser, url, **state):
    """Open a viewer at a state, and wait until all is drawn."""
    parts = "&".join(f"{name}={value}" for name, value in state.items())
    browser.open(f"{url}#{parts}")
    wait(browser)


def wait(browser):
    browser.wait_for(IS_DRAWN)
    # What is drawn is on the screen after two frames
    browser.evaluate(
        "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    browser.wait_for(IS_DRAWN)


def middle(browser):
    """Middle of the plot on the screen."""
    return browser.evaluate(
        "(() => { const b = frame(), p = element('plot').getBoundingClientRect();"
        " return [p.left + b.left + b.width / 2, p.top + b.top + b.height / 2]; })()"
    )


def patch(browser, step, reach=2):
    """Colours at the middle of the plot, and so many steps to all sides."""
    x, y = map(round, middle(browser))
    places = np.arange(-reach, reach + 1) * step
    return browser.screenshot()[np.ix_(y + places, x + places)].astype(int)


class TestPixels:
    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    def test_lie_where_the_slide_has_them(self, browser, open_view, make_slide, orientation):
        slide = make_slide(size=SIZE, orientation=orientation, factors=(1, 2))
        opened = dicomslide.open_slide(slide.folder)
        x, y = opened.get_slide_offset((307, 411), level=0)
        show(browser, open_view(opened).url, x=x, y=y, scale=0.5 / LARGE)
        half = 2.5 * 0.0005
        upright = opened.get_slide_region((x - half, y - half), 0, (2 * half, 2 * half))
        np.testing.assert_array_equal(patch(browser, LARGE), upright)
        browser.evaluate("document.querySelector('input[value=image]').click()")
        wait(browser)
        stored = slide.levels[0].pixels()[305:310, 409:414]
        np.testing.assert_array_equal(patch(browser, LARGE), stored)

    def test_of_the_whole_slide_have_its_colors(self, browser, open_view, make_slide):
        slide = make_slide(size=SIZE, factors=(1, 2, 4))
        show(browser, open_view(dicomslide.open_slide(slide.folder)).url, axes="image")
        box = browser.evaluate(
            "(() => { const m = screenMatrix(), p = element('plot').getBoundingClientRect();"
            " return [p.left + m.origin[0], p.top + m.origin[1],"
            " m.right[0] * 800, m.down[1] * 600]; })()"
        )
        left, top, width, height = box
        assert width / height == pytest.approx(800 / 600)
        shown = browser.screenshot()[
            round(top) : round(top + height), round(left) : round(left + width)
        ]
        for row, column in ((0.3, 0.3), (0.5, 0.5), (0.6, 0.4)):
            near = np.s_[
                int(row * 600) - 20 : int(row * 600) + 20,
                int(column * 800) - 20 : int(column * 800) + 20,
            ]
            y, x = int(row * height), int(column * width)
            part = shown[y - 20 : y + 20, x - 20 : x + 20]
            expected = slide.levels[0].pixels()[near].mean(axis=(0, 1))
            np.testing.assert_allclose(part.mean(axis=(0, 1)), expected, atol=12)

    def test_are_those_of_channels_and_planes_that_are_chosen(self, browser, open_view, make_slide):
        slide = make_slide(size=SIZE, samples=1, optical_paths=2, focal_planes=3)
        opened = dicomslide.open_slide(slide.folder)
        x, y = opened.get_slide_offset((300, 400), level=0)
        state = {"x": x, "y": y, "scale": 0.5 / LARGE, "plane": 2, "channels": "1:00FF00:0:255"}
        show(browser, open_view(opened).url, axes="image", **state | {"x": 0.2, "y": 0.15})
        stored = slide.levels[0].pixels(1, 2)[298:303, 398:403, 0]
        found = patch(browser, LARGE)
        np.testing.assert_array_equal(found[..., 1], stored)
        assert not found[..., [0, 2]].any()
        browser.evaluate(
            "(() => { const plane = element('plane'); plane.value = 0;"
            " plane.dispatchEvent(new Event('input')); })()"
        )
        browser.wait_for("layerViews.length && state.layers[0].query.includes('plane=0')")
        wait(browser)
        stored = slide.levels[0].pixels(1, 0)[298:303, 398:403, 0]
        np.testing.assert_array_equal(patch(browser, LARGE)[..., 1], stored)


class TestOverlays:
    def test_are_shown_and_hidden(self, browser, open_view, make_slide):
        slide = make_slide(size=SIZE)
        mask = np.zeros(SIZE, bool)
        mask[299:302, 399:402] = True
        viewer = open_view(dicomslide.open_slide(slide.folder), overlays={"tumour": mask})
        show(browser, viewer.url, axes="image", x=0.2, y=0.15, scale=0.5 / LARGE)
        stored = slide.levels[0].pixels()[298:303, 398:403].astype(float)
        np.testing.assert_array_equal(patch(browser, LARGE), stored)
        browser.evaluate("document.querySelector('#overlays input').click()")
        wait(browser)
        color = list(bytes.fromhex(browser.evaluate("state.layers[1].color")))
        inner = np.s_[1:4, 1:4]
        stored[inner] = (stored[inner] + color) / 2
        np.testing.assert_allclose(patch(browser, LARGE), stored, atol=1)
        browser.evaluate("document.querySelector('#overlays input').click()")
        wait(browser)
        np.testing.assert_array_equal(
            patch(browser, LARGE), slide.levels[0].pixels()[298:303, 398:403]
        )

    def test_requests_that_nobody_wants_any_more_are_dropped(self, browser, open_view, make_slide):
        go, begun = threading.Event(), threading.Event()

        def wait_for_go(block):
            begun.set()
            assert go.wait(60)
            return block

        lazy = da.zeros(SIZE, bool, chunks=600).map_blocks(
            wait_for_go, dtype=bool, meta=np.zeros((0, 0), bool)
        )
        viewer = open_view(
            dicomslide.open_slide(make_slide(size=SIZE).folder), overlays={"slow": lazy}
        )
        try:
            show(browser, viewer.url)
            browser.evaluate("document.querySelector('#overlays input').click()")
            browser.wait_for("loading.size > 0")
            assert begun.wait(60)
            browser.evaluate("document.querySelector('#overlays input').click()")
            # The computation has not ended
            browser.wait_for("loading.size === 0")
            assert not go.is_set()
        finally:
            go.set()


class TestAddress:
    def test_restores_what_was_seen(self, browser, open_view, make_slide):
        slide = make_slide(size=SIZE, samples=1, optical_paths=3, segmentations=("BINARY",))
        viewer = open_view(
            {
                "other slide": dicomslide.open_slide(make_slide(size=SIZE).folder),
                "this one": dicomslide.open_slide(slide.folder),
            }
        )
        show(browser, viewer.url)
        browser.evaluate(
            "(() => { const choice = element('slides'); choice.selectedIndex = 1;"
            " choice.dispatchEvent(new Event('change')); })()"
        )
        browser.wait_for("scene.name === 'this one' && layerViews.length === 4")
        wait(browser)
        for box in ("#channels li:nth-child(2) input", "#overlays li:nth-child(3) input"):
            browser.evaluate(f"document.querySelector('{box}').click()")
        browser.evaluate("zoomTo(state.scale / 3)")
        wait(browser)
        browser.wait_for("(writeAddress.last ?? '').includes('overlays=3')")
        address, seen = browser.evaluate("location.href"), browser.screenshot()
        assert "slide=this+one" in address
        browser.open("about:blank#between")
        browser.open(address)
        wait(browser)
        # Without the panel, whose text is not always smoothed alike
        np.testing.assert_allclose(browser.screenshot()[:, :880], seen[:, :880], atol=2)

    @pytest.mark.parametrize(
        "rest", ["x=a&y=b&scale=c", "scale=-1&x=0&y=0", "plane=9&channels=7:x:y&overlays=a:b,9,0"]
    )
    def test_nonsense_in_it_does_no_harm(self, browser, open_view, make_slide, rest):
        slide = make_slide(size=SIZE, samples=1, optical_paths=2)
        browser.open(f"{open_view(dicomslide.open_slide(slide.folder)).url}#{rest}")
        wait(browser)
        assert browser.evaluate("Number.isFinite(state.scale) && state.scale > 0")


class TestPointer:
    def test_position_and_value_are_told(self, browser, open_view, make_slide):
        slide = make_slide(size=SIZE)
        opened = dicomslide.open_slide(slide.folder)
        x, y = opened.get_slide_offset((123, 456), level=0)
        show(browser, open_view(opened).url, x=x, y=y, scale=0.5 / LARGE)
        browser.move(*middle(browser))
        red, green, blue = slide.levels[0].pixels()[123, 456].tolist()
        value = f"Brightfield {red} {green} {blue}"
        browser.wait_for(f"element('pointer').textContent.includes('{value}')")
        text = browser.evaluate("element('pointer').textContent")
        assert "row 123   column 456" in text
        assert f"X {x:.4f} mm" in text

    def test_drags_and_zooms_keep_shapes(self, browser, open_view, make_slide):
        opened = dicomslide.open_slide(make_slide(size=SIZE).folder)
        show(browser, open_view(opened).url, x=12.5, y=27, scale=0.5)
        x, y = middle(browser)
        browser.drag((x, y), (x + 60, y + 40))
        browser.wait_for("Math.abs(state.x - (12.5 - 60 * 0.0005)) < 1e-6")
        assert browser.evaluate("state.y") == pytest.approx(27 + 40 * 0.0005)
        browser.scroll(x, y, -240)
        browser.wait_for("state.scale < 0.45")
        wait(browser)
        steps = browser.evaluate(
            "[Math.hypot(...screenMatrix().right), Math.hypot(...screenMatrix().down)]"
        )
        assert steps[0] == pytest.approx(steps[1])
        browser.resize(900, 700)
        wait(browser)
        steps = browser.evaluate(
            "[Math.hypot(...screenMatrix().right), Math.hypot(...screenMatrix().down)]"
        )
        assert steps[0] == pytest.approx(steps[1])


class TestKeys:
    @pytest.mark.parametrize("axes", ["slide", "image"])
    def test_move_and_zoom(self, browser, open_view, make_slide, axes):
        opened = dicomslide.open_slide(make_slide(size=SIZE).folder)
        show(browser, open_view(opened).url, axes=axes)

        def press(key):
            browser.evaluate(
                f"element('plot').dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}'}}))"
            )
            wait(browser)
            return browser.evaluate("[state.x, state.y, state.scale]")

        x, y, scale = press("0")
        assert press("+")[2] == pytest.approx(scale / 2)
        assert press("-")[2] == pytest.approx(scale)
        assert press("ArrowRight")[0] > x
        assert press("ArrowLeft")[0] == pytest.approx(x)
        # The screen shows what is above
        assert (press("ArrowUp")[1] > y) == (axes == "slide")
        assert press("ArrowDown")[1] == pytest.approx(y)


class TestPage:
    def test_a_wrong_token_shows_nothing(self, browser, open_view, make_slide):
        viewer = open_view(dicomslide.open_slide(make_slide(size=SIZE).folder))
        browser.open(viewer.url[:-4] + "xxx/")
        assert browser.evaluate("document.body.textContent").strip() == "403 Forbidden"
        browser.errors.clear()

    def test_fits_a_phone(self, browser, open_view, make_slide):
        browser.resize(390, 844, is_mobile=True)
        show(browser, open_view(dicomslide.open_slide(make_slide(size=SIZE).folder)).url)
        assert browser.evaluate("document.documentElement.scrollWidth") <= 390
        assert browser.evaluate("frame().width") > 250

    def test_is_shown_in_notebooks(self, browser, open_view, make_slide, tmp_path):
        viewer = open_view(dicomslide.open_slide(make_slide(size=SIZE).folder))
        (tmp_path / "notebook.html").write_text(viewer._repr_html_())
        browser.open(f"file://{tmp_path}/notebook.html")
        # Most of a slide is not as white as the page
        browser.wait_until(lambda: (browser.screenshot()[200:500, 300:600] < 250).mean() > 0.2)
