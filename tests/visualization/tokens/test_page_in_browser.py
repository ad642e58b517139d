"""The page in a browser, used as a reader uses it; its numbers are those of the captured arrays.

Needs Debian's chromium and chromium-driver and the package selenium; skipped without them.
"""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from detectron2.data import Metadata
from detectron2.modeling import build_model

from tests.small_configs import small_cfg
from tests.visualization.tokens.synthetic_analyses import analysis, level
from vt_seg.data import ImageReader
from vt_seg.visualization.tokens import Prediction, analyze_tokens, token_page
from vt_seg.visualization.tokens.colors import heat_palette

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.actions.action_builder import ActionBuilder  # noqa: E402
from selenium.webdriver.common.actions.pointer_input import PointerInput  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not both on PATH"
)
TIMES = "\N{MULTIPLICATION SIGN}"
FLAGS = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
FLAGS += " disable-component-update disable-sync window-size=1400,1200"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS.split(), f"user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(20)
    yield driver
    driver.quit()


class Reader:
    """What a reader sees and does on a page."""

    def __init__(self, driver, path, shown):
        self.driver = driver
        self.height, self.width = shown.image_rgb.shape[:2]
        path.write_text(token_page(shown, {"Config": "small.yaml"}), encoding="utf-8")
        driver.get_log("browser")
        driver.get_log("performance")
        driver.get(path.as_uri())
        WebDriverWait(driver, 20).until(lambda _: self.find("#tokens .token"))

    def find(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector):
        (found,) = self.find(selector)
        return found

    def text(self, selector):
        return self.one(selector).text

    def says(self, *parts):
        return all(part in self.text("#readout") for part in parts)

    def point(self, canvas, x, y, click=False):
        """Move the mouse to a pixel of the image in one of the pictures."""
        element = self.one(canvas)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        size = element.size
        # Offsets count from the middle.
        right = round((x / self.width - 0.5) * size["width"])
        down = round((y / self.height - 0.5) * size["height"])
        chain = ActionChains(self.driver, 0).move_to_element_with_offset(element, right, down)
        (chain.click() if click else chain).perform()

    def choose(self, selector, text):
        Select(self.one(selector)).select_by_visible_text(text)

    def shares(self):
        """Return the percentages on the cards, by token, and the tokens that are lit."""
        texts = [share.text for share in self.find(".token .share")]
        lit = [card.get_attribute("data-token") for card in self.find(".token.lit")]
        return [float(text.removesuffix(" %")) for text in texts], lit

    def colors(self, canvas, points):
        """Return (red, green, blue) at pixels of the image, under an opaque overlay."""
        self.driver.execute_script(
            "const range = document.getElementById('opacity'); range.value = 100;"
            "range.dispatchEvent(new Event('input'));"
        )
        found = self.driver.execute_script(
            "const [canvas, points, width] = arguments; const scale = canvas.width / width;"
            "const copy = new OffscreenCanvas(canvas.width, canvas.height);"
            "const context = copy.getContext('2d', {willReadFrequently: true});"
            "context.drawImage(canvas, 0, 0);"
            "return points.map(([x, y]) => [...context.getImageData(Math.floor(x * scale),"
            " Math.floor(y * scale), 1, 1).data].slice(0, 3));",
            self.one(canvas),
            points,
            self.width,
        )
        return np.array(found)

    def check_requests(self):
        """The page must have asked for itself and for the pictures inside it only."""
        messages = (json.loads(entry["message"]) for entry in self.driver.get_log("performance"))
        sent = [m["message"] for m in messages]
        sent = [m["params"] for m in sent if m["method"] == "Network.requestWillBeSent"]
        # Those of the browser's own start page do not count.
        own, *inside = [
            m["request"]["url"] for m in sent if m["documentURL"] == self.driver.current_url
        ]
        assert own.startswith("file://")
        assert all(url.startswith("data:") for url in inside)

    def problems(self):
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture
def opened(chromium, tmp_path):
    """``opened(analysis)`` opens its page; in the end there must be no error and no request."""
    readers = []

    def open_page(shown):
        readers.append(Reader(chromium, tmp_path / "page.html", shown))
        return readers[-1]

    yield open_page
    (reader,) = readers
    assert reader.problems() == []
    reader.check_requests()


