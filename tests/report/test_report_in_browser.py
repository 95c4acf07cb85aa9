"""The page in a real browser, opened from disk: no complaint, no request, tables that sort and filter, both themes.

Skipped where there is no Chromium with its driver, or no selenium.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from html_page import IDS, LOCALES, answered, page_of
from results_folder import ResultsFolder

from sprachbund import locales, store
from sprachbund.report import Texts
from sprachbund.report.html.theme import DARK, LIGHT

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: no browser can be asked")

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
HOSTILE = "<script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\">"

pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="no Chromium with chromedriver on this machine: the page is not tried in a browser"
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with 52 rows to sort, some of them without figures, and with sentences that mean harm."""
    root = tmp_path_factory.mktemp("browser")
    folder = answered(ResultsFolder(root / "results"))
    for number, name in enumerate(locales.names()):
        if name not in LOCALES:
            said = [store.Prediction(id=id_, gold="alarm_set", predicted="alarm_set", confidence=1) for id_ in IDS]
            folder.record("baseline" if number % 2 else "average", name, number, total=100, predictions=said)
    texts = {locale: {id_: f"{HOSTILE} {id_}" for id_ in IDS} for locale in LOCALES}
    page = root / "report.html"
    page.write_text(page_of(folder, Texts(texts, "Sentences are made up.")), encoding="utf-8")
    return page


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,1000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser: Any, path: Path) -> Any:
    """The page, just opened in light colours."""
    asked_for(browser)
    complaints(browser)
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "light"}]}
    )
    browser.get("about:blank")
    browser.get(path.as_uri())
    browser.execute_script("localStorage.clear(); delete document.documentElement.dataset.theme")
    return browser


