"""A few of the films of `make fuzz`."""

from tests import fuzz, fuzz_formats


def test_mutated_films_give_frames_or_one_line(tmp_path):
    outcomes, wrong = fuzz.fuzz(count=32, seed=7, keep=tmp_path / "kept", workers=2)
    assert wrong == []
    assert {"frames", "one line"} == {outcome.split(": ")[1] for outcome in outcomes}


def test_films_of_every_format_give_their_frames_and_sound(tmp_path):
    outcomes, wrong = fuzz_formats.fuzz(count=24, seed=7, keep=tmp_path / "kept", workers=2)
    assert wrong == []
    assert sum(outcomes.values()) == 24