def test_pointing_at_pixels(opened):
    # A small VT-FPN on an image whose sides no stride but 4 divides.
    torch.manual_seed(0)
    shown = analyze_tokens(
        build_model(small_cfg()).eval(),
        {"image": torch.randint(256, (3, 76, 100), dtype=torch.uint8)},
        name="noise.png",
        images=ImageReader(),
        metadata=Metadata(stuff_classes=[f"class{i}" for i in range(5)]),
    )
    reader = opened(shown)
    assert reader.text("h1") == "Visual tokens of noise.png"
    assert "small.yaml" in reader.text(".facts")
    pixels = {"#image": (2, 2), "#prediction": (98, 74), "#most": (50, 38)}
    pixels |= {"#looks": (30, 61), "#read": (71, 13)}
    for one in shown.maps[:2]:  # res2, res3
        rows, columns = one.attention.shape[-2:]
        reader.choose("#level", f"{one.level}, {columns}{TIMES}{rows}")
        stride = one.covered[1] // columns
        step = np.ptp(one.reads.mean(0), axis=(1, 2)).max() / 255
        for canvas, (x, y) in pixels.items():
            reader.point(canvas, x, y)
            # The mouse stops at whole pixels of the screen, so the page tells which pixel it is.
            readout = reader.text("#readout")
            seen_x, seen_y = map(int, re.match(r"Pixel (\d+), (\d+); predicted", readout).groups())
            assert max(abs(seen_x - x), abs(seen_y - y)) <= 1
            assert f"predicted as class{shown.prediction.labels[seen_y, seen_x]};" in readout
            row, column = seen_y // stride, seen_x // stride
            assert f"cell {column}, {row} of {one.level} reads" in readout
            expected = one.reads.mean(0)[:, row, column]
            shares, lit = reader.shares()
            np.testing.assert_allclose(shares, 100 * expected, atol=0.05 + 50 * step + 1e-3)
            for name, share in zip(one.names, expected, strict=True):
                if abs(share - 0.25) > step:
                    assert (name in lit) == (share > 0.25)
            # The token that is named first is the best one within a step.
            best = one.names.index(re.search(r" reads (\S+) ", readout)[1])
            assert expected[best] > expected.max() - step

    one = shown.maps[2]
    reader.choose("#level", f"res4, 7{TIMES}5")
    heads = {"1 of 16": one.reads[0], "16 of 16": one.reads[15], "average": one.reads.mean(0)}
    for head, reads in heads.items():
        reader.choose("#head", head)
        reader.point("#image", 40, 24)
        tolerance = 0.051 + 50 * np.ptp(reads, axis=(1, 2)).max() / 255
        np.testing.assert_allclose(reader.shares()[0], 100 * reads[:, 1, 2], atol=tolerance)


def test_picking_tokens(opened):
    # The cells are few and large, so that colours can be read anywhere in them.
    one = level(tokens=3)
    reader = opened(analysis(one))
    rows, columns = one.attention.shape[-2:]
    side = one.covered[0] / rows
    points = [((c + 0.5) * side, (r + 0.5) * side) for r in range(rows) for c in range(columns)]

    def expect_colors(canvas, values, low, high, palette="jet"):
        steps = np.round(255 * (values - low) / (high - low)).astype(int).ravel()
        difference = reader.colors(canvas, points) - heat_palette(palette).astype(int)[steps]
        assert np.abs(difference).max() <= 4  # a step of the palette

    attention, reads = one.attention.mean(0), one.reads.mean(0)
    for token in (1, 2):
        reader.find(".token")[token].click()
        assert reader.text("#looks-title") == f"Where res3/{token + 1} looks"
        assert reader.text("#read-title") == f"res3 pixels that read res3/{token + 1}"
        peak, share = attention[token].max(), reads[token]
        assert reader.text("#looks-high") == f"{peak:.1f}{TIMES} uniform"
        assert reader.text("#read-low") == f"{100 * share.min():.1f} %"
        assert reader.text("#read-high") == f"{100 * share.max():.1f} %"
        expect_colors("#looks", attention[token], 0, peak)
        expect_colors("#read", share, share.min(), share.max())
    # The map of the tokens that are read most has the colours of the cards.
    chips = [c.value_of_css_property("background-color") for c in reader.find(".chip")]
    chips = np.array([[int(n) for n in re.findall(r"\d+", chip)[:3]] for chip in chips])
    np.testing.assert_array_equal(reader.colors("#most", points), chips[reads.argmax(0).ravel()])
    reader.choose("#palette", "cividis")
    expect_colors("#looks", attention[2], 0, attention[2].max(), "cividis")


