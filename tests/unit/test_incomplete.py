"""Which files Snakemake takes for incomplete, as it writes them itself."""

import pytest
from snakemake.persistence.file import FilePersistence

from refilm.config.incomplete import incomplete_files


def test_as_snakemake_marks_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert incomplete_files() == frozenset()
    files = ["results/one_by_one.mp4", "results/é ü.mp4", f"results/{'a' * 150}/{'b' * 200}.mp4"]
    snakemake = FilePersistence()
    for file in (*files, "ended"):
        snakemake._mark_incomplete(file, None)
    snakemake._unmark_incomplete("ended")
    (tmp_path / ".snakemake/incomplete/something else").touch()
    assert incomplete_files() == set(files)


@pytest.mark.parametrize("name", ["migration_underway", "a", "=", "ÿ"])
def test_another_name_is_passed_over(tmp_path, name):
    (tmp_path / name).touch()
    assert incomplete_files(tmp_path) <= {""}
