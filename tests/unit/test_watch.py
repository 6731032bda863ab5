"""Watching jobs: the table of what runs, and the file that a job writes beside its log."""

import json
import os
import socket
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

from refilm.core import job_status
from refilm.core.progress import progress_bar
from refilm.watch import table
from tests.conftest import command

NOW = 1_000_000.0


def job(rule: str, name: str, **values) -> dict:
    """A job of this process that has just written."""
    usual = {"state": "running", "host": socket.gethostname(), "pid": os.getpid(), "started": NOW - 60, "updated": NOW}
    return {"rule": rule, "job": name} | usual | values


TRAINING = job(
    "train_model", "koyaanisqatsi-and-powaqqatsi", host="gpu01.cluster", gpus="3", done=123_456, total=1_020_000, rate=72.51,
    eta_seconds=12_364.0, metrics={"psnr": 23.14, "d_real": 0.6}, updated=NOW - 4,
)  # fmt: skip
VIDEO = job("render_video", "koyaanisqatsi_by_bladerunner", done=50, total=200, rate=0.5, eta_seconds=300.0)
STARTING = job("render_stills", "two_by_one")


def test_every_running_job_is_a_row_of_numbers():
    lines = table([TRAINING, STARTING, VIDEO], NOW, 120)
    rows = {line.split()[0]: line.split() for line in lines}
    assert list(rows) == [
        "done", "render_stills", "two_by_one", "render_video", "koyaanisqatsi_by_bladerunner", "train_model",
        "koyaanisqatsi-and-powaqqatsi",
    ]  # fmt: skip
    assert rows["koyaanisqatsi-and-powaqqatsi"][1:] == [
        "123k/1.02M",
        "12%",
        "72.5",
        "3.4",
        "h",
        "23.1",
        "dB",
        "4",
        "s",
        "gpu01:3",
    ]
    assert " ".join(rows["koyaanisqatsi_by_bladerunner"][1:-1]) == "50/200 25% 0.5 5 min 0 s"
    assert rows["two_by_one"][1:-1] == ["0", "s"]


def test_the_picture_of_a_training_is_named_once_it_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not any("now.png" in line for line in table([TRAINING, VIDEO], NOW, 120))
    picture = Path("results/models/koyaanisqatsi-and-powaqqatsi/previews/now.png")
    picture.parent.mkdir(parents=True)
    picture.touch()
    assert table([TRAINING, VIDEO], NOW, 120)[-1] == f"to see: {picture}"


def test_it_fits_a_terminal_of_80_columns_and_names_still_differ():
    lines = table([TRAINING, STARTING, VIDEO], NOW, 80)
    assert max(map(len, lines)) <= 80
    assert len({line.index("koy") for line in lines if "koy" in line}) == 1
    (training,) = [line for line in lines if "atsi  " in line]
    (video,) = [line for line in lines if "runner  " in line]
    assert "…" in training and "…" in video and training.endswith("gpu01:3")
    assert video.index("25%") == training.index("12%")


def test_a_job_whose_process_is_gone_is_listed_as_killed():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    lines = table([VIDEO | {"pid": gone.pid, "updated": NOW - 120}], NOW, 80)
    assert lines[0] == "nothing is running"
    assert lines[-1].split() == [
        "killed",
        "2",
        "min",
        "ago",
        "render_video",
        "koyaanisqatsi_by_bladerunner:",
        "its",
        "process",
        "i…",
    ]


def test_a_job_of_another_machine_that_is_silent_is_marked_and_later_taken_for_lost():
    far = VIDEO | {"host": "node7", "pid": 1}
    assert "!" not in "".join(table([far | {"updated": NOW - 200}], NOW, 80))
    marked = table([far | {"updated": NOW - 400}], NOW, 80)
    assert "7 min !" in marked[2] and "it may have been killed" in marked[-1]
    assert table([far | {"updated": NOW - 4000}], NOW, 80)[0] == "nothing is running"


