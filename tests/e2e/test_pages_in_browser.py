"""The pages of results as a browser shows them, from disk."""

from __future__ import annotations

import csv
import shutil
import time
from pathlib import Path

import pytest

DRIVER = shutil.which("chromedriver")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.skipif(
    DRIVER is None or CHROMIUM is None, reason="chromium or chromedriver is not installed"
)

NUMBERS = "table.measured"


@pytest.fixture(scope="module")
def downloads(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(tmp_path_factory, downloads):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,1000"),
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
        "--disable-background-networking",
    ):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser, built):
    """Opens a page and waits for its tables."""

    def opened(name: str):
        browser.get((built.path / "results" / "test" / name).as_uri())
        if browser.find_elements("css selector", f"{NUMBERS} tbody tr, table.dataframe tbody tr"):
            wait(lambda: browser.execute_script("return document.documentElement.dataset.tables"))
        return browser

    return opened


def wait(condition, seconds=30):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
    return found


def all_pages(built) -> list[str]:
    results = built.path / "results" / "test"
    behind = sorted(path.name for path in (results / "pages").glob("*.html"))
    return ["index.html", *(f"pages/{name}" for name in behind)]


def test_every_page_opens_without_an_error_and_is_small(built, page):
    for name in all_pages(built):
        browser = page(name)
        wrong = [entry for entry in browser.get_log("browser") if entry["level"] != "INFO"]
        assert not wrong, (name, wrong)
        assert (built.path / "results" / "test" / name).stat().st_size < 5e6


def test_every_link_leads_somewhere(built, page):
    from urllib.parse import unquote, urlparse

    for name in all_pages(built):
        browser = page(name)
        links = browser.execute_script(
            "return [...document.querySelectorAll('a[href], link[href], script[src], img[src]')]"
            ".map(e => e.href || e.src)"
        )
        assert links
        for link in set(links):
            parts = urlparse(link)
            if parts.scheme == "data":
                continue
            assert parts.scheme == "file", f"{name} needs a network: {link}"
            target = Path(unquote(parts.path))
            assert target.is_file(), (name, link)
            if parts.fragment and target.suffix == ".html":
                assert f'id="{unquote(parts.fragment)}"' in target.read_text(), (name, link)


def test_every_figure_appears(built, page):
    browser = page("pages/frecon2021.html")
    figures = built.path / "results" / "test" / "frecon2021" / "figures"
    # Loaded when they come near: go through all of them.
    for image in browser.find_elements("css selector", "figure img"):
        browser.execute_script("arguments[0].scrollIntoView()", image)
        wait(lambda image=image: browser.execute_script("return arguments[0].naturalWidth", image))
    shown = {
        Path(image.get_attribute("src")).name
        for image in browser.find_elements("css selector", "figure img")
    }
    assert shown == {path.name for path in figures.glob("*.png")}
    assert all(
        image.get_attribute("alt") for image in browser.find_elements("css selector", "figure img")
    )


def test_numbers_are_sorted_filtered_and_exported_as_shown(page, downloads):
    browser = page("pages/frecon2021-numbers.html")

    def column(number):
        # All cells at once, as the table may be drawn anew in between.
        read = "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)"
        return browser.execute_script(read, f"{NUMBERS} tbody td:nth-child({number})")

    def numbers():
        return [float(text) for text in column(value) if text]

    header = [cell.text for cell in browser.find_elements("css selector", f"{NUMBERS} thead th")]
    value, metric = header.index("value") + 1, header.index("metric") + 1
    button = f"{NUMBERS} thead th:nth-child({value})"
    before = column(value)
    browser.find_element("css selector", button).click()
    wait(lambda: numbers() == sorted(numbers()) and column(value) != before)
    browser.find_element("css selector", button).click()
    wait(lambda: numbers() == sorted(numbers(), reverse=True))

    field = browser.find_element("css selector", ".dt-search input")
    field.send_keys("fooling_rate_8bit")
    wait(lambda: set(column(metric)) == {"fooling_rate_8bit"})
    shown = column(value)

    browser.find_element("css selector", ".dt-buttons button").click()
    file = wait(lambda: next(iter(downloads.glob("*.csv")), None))
    wait(lambda: file.stat().st_size and not [*downloads.glob("*.crdownload")])
    with file.open(encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["metric"] for row in rows} == {"fooling_rate_8bit"}
    assert [row["value"] for row in rows] == shown


def test_a_link_to_a_job_opens_its_settings(page):
    browser = page("pages/frecon2021-numbers.html")
    link = browser.find_element("css selector", f"{NUMBERS} tbody a[href*=attacks]")
    browser.get(link.get_attribute("href"))
    opened = browser.find_elements("css selector", "details[open]")
    assert len(opened) == 1 and '"method"' in opened[0].text


def test_a_slider_goes_through_the_settings_of_an_attack(page):
    browser = page("pages/images.html")
    slider = browser.find_element("css selector", "[data-slider]")
    attack = browser.execute_script("return arguments[0].closest('details')", slider)
    browser.execute_script("arguments[0].open = true", attack)

    def shown():
        points = attack.find_elements("css selector", "[data-point]")
        return [number for number, point in enumerate(points) if point.is_displayed()]

    assert shown() == [0]
    from selenium.webdriver.common.keys import Keys

    slider.send_keys(Keys.ARROW_RIGHT)
    assert shown() == [1]
