"""What a page shows: two panes in one, the matrix, and nothing that a title wants to run."""

import io

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

from tests.browser.pages import FRAMES, HOSTILE, MODELS, focused, seen, settle, tiles, wait_for_picture

FILM = "#film=96x64/numbered"
HOSTILE_FILM = "#film=96x64/hostile"


def test_each_pane_shows_its_own_picture(open_page, gallery):
    page = open_page(gallery, FILM)
    assert tiles(page) == [0, 1, 2, 3]
    for key in "02":
        page.keyboard.press(key)
    settle(page)
    assert tiles(page) == [1, 3]
    page.click("#choice button >> nth=2")
    settle(page)
    assert tiles(page) == [1, 2, 3]


def test_a_wipe_shows_the_first_picture_left_and_the_second_right_of_it(open_page, gallery):
    page = open_page(gallery, f"{FILM}&frame=77&panes=one,two&view=wipe&wipe=50")
    assert tiles(page) == [1 | 2]  # the square of the first is in the left half, and that of the second in the right
    for percent, tile in ((0, 2), (100, 1)):
        page.locator("#wipe").fill(str(percent))
        settle(page)
        assert tiles(page) == [tile] and seen(page) == [77]
    box = page.locator("#panes canvas").bounding_box()
    page.mouse.click(box["x"] + 1, box["y"] + 10)  # to the left edge
    settle(page)
    assert tiles(page) == [2]


def test_the_difference_is_black_where_two_pictures_agree(open_page, gallery):
    page = open_page(gallery, f"{FILM}&frame=77&panes=one,two")
    page.keyboard.press("d")
    settle(page)
    assert tiles(page) == [1 | 2] and seen(page) == [0]
    box = page.locator("#panes canvas").bounding_box()
    screen = np.asarray(Image.open(io.BytesIO(page.screenshot(clip=box))).convert("L"))
    assert np.median(screen) < 8
    page.keyboard.press("s")
    settle(page)
    assert tiles(page) == [1, 2] and seen(page) == [77, 77]


def test_full_screen_and_back(open_page, gallery):
    page = open_page(gallery, f"{FILM}&panes=original,one")
    page.keyboard.press("f")
    page.wait_for_function("document.fullscreenElement !== null")
    page.keyboard.press(".")
    settle(page)
    assert seen(page) == [1, 1]
    page.keyboard.press("f")
    page.wait_for_function("document.fullscreenElement === null")


def test_the_keyboard_reaches_every_control(open_page, gallery):
    page = open_page(gallery, f"{FILM}&panes=one,two&view=wipe&loop=10-20")
    controls = page.locator("#viewer :is(a[href], button:enabled, input, select, [tabindex='0']):visible").count()
    reached = set()
    for _ in range(controls + 5):
        page.keyboard.press("Tab")
        reached.add(focused(page))
    assert len(reached - {"body"}) >= controls
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#help").is_visible()


def test_the_matrix_is_opened_by_the_keyboard(open_page, gallery):
    page = open_page(gallery)
    page.locator("td a").nth(1).focus()
    page.keyboard.press("Enter")
    wait_for_picture(page)
    assert tiles(page) == [0, 1]
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#films:visible")


def test_a_search_and_an_order(open_page, gallery):
    page = open_page(gallery)
    assert page.inner_text("#count") == "6 reconstructions"
    page.fill("#search", "numb TWO")
    assert page.inner_text("#count") == "1 of 6 reconstructions"
    assert page.locator("#rows tr:visible").count() == 1
    page.fill("#search", "")
    first = "#rows tr:first-child .title"
    assert page.inner_text(first) == "Numbers"
    page.select_option("#order", "title")
    assert page.inner_text(first) == HOSTILE


def test_a_hostile_title_is_only_shown(open_page, gallery):
    page = open_page(gallery)
    assert page.locator("#rows .title").all_inner_texts() == ["Numbers", HOSTILE]
    page = open_page(gallery, HOSTILE_FILM)
    assert page.inner_text("#title") == HOSTILE and page.title() == f"{HOSTILE} · refilm"
    assert HOSTILE in page.inner_text("#choice")
    assert page.locator("img[onerror]").count() == 0


@pytest.mark.parametrize(
    "address",
    [
        "#film=../../../evil", "#film=__proto__",
        "#film=96x64/numbered&panes=<b>,,99&frame=1e99&view=x&wipe=-5&loop=9-3&speed=99",
        "#film=96x64/numbered&frame=NaN&loop=a-b&measure=constructor",
    ],
)  # fmt: skip
def test_an_address_of_any_content_does_no_harm(open_page, gallery, address):
    page = open_page(gallery)
    page.evaluate("address => { location.hash = address }", address)
    if "numbered" not in address:
        assert page.locator("#films").is_visible()
        return
    wait_for_picture(page)
    assert len(set(seen(page))) == 1 and tiles(page) == list(range(1 + len(MODELS)))
    assert seen(page)[0] in (0, FRAMES - 1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("address", ["", FILM, f"{FILM}&panes=one,two&view=wipe&loop=10-20", HOSTILE_FILM])
def test_axe_finds_no_violation(open_page, gallery, scheme, address):
    page = open_page(gallery, address, color_scheme=scheme)
    assert Axe().run(page).generate_report().strip() == "Found 0 accessibility violations:"
    if address:
        page.keyboard.press("?")
        assert Axe().run(page).generate_report().strip() == "Found 0 accessibility violations:"


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_nothing_is_wider_than_the_window(open_page, gallery, width):
    for address in ("", FILM):
        page = open_page(gallery, address, viewport={"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        small = page.locator(":is(button, select, a.button):visible").evaluate_all(
            "all => all.filter((one) => one.getBoundingClientRect().height < 44).map((one) => one.id)"
        )
        assert small == []
