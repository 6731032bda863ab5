"""How methods become functions that Snakemake calls."""

import inspect

from refilm.core.errors import RefilmError
from refilm.planning.snakemake_functions import exit_on_error, untracked
from tests.plans import planner, refusal


def test_an_error_ends_the_process_with_its_line(capsys):
    @exit_on_error
    def fail():
        raise RefilmError("films.x: wrong")

    assert refusal(capsys, fail) == "films.x: wrong"


def test_snakemake_tracks_the_params_of_a_function_unless_it_takes_the_output():
    """Snakemake looks at the signature: dag.py, `_is_deriving_function`."""
    plan = planner()
    films, models = plan.films, plan.models
    checks = (films.validation_options, films.download_options)
    for function in (plan.device, films.hwaccel, models.training_options, *checks, films.source_spec):
        assert list(inspect.signature(function).parameters) == ["wildcards", "output"], function.__name__
    titles = (films.title, models.title)
    for function in (
        models.recipe,
        plan.exports.audio,
        films.options,
        films.image_options,
        plan.comparisons.options,
        *titles,
    ):
        assert "output" not in inspect.signature(function).parameters, function.__name__
    assert untracked(lambda self, wildcards: wildcards)(None, 3, output="ignored") == 3
