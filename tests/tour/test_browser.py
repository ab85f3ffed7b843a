"""The page in a real browser: it loads without errors and the slider moves the frame.

Needs Chromium and its driver; skips, and says so, without them.
"""

import os
import shutil
from pathlib import Path

import pytest

from ailys.tour import render, run_stops, select_stops

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
BROWSER = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
DRIVER = shutil.which("chromedriver")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    if BROWSER is None or DRIVER is None:
        pytest.skip("no Chromium with chromedriver on this machine: the page was not tested in a browser")
    folder = tmp_path_factory.mktemp("tour")
    (folder / "index.html").write_text(render(list(run_stops(select_stops(["fourier"]))), seed=0), encoding="utf-8")
    return (folder / "index.html").as_uri()


@pytest.fixture(scope="module")
def browser(page):
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for word in (
        "--headless=new", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--window-size=1000,1400",
    ):  # fmt: skip
        options.add_argument(word)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium refuses its sandbox to the root user
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(service=Service(DRIVER), options=options)
    yield driver
    driver.quit()


def visible(browser):
    frames = browser.find_elements("css selector", ".frame")
    return [i for i, frame in enumerate(frames) if frame.is_displayed()]


def test_the_slider_moves_the_frame_by_keyboard(browser, page):
    from selenium.webdriver.common.keys import Keys

    browser.get(page)
    slider = browser.find_element("css selector", ".slider input")
    output = browser.find_element("css selector", ".slider output")
    start, label = visible(browser), output.text
    assert len(start) == 1
    slider.send_keys(Keys.ARROW_RIGHT)
    assert visible(browser) == [start[0] + 1]
    assert output.text != label
    assert slider.get_attribute("aria-valuetext") == output.text
    slider.send_keys(Keys.HOME)
    assert visible(browser) == [0]


def test_the_console_has_no_error(browser, page):
    browser.get(page)
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_the_page_fits_a_phone(browser, page):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    )
    browser.get(page)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_figures_follow_the_dark_scheme_and_have_text_alternatives(browser, page):
    browser.get(page)
    ink = {}
    for scheme in ("light", "dark"):
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )
        ink[scheme] = browser.execute_script("return getComputedStyle(document.body).color")
    assert ink["light"] != ink["dark"]
    figures = browser.find_elements("css selector", "figure svg")
    assert figures
    assert all(figure.get_attribute("aria-label") for figure in figures)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_accessibility_error(browser, page, scheme):
    axe = pytest.importorskip("axe_core_python", reason="axe-core is not installed")
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    browser.get(page)
    browser.execute_script((Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
    found = browser.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "axe.run().then(r => done(r.violations.map(v => v.id + ': ' + v.nodes.map(n => n.html).join(' '))));"
    )
    assert found == []
