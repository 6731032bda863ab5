"""The viewer: all panes in step, moved by exactly what was asked for, by mouse, keys and address."""

import random
from itertools import pairwise

import pytest

from tests.browser.pages import FRAMES, HOSTILE, SHOTS, make_page, make_sizes, seen, settle, wait_for_picture

FILM = "#film=96x64/numbered"


def wanted(page) -> int:
    return int(page.locator("#scrub").input_value())


def test_h264_with_aac_plays_from_the_disk(open_page, gallery):
    page = open_page(gallery, FILM)
    codecs = 'video/mp4; codecs="avc1.640028, mp4a.40.2"'
    assert page.evaluate("codecs => document.createElement('video').canPlayType(codecs)", codecs) == "probably"
    assert seen(page) == [0] * 4
    assert page.evaluate("document.getElementById('video').webkitAudioDecodedByteCount") > 0


@pytest.mark.parametrize("speed", [0.25, 1, 2])
def test_all_panes_show_the_same_frame_while_playing(open_page, gallery, speed):
    page = open_page(gallery, f"{FILM}&speed={speed}")
    page.keyboard.press("k")
    found = []
    for _ in range(25):
        numbers = seen(page)
        assert len(numbers) == 4 and len(set(numbers)) == 1
        found.append(numbers[0])
    assert found == sorted(found) and found[-1] > found[0]


def test_a_seek_shows_the_frame_in_every_pane(open_page, gallery):
    page, chance = open_page(gallery, FILM), random.Random(1)
    for frame in [chance.randrange(FRAMES) for _ in range(50)] + [FRAMES - 1, 0]:
        page.evaluate("([n]) => { const scrub = document.getElementById('scrub'); scrub.value = n;"
                      "scrub.dispatchEvent(new Event('input')) }", [frame])  # fmt: skip
        settle(page)
        assert seen(page) == [frame] * 4
    page.set_viewport_size({"width": 800, "height": 700})
    page.keyboard.press("n")
    settle(page)
    assert seen(page) == [SHOTS[1]] * 4


def test_a_step_is_exactly_one_frame(open_page, gallery):
    page = open_page(gallery, f"{FILM}&frame=40&panes=original,two")
    for key, step in [*[(".", 1)] * 10, *[(",", -1)] * 12]:
        before = seen(page)[0]
        page.keyboard.press(key)
        settle(page)
        assert seen(page) == [before + step] * 2
    for _ in range(30):  # faster than the video can seek
        page.keyboard.press(".")
    settle(page)
    assert seen(page) == [68, 68]
    page.click("#after")
    settle(page)
    assert seen(page) == [69, 69]


def test_a_pause_shows_the_frame_that_is_named(open_page, gallery):
    page = open_page(gallery, FILM)
    for _ in range(5):
        page.keyboard.press(" ")
        page.wait_for_timeout(300)
        page.keyboard.press(" ")
        settle(page)
        assert seen(page) == [wanted(page)] * 4
        assert f"frame {wanted(page) + 1} of 500" in page.inner_text("#clock")


# The viewer hears of a frame when the video already has the next.
LATE = """const request = HTMLVideoElement.prototype.requestVideoFrameCallback;
    HTMLVideoElement.prototype.requestVideoFrameCallback = function (callback) {
        return request.call(this, (now, metadata) => setTimeout(() => callback(now, metadata), 25)) }; null"""


@pytest.mark.parametrize("script", ["", LATE])
def test_a_loop_shows_its_own_frames_and_no_other(open_page, gallery, script):
    page = open_page(gallery, f"{FILM}&panes=original,one&loop=100-119&speed=2")
    page.evaluate(script)
    page.keyboard.press("k")
    found = [seen(page)[0] for _ in range(40)]
    assert all(100 <= frame <= 119 for frame in found)
    assert any(after < before for before, after in pairwise(found))  # it began again


def test_a_loop_shows_all_of_its_frames(open_page, gallery):
    page = open_page(gallery, f"{FILM}&loop=116-119&speed=0.25")
    page.keyboard.press("k")
    assert {tuple(seen(page)) for _ in range(40)} == {(frame,) * 4 for frame in range(116, 120)}


