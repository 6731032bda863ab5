"""A few of the mutated films of `make fuzz`."""

from tests.fuzz import fuzz


def test_mutated_films_give_frames_or_one_line(tmp_path):
    outcomes, wrong = fuzz(count=32, seed=7, keep=tmp_path / "kept", workers=2)
    assert wrong == []
    assert {"frames", "one line"} == {outcome.split(": ")[1] for outcome in outcomes}