def test_the_newest_that_ended_are_shown_and_no_more():
    ended = [job("encode_film", f"film-{n}", state="done", updated=NOW - n) for n in range(100, 0, -1)]
    failed = job("extract_frames", "64x48/two", state="failed", updated=NOW - 200, message="films/two.mkv: broken")
    lines = table(ended, NOW, 80)
    assert [line.split()[-1] for line in lines[-5:]] == [f"film-{n}" for n in range(1, 6)] and len(lines) == 8
    assert table([failed], NOW, 80)[-1].split("  ")[-1] == "extract_frames 64x48/two: films/two.mkv: broken"


def test_the_command_reads_the_files_of_the_working_directory(tmp_path):
    assert command("watch", "--once", cwd=tmp_path).stdout == "nothing is running\n"
    for number, values in enumerate((TRAINING, VIDEO)):
        file = tmp_path / "logs" / values["rule"] / "deep" / f"{number}.progress.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(values | {"updated": time.time()}))
    (tmp_path / "logs" / "torn.progress.json").write_text('{"rule": "x"')
    (tmp_path / "logs" / "render_video" / ".left.progress.json.new").write_text(json.dumps(VIDEO | {"job": "left"}))
    done = command("watch", cwd=tmp_path)
    assert done.returncode == 0 and "123k/1.02M" in done.stdout and "50/200" in done.stdout
    assert "\x1b" not in done.stdout and "left" not in done.stdout


# --- the page