def test_the_address_is_the_moment_and_the_view(open_page, gallery):
    page = open_page(gallery, FILM)
    page.keyboard.press("n")
    page.keyboard.press("n")
    page.keyboard.press("1")  # hides model one
    page.keyboard.press("w")
    page.keyboard.press("+")
    settle(page)
    page.wait_for_function("location.hash.includes('wipe=55')")
    address = page.evaluate("location.hash")
    other = open_page(gallery, address)
    assert seen(other) == [SHOTS[2]]
    assert other.locator("#wipe").input_value() == "55"
    assert other.inner_text("#panes figcaption") == "Original | Model two"


@pytest.mark.parametrize(("button", "shot"), [("best", 2), ("worst", 1), ("moving", 3), ("still", 2)])
def test_the_extremes_of_a_film_are_one_click_away(open_page, gallery, button, shot):
    page = open_page(gallery, f"{FILM}&frame=60")
    page.click(f"[data-shot={button}]")
    settle(page)
    assert seen(page) == [SHOTS[shot]] * 4
    assert page.inner_text("#status").startswith(f"Shot {shot + 1} of 4")
    assert page.locator("#shots [aria-current] button").inner_text() == str(shot + 1)


def test_a_click_in_the_curves_and_in_the_table_goes_there(open_page, gallery):
    page = open_page(gallery, FILM)
    box = page.locator(".u-over").bounding_box()
    page.locator(".u-over").click(position={"x": box["width"] / 2, "y": 20})
    settle(page)
    assert abs(seen(page)[0] - FRAMES / 2) <= 2
    page.click("#shots button >> nth=1")
    settle(page)
    assert seen(page) == [SHOTS[1]] * 4


def test_a_film_opens_from_the_matrix_and_back_leads_to_it(open_page, gallery):
    page = open_page(gallery)
    page.click("[aria-label='Numbers as remembered by Model two, SSIM 0.49']")
    wait_for_picture(page)
    assert page.locator("figcaption").all_inner_texts() == ["Original", "Model two"]
    page.click("#back")
    page.wait_for_selector("#films:visible")
    assert page.evaluate("document.activeElement.closest('td').dataset.model") == "Model two"


def test_a_moment_that_is_saved_late_does_not_lead_back_to_the_film(open_page, gallery):
    page = open_page(gallery, FILM)
    page.evaluate(
        """() => { const [later, due] = [window.setTimeout, []];
        window.setTimeout = (action) => due.push(action);
        document.getElementById("scrub").dispatchEvent(new Event("input")); // whose moment is to be saved
        window.setTimeout = later;
        location.hash = "";
        for (const action of due) action(); // after the address has changed, before its event
        }"""
    )
    page.wait_for_selector("#films:visible")
    assert "film" not in page.evaluate("location.hash")


def test_a_page_to_send_plays_without_any_other_file(open_page, gallery):
    page = open_page(make_page(gallery))
    wait_for_picture(page)
    assert page.inner_text("#title") == HOSTILE
    page.keyboard.press("n")
    page.keyboard.press(".")
    settle(page)
    assert seen(page) == [SHOTS[1] + 1] * 4
    page.wait_for_function("location.hash.includes('frame=126')")
    page.keyboard.press("k")
    page.wait_for_function("Number(document.getElementById('scrub').value) > 130")
    assert len(set(seen(page))) == 1
    page.keyboard.press("k")
    page.evaluate("location.hash = '#frame=40&panes=original'")
    page.wait_for_function("document.getElementById('scrub').value === '40'")
    settle(page)
    assert seen(page) == [40]


def test_a_film_at_two_frame_sizes_leads_from_one_to_the_other_at_the_same_frame(open_page, gallery):
    page = open_page(make_sizes(gallery), f"{FILM}&frame=77")
    assert page.inner_text("#sizes") == "These are frames of 96x64. Of other sizes, not side by side: 64x96: Model four"
    page.keyboard.press(".")
    page.click("#sizes a")
    page.wait_for_function("document.querySelectorAll('#panes canvas').length === 2")
    wait_for_picture(page)
    assert seen(page) == [78, 78] and page.locator("figcaption").all_inner_texts() == ["Original", "Model four"]
    page.click("#sizes a")
    page.wait_for_function("document.querySelectorAll('#panes canvas').length === 4")
    wait_for_picture(page)
    assert seen(page) == [78] * 4
    assert not open_page(gallery, FILM).is_visible("#sizes")
