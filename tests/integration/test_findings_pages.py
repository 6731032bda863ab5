"""Findings as files: of a film that was trained on and one that was not, of each recipe that reconstructs."""

import html
import json
import re

import pandas as pd
import pytest

from tests.conftest import command, refused
from tests.helpers import done
from tests.models import recipe_named, save_untrained

HOSTILE = "<script>alert(1)</script>"


def words_of(folder, frames, name: str, **keys) -> list[str]:
    """The options for two films, of which a small model was trained on the first by its recipe."""
    model = save_untrained(folder / f"{name}.safetensors", recipe_named(name, films={"one": {}}, **keys))
    latents, metrics = folder / f"{name}.h5", folder / f"{name}.csv"
    film = (f"--frames={frames}", f"--model={model}", f"--latents={latents}", "--device=cpu")
    done(command("encode_film", *film))
    done(command("measure_film", *film, f"--metrics={metrics}"))
    files = {"frames": str(frames), "latents": str(latents), "metrics": str(metrics)}
    beside = {"title": "Other", "metrics": str(metrics), "watched": True, "holdout_fraction": 0, "seed": 0}
    films = [
        {"name": "one", "title": "One", **files, "beside": []},
        {"name": "two", "title": HOSTILE, **files, "beside": [beside]},
    ]
    out = (f"--page={folder / name}.html", f"--table={folder / name}.md")
    return [f"--model={model}", "--title=T", f"--films={json.dumps(films)}", *out, "--made-of=digest", "--device=cpu"]


@pytest.mark.parametrize("name", ["vae", "broad2016"])
def test_findings_are_a_page_and_a_table_and_the_same_each_time(tmp_path, frames_file, name):
    words = words_of(tmp_path, frames_file, name)
    assert "2. Low contrast comes back worst: " in done(command("render_findings", *words))
    page, table = ((tmp_path / f"{name}.{suffix}").read_text() for suffix in ("html", "md"))
    assert HOSTILE not in page and html.escape(HOSTILE) in page
    assert re.findall(r'(?:src|href)="(?!data:|#)[^"]*', page) == []
    assert table.startswith("# T: what the text of 2016 says") and table.count("\n## ") == 6
    assert "| trained on | 48 | 1 | One |" in table and "| never seen | 48 | 1 |" in table
    record = json.loads(command("provenance", "--json", tmp_path / f"{name}.html").stdout)
    assert record["made_by"]["command"] == "render_findings" and record["models"][0]["recipe"]["recipe"] == name
    if name == "vae":
        done(command("render_findings", *words, environment={}))  # with other hashes
    assert page == (tmp_path / f"{name}.html").read_text() and table == (tmp_path / f"{name}.md").read_text()


def test_metrics_of_another_film_are_refused(tmp_path, frames_file):
    words = words_of(tmp_path, frames_file, "autoencoder")
    pd.read_csv(tmp_path / "autoencoder.csv").iloc[:20].to_csv(tmp_path / "autoencoder.csv", index=False)
    line = refused(command("render_findings", *words))
    assert line.endswith("autoencoder.csv: 20 rows, but the film has 48 frames: delete it to measure it again")
    assert "--films: none is given" in refused(command("render_findings", *words[:2], "--films=[]", *words[3:]))
    assert not list(tmp_path.glob("*.html"))