def test_keyboard(opened):
    one = level()
    reader = opened(analysis(one))
    image = reader.one("#image")
    # The first key starts from the middle (column 4, row 3) and moves on from there.
    for keys, cell in (
        ((Keys.ARROW_RIGHT,), "5, 3"),
        ((Keys.ARROW_UP, Keys.ARROW_UP), "5, 1"),
        ((Keys.SHIFT, Keys.ARROW_LEFT), "0, 1"),
        ((Keys.ARROW_LEFT,), "0, 1"),
    ):
        image.send_keys(*keys)
        assert reader.says(f"cell {cell} of res3")
    np.testing.assert_allclose(reader.shares()[0], 100 * one.reads.mean(0)[:, 1, 0], atol=0.3)
    # Enter holds the pixel against the mouse, Escape releases it.
    image.send_keys(Keys.ENTER)
    reader.point("#looks", 60, 44)
    assert reader.says("(held)", "cell 0, 1 of res3")
    image.send_keys(Keys.ESCAPE)
    reader.point("#looks", 60, 44)
    assert reader.says("cell 7, 5 of res3")
    reader.find(".token input")[0].send_keys(Keys.ARROW_DOWN)
    assert reader.text("#looks-title") == "Where res3/2 looks"


def test_mouse_and_touch(opened):
    reader = opened(analysis())
    # Columns 0-21 are sea, 22-42 sand, the rest sky.
    for column, name in ((0, "sea"), (21, "sea"), (22, "sand"), (42, "sand"), (43, "sky")):
        reader.point("#prediction", column + 0.5, 30.5)
        assert reader.text("#readout").startswith(f"Pixel {column}, 30; predicted as {name};")
    reader.point("#image", 12, 20, click=True)
    reader.point("#image", 50, 20)
    assert reader.says("(held)", "cell 1, 2 of res3")
    reader.point("#image", 50, 20, click=True)  # holds another
    assert reader.says("(held)", "cell 6, 2 of res3")
    reader.point("#image", 50, 20, click=True)  # the same again releases it
    assert not reader.says("(held)")

    def tap(element, right=0, down=0):
        actions = ActionBuilder(reader.driver, mouse=PointerInput("touch", "finger"))
        actions.pointer_action.move_to(element, right, down).pointer_down().pointer_up()
        actions.perform()

    tap(reader.one("#image"), 10, 10)  # from the middle, the corner of four cells
    assert reader.says("(held)", "cell 4, 3 of res3")
    tap(reader.find(".token")[2])
    assert reader.text("#looks-title") == "Where res3/3 looks"
    assert reader.says("(held)", "cell 4, 3 of res3")
    reader.one("#release").click()
    assert not reader.says("(held)")
    assert not reader.one("#release").is_enabled()


def test_layers(opened):
    kept = level(layer=2, origins=((1, 3), (2, 2), (2, 3)), reads=None, read_names=(), seed=1)
    first = level(inside=np.array([1, 0.75, 1]))
    classifier = Prediction(top=(("star", 0.75), ("ring", 0.25)))
    reader = opened(analysis(first, kept, prediction=classifier))
    assert reader.text("#top").split("\n") == ["star", "75.0 %", "ring", "25.0 %"]
    assert "25.0 % of its attention is on the padding" in reader.find(".token")[1].text
    reader.choose("#layer", "neck, layer 2")
    # Without a projector no pixel reads tokens, and a pixel lights up those that attend to it.
    assert "kept from layer 1, number 3" in reader.find(".token")[0].text
    assert "kept" not in reader.find(".token")[1].text
    assert not reader.one("#read").is_displayed()
    assert reader.one("#no-projector").is_displayed()
    reader.point("#image", 20, 12)
    looks = dict(zip(kept.names, kept.attention.mean(0)[:, 1, 2], strict=True))
    lit = {card.get_attribute("data-token") for card in reader.find(".token.lit")}
    assert lit == {name for name, value in looks.items() if value > 1}
    for card, value in zip(reader.find(".token"), looks.values(), strict=True):
        said = float(re.search(rf"looks here ([\d.]+){TIMES}", card.text)[1])
        assert abs(said - value) < 0.05 + kept.attention.max() / 510


def test_page_cannot_reach_a_network(chromium, tmp_path):
    reader = Reader(chromium, tmp_path / "page.html", analysis())
    reader.check_requests()
    outcome = reader.driver.execute_async_script(
        "const [address, done] = arguments; const image = new Image();"
        "image.onload = () => done('loaded');"
        "image.onerror = () => fetch(address).then(() => done('fetched'), () => done('refused'));"
        "image.src = address;",
        "http://127.0.0.1:9/",
    )
    problems = reader.problems()
    assert (outcome, len(problems) >= 2) == ("refused", True)
    assert all("Content Security Policy" in problem for problem in problems)