def asked_for(browser: Any) -> list[str]:
    """The addresses asked for since the last call; what stands in the page itself is no address."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return [url for url in asked if not url.startswith(("data:", "about:"))]


def complaints(browser: Any) -> list[str]:
    return [entry["message"] for entry in browser.get_log("browser")]


def find(browser: Any, selector: str) -> Any:
    return browser.find_element("css selector", selector)


def column(browser: Any, number: int) -> list[str]:
    """What a column of the table of accuracies says, in the rows that are shown."""
    return browser.execute_script(
        "return [...document.querySelectorAll('#table-accuracies tbody tr')].filter((row) => !row.hidden)"
        ".map((row) => row.cells[arguments[0]].firstChild?.textContent.trim() ?? '')",
        number,
    )


def heading(browser: Any, number: int) -> Any:
    return browser.find_elements("css selector", "#table-accuracies thead th")[number]


def test_it_opens_without_a_complaint_and_asks_for_itself_alone(opened: Any, path: Path) -> None:
    assert complaints(opened) == []
    assert set(asked_for(opened)) == {path.as_uri()}
    assert opened.title == "Results of merging in 52 locales", "no sentence could change it"


def test_a_click_sorts_and_what_is_missing_stays_last(opened: Any) -> None:
    baseline = 3
    assert heading(opened, baseline).text.strip() == "baseline"
    numbers = [text for text in column(opened, baseline) if text]
    assert 4 < len(numbers) < 52
    for order, reverse in (("descending", True), ("ascending", False)):
        heading(opened, baseline).find_element("tag name", "button").click()
        assert heading(opened, baseline).get_attribute("aria-sort") == order
        shown = column(opened, baseline)
        assert shown[: len(numbers)] == sorted(numbers, key=float, reverse=reverse)
        assert set(shown[len(numbers) :]) == {""}
    heading(opened, 1).find_element("tag name", "button").click()
    assert column(opened, 1) == sorted(column(opened, 1))
    assert heading(opened, 1).get_attribute("aria-sort") == "ascending"
    assert heading(opened, baseline).get_attribute("aria-sort") is None
    assert complaints(opened) == []


def test_numbers_with_signs_and_bounds_are_sorted_by_size(opened: Any) -> None:
    heads = opened.find_elements("css selector", "#table-comparisons thead th")
    names = [head.text.strip() for head in heads]

    def size(text: str) -> float:
        return float(text.replace("−", "-").replace("< ", ""))

    for name in ("mean difference, points", "p"):
        heads[names.index(name)].find_element("tag name", "button").click()
        cells = opened.find_elements(
            "css selector", f"#table-comparisons tbody tr > :nth-child({names.index(name) + 1})"
        )
        sizes = [size(cell.text) for cell in cells]
        assert len(sizes) >= 3
        assert sizes == sorted(sizes, reverse=True)


def test_what_is_rounded_to_one_number_is_sorted_by_its_digits(opened: Any) -> None:
    """Numbers that differ by less than is shown, in an order that their text would not bring about."""
    opened.execute_script(
        "document.querySelectorAll('#table-accuracies tbody tr').forEach((row, place) => {"
        "  row.cells[3].textContent = '0.500'; row.cells[3].dataset.value = 0.5 + ((place * 7) % 52) * 1e-6; })"
    )
    heading(opened, 3).find_element("tag name", "button").click()
    values = opened.execute_script(
        "return [...document.querySelectorAll('#table-accuracies tbody tr')].map((row) => +row.cells[3].dataset.value)"
    )
    assert values == sorted(values, reverse=True)


def test_an_address_with_a_broken_end_is_no_error(opened: Any, path: Path) -> None:
    opened.get("about:blank")
    opened.get(f"{path.as_uri()}#%E0%A4%A")
    assert complaints(opened) == []
    find(opened, "button[data-open='all']").click()
    assert len(opened.find_elements("css selector", "details.place[open]")) == 52


def test_the_keyboard_sorts(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    button = heading(opened, 0).find_element("tag name", "button")
    opened.execute_script("arguments[0].focus()", button)
    for key, order in ((Keys.ENTER, "ascending"), (Keys.SPACE, "descending")):
        opened.switch_to.active_element.send_keys(key)
        assert heading(opened, 0).get_attribute("aria-sort") == order
        assert column(opened, 0) == sorted(column(opened, 0), reverse=order == "descending")
    assert opened.switch_to.active_element == button, "whoever sorts stays where they are"
    outline = opened.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "and sees it"


def test_the_first_stop_of_the_keyboard_leads_to_the_results(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    find(opened, "body").send_keys(Keys.TAB)
    skip = opened.switch_to.active_element
    assert skip.text == "To the results"
    assert opened.execute_script(
        "const r = arguments[0].getBoundingClientRect(); return r.left >= 0 && r.top >= 0", skip
    )
    skip.send_keys(Keys.ENTER)
    assert opened.execute_script("return document.activeElement.id") == "main"


def test_words_filter_rows_and_the_number_left_is_said(opened: Any) -> None:
    tool = find(opened, "[data-filters='table-accuracies']")
    field = tool.find_element("tag name", "input")
    field.send_keys("turkic AZ")
    assert column(opened, 0) == ["az-AZ"]
    said = tool.find_element("tag name", "output")
    assert (said.text, said.get_attribute("aria-live")) == ("1 of 52 rows", "polite")
    opened.execute_script("arguments[0].value = ''; arguments[0].dispatchEvent(new Event('input'))", field)
    assert len(column(opened, 0)) == 52
    assert said.text == ""


def paper(browser: Any) -> str:
    red, green, blue = browser.execute_script(
        "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
    )
    return f"#{red:02x}{green:02x}{blue:02x}"


def test_the_button_changes_the_colours_of_page_and_pictures(opened: Any, path: Path) -> None:
    button = find(opened, "#theme")
    ground = "return getComputedStyle(document.querySelector('#picture-dumbbells-title ~ path, svg path')).fill"
    assert (paper(opened), button.get_attribute("aria-pressed")) == (LIGHT["paper"], "false")
    before = opened.execute_script(ground)
    button.click()
    assert (paper(opened), button.get_attribute("aria-pressed")) == (DARK["paper"], "true")
    assert opened.execute_script(ground) != before
    opened.get(path.as_uri())
    assert paper(opened) == DARK["paper"], "the choice is kept"
    find(opened, "#theme").click()
    assert paper(opened) == LIGHT["paper"]


def test_whoever_likes_dark_colours_gets_them_unasked_and_can_go_back(opened: Any) -> None:
    opened.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    assert paper(opened) == DARK["paper"]
    assert find(opened, "#theme").get_attribute("aria-pressed") == "true"
    find(opened, "#theme").click()
    assert paper(opened) == LIGHT["paper"]


def test_a_locale_opens_its_own_page_and_sentences_are_only_text(opened: Any) -> None:
    find(opened, "#table-accuracies a[href='#locale-he-IL']").click()
    around = find(opened, "details:has(#locale-he-IL)")
    assert around.get_attribute("open") is not None
    assert around.is_displayed()
    assert HOSTILE in around.text
    assert around.find_element("css selector", "td[dir='rtl']").get_attribute("lang") == "he-IL"
    assert len(opened.find_elements("css selector", "details.place[open]")) == 1
    find(opened, "button[data-open='all']").click()
    assert len(opened.find_elements("css selector", "details.place[open]")) == 52
    find(opened, "button[data-open='none']").click()
    assert opened.find_elements("css selector", "details.place[open]") == []
    assert opened.title == "Results of merging in 52 locales"
    assert complaints(opened) == []


@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_is_wider_than_its_window(opened: Any, width: int) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    find(opened, "button[data-open='all']").click()
    wide, room = opened.execute_script("const e = document.documentElement; return [e.scrollWidth, e.clientWidth]")
    assert wide == room <= width
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_it_prints_in_light_colours_without_buttons(opened: Any) -> None:
    find(opened, "#theme").click()
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert paper(opened) == LIGHT["paper"]
    assert not find(opened, "nav").is_displayed()
    assert not find(opened, "#theme").is_displayed()
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_paper_has_all_locales_and_the_screen_only_those_that_were_open(opened: Any) -> None:
    find(opened, "#table-accuracies a[href='#locale-he-IL']").click()
    number = "return document.querySelectorAll('details.place[open]').length"
    for event, there in (("beforeprint", 52), ("afterprint", 1)):
        assert opened.execute_script(f"dispatchEvent(new Event('{event}')); {number}") == there
    assert find(opened, "details.place[open] > div").get_attribute("id") == "locale-he-IL"
