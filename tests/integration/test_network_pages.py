"""Pages of networks in pictures as files: of which frame, of every recipe, and what is refused."""

import html
import json
import re
from pathlib import Path

import numpy as np
import pytest

from refilm.core.made_of import FRAMES_OFFSET
from tests.conftest import command, refused
from tests.helpers import done
from tests.models import recipe_named, save_untrained

HOSTILE = "<script>alert(1)</script>\"'{{7*7}}"
FRAMES = 48  # of the film


def page_of(folder: Path, frames: Path, name: str, *words) -> str:
    """The page of an untrained model of a recipe, of a frame of the film."""
    model, latents = save_untrained(folder / f"{name}.safetensors", recipe_named(name)), folder / f"{name}.h5"
    film = (f"--frames={frames}", f"--latents={latents}", "--film-title=A film")
    if name != "dcgan":
        done(command("encode_film", f"--frames={frames}", f"--model={model}", f"--latents={latents}", "--device=cpu"))
    page = folder / f"{name}.html"
    options = (f"--model={model}", f"--title={HOSTILE}", f"--page={page}", "--device=cpu")
    done(command("render_network", *options, *(film if name != "dcgan" else ()), *words))
    return page.read_text()


@pytest.mark.parametrize("name", ["larsen2015", "hybrid", "vae", "dcgan", "broad2016"])
def test_every_recipe_has_a_page_that_is_one_file(tmp_path, frames_file, name):
    text = page_of(tmp_path, frames_file, name)
    assert HOSTILE not in text and html.escape(HOSTILE, quote=False)[:20] in text
    assert re.findall(r'(?:src|href)="(?!data:|#)[^"]*', text) == [] and "<script" not in text
    moved = text[text.index('id="moved"') :]
    assert len(re.findall("<img ", moved)) == 10 * 8
    effects = [float(value) for value in re.findall(r'<span class="remark">([0-9.]+) levels', moved)]
    assert len(effects) == 10 and effects == sorted(effects, reverse=True)
    assert len(re.findall("<rect ", text)) == 16
    assert ("no encoder that learns" in text) == (name == "hybrid")
    assert ("first of its samples" in text) == (name == "dcgan")
    record = json.loads(html.unescape(re.search('name="provenance" content="([^"]*)"', text)[1]))
    assert record["made_by"]["command"] == "render_network" and record["models"][0]["recipe"]["recipe"] == name
    assert json.loads(command("provenance", "--json", tmp_path / f"{name}.html").stdout) == record


def test_the_frame_is_that_of_the_moment_or_one_of_much_contrast(tmp_path, frames_file):
    assert "frame 30 of A film, at 0:01" in page_of(tmp_path, frames_file, "vae", "--at=00:00:01.26")
    content = bytearray(frames_file.read_bytes())
    frames = np.frombuffer(content, np.uint8, FRAMES * 48 * 64 * 3, FRAMES_OFFSET).reshape(FRAMES, -1)
    frames[:40] = 90  # of eight frames, evenly spaced, 45 alone has contrast
    (tmp_path / "even.h5").write_bytes(content)
    assert "frame 45 of A film" in page_of(tmp_path, tmp_path / "even.h5", "vae")


def test_a_moment_after_the_end_and_a_missing_film_are_named(tmp_path, frames_file):
    with pytest.raises(AssertionError, match="00:00:02 lies after the end of the film, which lasts 0:02"):
        page_of(tmp_path, frames_file, "vae", "--at=00:00:02")
    words = (f"--model={tmp_path / 'vae.safetensors'}", "--title=T", f"--page={tmp_path / 'no.html'}")
    assert "give --frames and --latents of a film" in refused(command("render_network", *words))
    generator = save_untrained(tmp_path / "dcgan.safetensors", recipe_named("dcgan"))
    words = (f"--model={generator}", *words[1:], "--at=00:00:01")
    assert "recipe dcgan has no encoder: give no --frames" in refused(command("render_network", *words))
    assert not (tmp_path / "no.html").exists()
