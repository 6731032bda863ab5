"""The tiles of a composite, the data of a page, and the size of a page that is sent."""

import json
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from refilm.core.errors import RefilmError
from refilm.render_page import MOST_BYTES, check_size
from refilm.rendering import gallery
from refilm.rendering.composite import Composite
from refilm.rendering.gallery import (
    Entry,
    Video,
    describe,
    film_script,
    read_description,
    read_measures,
    render_index,
    to_script,
)
from tests.conftest import decoded

HOSTILE = "</script><script>alert(1)</script><!--\u2028&amp;\"'"


@pytest.mark.parametrize("count", [1, 2, 3, 5, 11, 12])
@pytest.mark.parametrize("size", [(64, 48), (256, 144), (144, 256), (1024, 576)])
def test_tiles_lie_apart_inside_the_canvas(count, size):
    composite = Composite(count, *size)
    taken = np.zeros(composite.size[::-1], int)
    for n in range(count):
        left, top = composite.place(n)
        assert left >= 8 and top >= 8
        taken[top - 8 : top + size[1] + 8, left - 8 : left + size[0] + 8] += 1
    assert taken.max() == 1 and (max(composite.video_size) <= 4096 or composite.factor == 1)
    assert taken.sum() == count * (size[0] + 16) * (size[1] + 16)


def test_a_tile_is_not_mixed_with_its_neighbours(tmp_path):
    """Of black, white and coloured tiles each is even up to its edge, where an encoder would mix them without a gutter."""
    colours = [(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 0, 255), (0, 255, 0)]
    composite = Composite(len(colours), 64, 48)
    frames = [np.full((10, 48, 64, 3), colour, np.uint8) for colour in colours]
    composite.write(tmp_path / "tiles.mp4", [[tile] for tile in frames], 10, Fraction(24), 18, None, "")
    exact = "scale=in_color_matrix=bt709:in_range=tv:flags=accurate_rnd+full_chroma_int"
    shown = decoded(tmp_path / "tiles.mp4", composite.video_size, exact).astype(int)
    assert len(shown) == 10
    for n, colour in enumerate(colours):
        left, top = (side * composite.factor for side in composite.place(n))
        tile = shown[:, top : top + 48 * composite.factor, left : left + 64 * composite.factor]
        assert np.abs(tile - colour).max() <= 8


def test_measures_are_those_of_the_frames_and_what_is_missing_is_null(tmp_path):
    table = tmp_path / "metrics.csv"
    table.write_text(
        "frame,ssim,psnr,colour_error,film_motion,recon_motion\n0,.5,20,1,,\n1,.123456,21,2,7,8\n2,1,inf,3,9,1\n"
    )
    read = read_measures([table], range(1, 3))
    assert read == {
        "ssim": [None, [0.1235, 1]], "psnr": [None, [21, None]], "colour": [None, [2, 3]], "motion": [[7, 9], [8, 1]],
    }  # fmt: skip
    described = describe(2, Fraction(24000, 1001), (64, 48), ["one"])
    script = tmp_path / "film.js"
    script.write_text(film_script("64x48/film", described, read | {"shots": [0]}))
    known = read_description(script)
    assert known["ssim"] == [0.5617] and known["fps"] == [24000, 1001] and known["frames"] == 2
    given = re.fullmatch(r"refilm\.film\((.*)\);\n", script.read_text(), re.DOTALL)[1]
    assert json.loads(f"[{given}]")[0] == "64x48/film" and json.loads(f"[{given}]")[2] == read | {"shots": [0]}


def test_no_text_ends_a_script_or_begins_a_tag():
    text = to_script({"title": HOSTILE})
    assert not set("<>&\u2028") & set(text) and json.loads(text) == {"title": HOSTILE}
    described = describe(2, Fraction(24), (64, 48), ["one"]) | {"ssim": [None]}
    page = render_index([Entry("64x48/film", HOSTILE, {"one": HOSTILE}, "films/x.webp", described)], {})
    own = render_index([Entry("64x48/film", "A film", {"one": "A model"}, "films/x.webp", described)], {})
    assert "alert(1)" in page
    for tag in ("<script", "</script", "<!--", "<img"):
        assert page.count(tag) == own.count(tag)


def test_the_scripts_of_a_page_are_small():
    own = list(Path(gallery.__file__).with_name("viewer").glob("*.js"))
    assert own and sum(path.stat().st_size for path in own) <= 30_000  # as they are, with their comments


def test_other_videos_are_links_under_their_headings():
    described = describe(2, Fraction(24), (64, 48), ["one"]) | {"ssim": [None]}
    entries = [Entry("64x48/film", "A film", {"one": "A model"}, "films/x.webp", described)]
    page = render_index(entries, {}, videos={"Walks": [Video(HOSTILE, "../walks/a.mp4", "walks/a.webp")]})
    assert "<h2>Walks</h2>" in page and '<a href="../walks/a.mp4"><img src="walks/a.webp" alt="" loading="lazy">' in page
    assert page.count("<script") == render_index(entries, {}).count("<script")
    assert "<h2>Walks</h2>" not in render_index(entries, {})


def test_a_page_that_is_too_large_says_which_stretch_fits():
    check_size(MOST_BYTES, "clip", 0, 60)
    with pytest.raises(RefilmError, match=r"comparison 'clip': .* 40 MB, .* set comparisons.clip.end to \"10:27\""):
        check_size(2 * MOST_BYTES, "clip", 600, 60)
