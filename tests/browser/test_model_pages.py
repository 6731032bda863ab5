"""The pages of a model: pictures that are shown, no script that runs, reachable by the keyboard, clean in axe-core."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.pages import HOSTILE, make_findings, make_network


@pytest.fixture(scope="module", params=[make_network, make_findings], ids=["network", "findings"])
def model_page(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp("pages"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_a_page_of_a_model_is_accessible_and_shows_its_pictures(open_page, model_page, scheme, width):
    page = open_page(model_page, viewport={"width": width, "height": 900}, color_scheme=scheme)
    assert HOSTILE in page.locator("h1").inner_text()
    page.evaluate("document.querySelectorAll('img').forEach((one) => { one.loading = 'eager' })")
    page.wait_for_function("[...document.images].every((one) => one.complete)")
    assert page.evaluate("document.images.length && [...document.images].every((one) => one.naturalWidth > 0)")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert Axe().run(page).violations_count == 0


def test_tables_that_are_wider_than_the_screen_are_scrolled_by_the_keyboard(open_page, model_page):
    page = open_page(model_page, viewport={"width": 390, "height": 900})
    wide = "[...document.querySelectorAll('.scroll')].filter((one) => one.scrollWidth > one.clientWidth)"
    assert page.evaluate(f"{wide}.length && {wide}.every((one) => one.tabIndex === 0)")
    page.evaluate(f"{wide}[0].focus()")
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"{wide}[0].scrollLeft > 0")


def test_the_colours_of_a_figure_follow_the_scheme(open_page, tmp_path):
    findings = make_findings(tmp_path)
    shots = [open_page(findings, color_scheme=scheme).locator(".plot img").screenshot() for scheme in ("light", "dark")]
    assert shots[0] != shots[1]


def test_the_gallery_leads_to_the_pages_of_its_models(open_page, gallery):
    page = open_page(gallery)
    links = page.locator(".matrix thead a")
    assert links.evaluate_all("all => all.map((one) => one.getAttribute('href'))") == [
        "../models/one/network.html",
        "../findings/one.html",
        "../findings/three.html",
    ]
    assert links.nth(0).get_attribute("aria-label") == "The network of Model one in pictures"
    assert all(links.nth(n).bounding_box()["height"] >= 24 for n in range(3))