class Page(HTMLParser):
    """The texts, the pictures and the curves of a page, as a browser would see them."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag: str, attribute: str) -> list[str]:
        return [attributes[attribute] for name, attributes in self.tags if name == tag]


def page_of(folder: Path, *jobs) -> Page:
    for number, values in enumerate(jobs):
        file = folder / "logs" / values["rule"] / f"{number}.progress.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values | {"updated": time.time()}))
    done = command("watch", "--once", "--page=results/watch.html", cwd=folder)
    assert done.returncode == 0, done.stderr
    return Page((folder / "results" / "watch.html").read_text())


def test_the_page_shows_the_picture_and_the_curves_of_a_training(tmp_path):
    model = tmp_path / "results" / "models" / "one"
    (model / "previews").mkdir(parents=True)
    (model / "previews" / "now.png").touch()
    rows = ["step,psnr,seen_psnr,held_out_psnr", "20,9,,", *(f"{n},9,{20 + n / 100},20" for n in range(100, 100_100, 100))]
    (model / "training.csv").write_text("\n".join(rows) + "\n")
    page = page_of(tmp_path, TRAINING | {"job": "one"}, VIDEO)
    (picture,) = page.all("img", "src")
    assert picture.partition("?")[0] == "models/one/previews/now.png"
    seen, held_out = (
        [tuple(map(float, point.split(","))) for point in points.split()] for points in page.all("polyline", "points")
    )
    assert 250 < len(seen) <= 601 and seen[-1] == (600, 0), "the last value is the highest, at the right"
    assert {y for _, y in held_out} == {140} and [y for _, y in seen] == sorted((y for _, y in seen), reverse=True)
    text = " ".join(" ".join(page.texts).split())
    assert "2 jobs are running" in text and "seen: 1020.0 dB" in text and "another 3.4 h" in text


def test_a_predictor_that_trains_shows_its_latest_dream_and_how_far_it_sees(tmp_path, monkeypatch):
    folder = tmp_path / "results" / "predictors" / "one"
    (folder / "previews").mkdir(parents=True)
    for step in (40, 200):
        (folder / "previews" / f"step-{step:09}.png").touch()
    rows = ["step,loss,seen_gain,held_out_gain", "20,9,,", "40,9,1.5,-0.5", "200,8,12.5,0.2"]
    (folder / "training.csv").write_text("\n".join(rows) + "\n")
    training = TRAINING | {"rule": "train_predictor", "job": "one"}
    page = page_of(tmp_path, training)
    (picture,) = page.all("img", "src")
    assert picture.partition("?")[0] == "predictors/one/previews/step-000000200.png"
    seen, held_out = page.all("polyline", "points")
    assert seen == "120.0,118.5 600.0,0.0" and held_out.startswith("120.0,140.0 ")
    assert "over standing still" in " ".join(page.texts) and "seen: 12.5 dB" in page.texts
    monkeypatch.chdir(tmp_path)
    assert table([training], NOW, 120)[-1] == "to see: results/predictors/one/previews/step-000000200.png"


def test_the_page_of_no_job_and_of_a_training_that_has_just_begun(tmp_path):
    assert "Nothing is running" in page_of(tmp_path).texts
    page = page_of(tmp_path, STARTING | {"rule": "train_model"})
    assert page.all("img", "src") == [] and page.all("polyline", "points") == []


def test_what_a_job_is_called_and_says_runs_no_script(tmp_path):
    hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    page = page_of(tmp_path, TRAINING | {"job": hostile}, VIDEO | {"state": "failed", "job": hostile, "message": hostile})
    assert not {"script", "img"} & {tag for tag, _ in page.tags} and page.texts.count(hostile) == 4


# --- what a job writes


@pytest.fixture
def progress(tmp_path, monkeypatch) -> Path:
    """The file of a job that has begun, and ends with the test."""
    monkeypatch.setenv("REFILM_LOG", str(tmp_path / "logs" / "encode_film" / "64x48" / "one.log"))
    monkeypatch.setattr(sys, "argv", ["/somewhere/refilm/encode_film.py", "--frames=x"])
    monkeypatch.setattr(job_status, "_status", None)
    file = tmp_path / "logs" / "encode_film" / "64x48" / "one.progress.json"
    file.parent.mkdir(parents=True)
    job_status.begin()
    return file


def written(file: Path) -> dict:
    return json.loads(file.read_text())


def test_the_file_follows_the_bars_one_after_another(progress, monkeypatch):
    assert written(progress).items() >= {"rule": "encode_film", "job": "64x48/one", "state": "running"}.items()
    with progress_bar("check one", 7, "B", scaled=True) as bar:
        assert written(progress)["total"] == 7
        bar.update(7)
    assert written(progress)["done"] == 7
    with progress_bar("encode one", 200, " frames", initial=100) as bar:
        bar.update(50)
        assert written(progress)["done"] == 100  # it was written a moment ago
        later = time.monotonic() + 6
        monkeypatch.setattr(time, "monotonic", lambda: later)
        bar.update(10)
        values = written(progress)
        assert values["done"] == 160 and values["total"] == 200 and values["unit"] == "frames"
        assert values["eta_seconds"] == pytest.approx(40 / values["rate"])
    job_status.end("failed", "the disk is full")
    assert written(progress)["state"] == "failed" and written(progress)["message"] == "the disk is full"
    assert 5 < written(progress)["peak_mb"] < 100_000
    assert [file.name for file in progress.parent.iterdir()] == [progress.name]


def test_a_hidden_bar_and_a_child_process_write_nothing(progress):
    before = progress.read_bytes()
    with progress_bar("shard 1", 7, " steps", hidden=True) as bar:
        bar.update(7)
    assert progress.read_bytes() == before and "REFILM_LOG" not in os.environ


def test_a_job_runs_without_its_file_where_it_cannot_be_written(progress):
    progress.unlink()
    progress.parent.rmdir()
    with progress_bar("encode one", 7, " frames") as bar:
        bar.update(7)
    job_status.end("done")


def test_a_command_run_by_hand_writes_no_file(tmp_path, film):
    done = command("extract_frames", f"--source={film}", "--frames=logs/one.h5", "--size=64x48", cwd=tmp_path)
    assert done.returncode == 0 and not list(tmp_path.rglob("*.progress.json"))
