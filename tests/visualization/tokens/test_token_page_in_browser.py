"""The page in a browser, used as a reader uses it; its numbers are those of the captured arrays.

Needs Debian's chromium and chromium-driver and the package selenium; skipped without them.
"""

import http.server
import json
import re
import shutil
import threading

import numpy as np
import pytest
import torch
from detectron2.data import Metadata
from detectron2.modeling import build_model

from tests.small_configs import small_cfg
from tests.visualization.tokens.token_studies import level, study
from vt_seg.visualization.tokens import analyze_tokens
from vt_seg.visualization.tokens.colors import heat_palette
from vt_seg.visualization.tokens.page import token_page
from vt_seg.visualization.tokens.prediction import Prediction

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.actions.action_builder import ActionBuilder  # noqa: E402
from selenium.webdriver.common.actions.pointer_input import PointerInput  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not both on PATH"
)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,1200",
)
CLASSES = tuple(f"class{i}" for i in range(5))


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(20)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def model_study():
    """A small VT-FPN on an image whose sides no stride but 4 divides."""
    torch.manual_seed(0)
    image = torch.randint(256, (3, 76, 100), dtype=torch.uint8)
    return analyze_tokens(
        build_model(small_cfg()).eval(),
        {"image": image},
        name="noise.png",
        image_format="BGR",
        metadata=Metadata(stuff_classes=CLASSES),
    )


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
        """Percentages on the cards, by token, and the tokens that are lit."""
        cards = self.find(".token")
        texts = [card.find_element(By.CSS_SELECTOR, ".share").text for card in cards]
        lit = [c.get_attribute("data-token") for c in cards if "lit" in c.get_attribute("class")]
        return [float(text.removesuffix(" %")) for text in texts], lit

    def colors(self, canvas, points):
        """[red, green, blue] on a canvas at pixels of the image, with an opaque overlay."""
        self.driver.execute_script(
            "const range = document.getElementById('opacity'); range.value = 100;"
            "range.dispatchEvent(new Event('input'));"
        )
        return self.driver.execute_script(
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

    def requests(self):
        """Addresses that the page asked for since it was opened."""
        messages = (json.loads(entry["message"]) for entry in self.driver.get_log("performance"))
        sent = [m["message"] for m in messages]
        sent = [m["params"] for m in sent if m["method"] == "Network.requestWillBeSent"]
        # Not those of the browser's own start page.
        return [m["request"]["url"] for m in sent if m["documentURL"] == self.driver.current_url]

    def problems(self):
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture
def opened(chromium, tmp_path):
    """Opens the page of a study; at the end nothing must have gone wrong or over a network."""
    readers = []

    def open_study(shown):
        readers.append(Reader(chromium, tmp_path / f"{len(readers)}.html", shown))
        return readers[-1]

    yield open_study
    for reader in readers[-1:]:
        assert reader.problems() == []
        own, *inside = reader.requests()
        assert own.startswith("file://") and all(url.startswith("data:") for url in inside)


def centres(one):
    """Pixels of the image in the middle of each cell that has its middle inside, row by row."""
    rows, columns = one.attention.shape[-2:]
    side = one.covered[0] / rows
    return [[((c + 0.5) * side, (r + 0.5) * side) for c in range(columns)] for r in range(rows)]


def test_pointing_at_pixels(opened, model_study):
    reader = opened(model_study)
    assert reader.text("h1") == "Visual tokens of noise.png"
    assert "small.yaml" in reader.text(".facts")
    res2, res3 = model_study.maps[:2]
    labels = model_study.prediction.labels
    for one in (res2, res3):
        rows, columns = one.attention.shape[-2:]
        reader.choose("#level", f"{one.level}, {columns}×{rows}")
        stride = one.covered[1] // columns
        for canvas, (x, y) in zip(
            ("#image", "#prediction", "#most", "#looks", "#read"),
            ((2, 2), (98, 74), (50, 38), (30, 61), (71, 13)),
            strict=True,
        ):
            reader.point(canvas, x, y)
            # The mouse stops at whole pixels of the screen: ask the page which one it is.
            said = reader.text("#readout")
            seen_x, seen_y = map(int, re.match(r"Pixel (\d+), (\d+); predicted", said).groups())
            assert abs(seen_x - x) <= 1 and abs(seen_y - y) <= 1
            assert f"predicted as class{labels[seen_y, seen_x]};" in said
            row, column = seen_y // stride, seen_x // stride
            assert f"cell {column}, {row} of {one.level} reads" in said
            expected = one.reads.mean(0)[:, row, column]
            shares, lit = reader.shares()
            step = np.ptp(one.reads.mean(0), axis=(1, 2)).max() / 255
            np.testing.assert_allclose(shares, 100 * expected, atol=0.05 + 50 * step + 1e-3)
            clear = np.abs(expected - 0.25) > step
            assert {n for n, ok in zip(one.names, clear, strict=True) if ok and n in lit} == {
                n for n, ok, e in zip(one.names, clear, expected, strict=True) if ok and e > 0.25
            }
            # Among the best, within a step.
            best = one.names.index(re.search(r" reads (\S+) ", said)[1])
            assert expected[best] > expected.max() - step


def test_single_heads(opened, model_study):
    reader = opened(model_study)
    one = model_study.maps[2]
    reader.choose("#level", "res4, 7×5")
    for head in (0, 15):
        reader.choose("#head", f"{head + 1} of 16")
        reader.point("#image", 40, 24)
        shares, _ = reader.shares()
        step = np.ptp(one.reads[head], axis=(1, 2)).max() / 255
        np.testing.assert_allclose(
            shares, 100 * one.reads[head, :, 1, 2], atol=0.05 + 50 * step + 1e-3
        )
    reader.choose("#head", "average")
    shares, _ = reader.shares()
    np.testing.assert_allclose(shares, 100 * one.reads.mean(0)[:, 1, 2], atol=0.3)


def test_picking_tokens(opened):
    # Few large cells, so that colours can be read anywhere in them.
    one = level(tokens=3)
    reader = opened(study(one))
    palette = heat_palette().astype(int)
    points = sum(centres(one), [])
    for token in (1, 2):
        reader.find(".token")[token].click()
        assert reader.text("#looks-title") == f"Where res3/{token + 1} looks"
        assert reader.text("#read-title") == f"res3 pixels that read res3/{token + 1}"
        attention, share = one.attention.mean(0)[token], one.reads.mean(0)[token]
        assert reader.text("#looks-high") == f"{attention.max():.1f}× even"
        assert reader.text("#read-low") == f"{100 * share.min():.1f} %"
        assert reader.text("#read-high") == f"{100 * share.max():.1f} %"
        for canvas, steps in (
            ("#looks", 255 * attention / attention.max()),
            ("#read", 255 * (share - share.min()) / np.ptp(share)),
        ):
            got = np.array(reader.colors(canvas, points))
            expected = palette[np.round(steps).astype(int).ravel()]
            assert np.abs(got - expected).max() <= 4  # a step of the palette
    # The map of the tokens that are read most, in the colours on the cards.
    chips = [c.value_of_css_property("background-color") for c in reader.find(".chip")]
    chips = np.array([[int(n) for n in re.findall(r"\d+", chip)[:3]] for chip in chips])
    most = one.reads.mean(0).argmax(0).ravel()
    np.testing.assert_array_equal(reader.colors("#most", points), chips[most])
    # The other palette.
    reader.choose("#palette", "cividis")
    attention = one.attention.mean(0)[2]
    steps = np.round(255 * attention / attention.max()).astype(int).ravel()
    got = np.array(reader.colors("#looks", points))
    assert np.abs(got - heat_palette("cividis").astype(int)[steps]).max() <= 4


def test_keyboard(opened):
    one = level()
    reader = opened(study(one))
    image = reader.one("#image")
    # The first key starts from the middle (column 4, row 3) and moves on from there.
    for keys, cell in (
        ((Keys.ARROW_RIGHT,), "5, 3"),
        ((Keys.ARROW_UP, Keys.ARROW_UP), "5, 1"),
        ((Keys.SHIFT, Keys.ARROW_LEFT), "0, 1"),
        ((Keys.ARROW_LEFT,), "0, 1"),
    ):
        image.send_keys(*keys)
        assert f"cell {cell} of res3" in reader.text("#readout")
    shares, _ = reader.shares()
    np.testing.assert_allclose(shares, 100 * one.reads.mean(0)[:, 1, 0], atol=0.3)
    # Enter holds the pixel against the mouse, Escape releases it.
    image.send_keys(Keys.ENTER)
    reader.point("#looks", 60, 44)
    assert "(held)" in reader.text("#readout") and "cell 0, 1 of res3" in reader.text("#readout")
    image.send_keys(Keys.ESCAPE)
    reader.point("#looks", 60, 44)
    assert "cell 7, 5 of res3" in reader.text("#readout")
    # From token to token.
    reader.find(".token input")[0].send_keys(Keys.ARROW_DOWN)
    assert reader.text("#looks-title") == "Where res3/2 looks"


def test_predicted_classes(opened):
    reader = opened(study())
    # Columns 0-21 are sea, 22-42 sand, the rest sky.
    for column, name in ((0, "sea"), (21, "sea"), (22, "sand"), (42, "sand"), (43, "sky")):
        reader.point("#prediction", column + 0.5, 30.5)
        assert reader.text("#readout").startswith(f"Pixel {column}, 30; predicted as {name};")


def test_mouse_holds_a_pixel(opened):
    reader = opened(study())
    reader.point("#image", 12, 20, click=True)
    reader.point("#image", 50, 20)
    assert "cell 1, 2 of res3" in reader.text("#readout")
    reader.point("#image", 50, 20, click=True)  # holds another
    assert "(held)" in reader.text("#readout") and "cell 6, 2 of res3" in reader.text("#readout")
    reader.point("#image", 50, 20, click=True)  # there again: releases it
    assert "(held)" not in reader.text("#readout")
    reader.point("#image", 50, 20, click=True)
    reader.one("#release").click()
    assert "(held)" not in reader.text("#readout") and not reader.one("#release").is_enabled()


def test_touch(opened):
    reader = opened(study())

    def tap(element, right=0, down=0):
        actions = ActionBuilder(reader.driver, mouse=PointerInput("touch", "finger"))
        actions.pointer_action.move_to(element, right, down).pointer_down().pointer_up()
        actions.perform()

    tap(reader.one("#image"), 10, 10)  # from the middle, the corner of four cells
    assert "(held)" in reader.text("#readout") and "cell 4, 3 of res3" in reader.text("#readout")
    tap(reader.find(".token")[2])
    assert reader.text("#looks-title") == "Where res3/3 looks"
    assert "cell 4, 3 of res3" in reader.text("#readout")


def test_layers(opened):
    kept = level(layer=2, origins=((1, 3), (2, 2), (2, 3)), reads=None, read_names=(), seed=1)
    first = level(inside=np.array([1, 0.75, 1]))
    classifier = Prediction(top=(("star", 0.75), ("ring", 0.25)))
    reader = opened(study(first, kept, prediction=classifier))
    assert reader.text("#top").split("\n") == ["star", "75.0 %", "ring", "25.0 %"]
    assert "25.0 % of its attention is on the padding" in reader.find(".token")[1].text
    reader.choose("#layer", "neck, layer 2")
    # No projector: nothing is read, and a pixel lights up the tokens that look at it.
    assert "kept from layer 1, number 3" in reader.find(".token")[0].text
    assert "kept" not in reader.find(".token")[1].text
    assert not reader.one("#read").is_displayed() and reader.one("#no-projector").is_displayed()
    reader.point("#image", 20, 12)
    looks = kept.attention.mean(0)[:, 1, 2]
    lit = {n for n, value in zip(kept.names, looks, strict=True) if value > 1}
    cards = reader.find(".token.lit")
    assert {card.get_attribute("data-token") for card in cards} == lit
    for card, value in zip(reader.find(".token"), looks, strict=True):
        said = float(re.search(r"looks here ([\d.]+)×", card.text)[1])
        assert abs(said - value) < 0.05 + kept.attention.max() / 510


def test_the_page_cannot_reach_a_network(chromium, tmp_path):
    asked = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)

    with http.server.HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        reader = Reader(chromium, tmp_path / "page.html", study())
        own, *inside = reader.requests()
        assert own.startswith("file://") and all(url.startswith("data:") for url in inside)
        outcome = reader.driver.execute_async_script(
            "const [address, done] = arguments; const image = new Image();"
            "image.onload = () => done('loaded');"
            "image.onerror = () => fetch(address + '/fetch')"
            "  .then(() => done('fetched'), () => done('refused'));"
            "image.src = address + '/image';",
            address,
        )
        server.shutdown()
    assert outcome == "refused" and asked == []
    assert all("Content Security Policy" in problem for problem in reader.problems())
