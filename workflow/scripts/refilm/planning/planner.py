"""What the rules ask: which files a job needs, with which options, and what is missing.

A planner is made of a checked configuration. Each of its parts answers for the rules of some results: its methods take a
job's wildcards, and look at the disk where a plan depends on what is there.
"""

from collections.abc import Callable

from refilm.config.configuration import Config
from refilm.config.model_folder import model_folders
from refilm.planning.bends import Bends
from refilm.planning.comparisons import Comparisons
from refilm.planning.dreams import Dreams
from refilm.planning.exports import Exports, Posters
from refilm.planning.films import Films
from refilm.planning.findings import Findings
from refilm.planning.gallery import Gallery
from refilm.planning.inputs import Inputs
from refilm.planning.models import Models
from refilm.planning.networks import Networks
from refilm.planning.predictors import Predictors
from refilm.planning.reconstructions import Reconstructions
from refilm.planning.results import Results
from refilm.planning.snakemake_functions import Wildcards, exit_on_error, untracked
from refilm.planning.walks import Walks


class Planner:
    """Answers for one configuration, on the files of the working directory."""

    def __init__(self, config: Config, ancient: Callable[[str], str] = str, checks_films: bool = True):
        """ancient: Snakemake's mark of an input whose time is ignored; checks_films: whether film files are compared with
        those that frames were made of. A job trusts the plan."""
        self.config, self.inputs = config, Inputs(config, ancient, checks_films)
        self.films, self.models = Films(self.inputs), Models(self.inputs)
        self.reconstructions, self.comparisons = Reconstructions(self.inputs), Comparisons(self.inputs)
        self.exports, self.posters = Exports(self.inputs), Posters(self.inputs)
        self.walks, self.bends = Walks(self.inputs), Bends(self.inputs)
        self.predictors, self.dreams = Predictors(self.inputs), Dreams(self.inputs)
        self.networks = Networks(self.inputs)
        self.findings = Findings(self.inputs, self.networks)
        self.gallery = Gallery(self.inputs, self.networks, self.findings)
        self.results = Results(self.inputs, self.networks, self.findings)

    @untracked
    @exit_on_error
    def device(self, _wildcards: Wildcards) -> str:
        """What the networks run on: another device makes no work again."""
        return self.config.settings.device

    @exit_on_error
    def keep_models(self) -> None:
        """Before anything is planned: keep every trained model, and link those that are missing to what was kept."""
        for folder in model_folders():
            folder.keep()
        for model in self.config.models:
            folder, recipe = self.inputs.trained(model)
            folder.inherit_early(recipe)
            folder.restore(recipe)
        for model in {dream.model for dream in self.config.dreams.values()}:
            self.inputs.predictor_folder(model).restore(self.config.predictor_recipe(model))
