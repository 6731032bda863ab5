"""What the rule of predictors asks."""

from collections.abc import Sequence

from refilm.config.model_folder import check_length, checkpoints
from refilm.config.recipe import metadata_of_model
from refilm.planning.plans import Plans
from refilm.planning.snakemake_functions import Wildcards, exit_on_error, untracked


class Predictors(Plans):
    """Predictors, each of the latents of one model."""

    @exit_on_error
    def recipe(self, wildcards: Wildcards) -> str:
        """Everything that decides the weights of a predictor, as one string."""
        return self.config.predictor_recipe(wildcards.model).to_json()

    @exit_on_error
    def latents(self, wildcards: Wildcards) -> list[str]:
        """The latents of a model's films, by that model; none where its predictor was trained as it is configured."""
        return [self.inputs.latents(film, wildcards.model) for film in self._films(wildcards.model)]

    @exit_on_error
    def frames(self, wildcards: Wildcards) -> list[str]:
        """The frames of the same films, which say where the shots are."""
        return [self.inputs.model_frames(film, wildcards.model) for film in self._films(wildcards.model)]

    @exit_on_error
    def model(self, wildcards: Wildcards) -> str | list[str]:
        """The model of a predictor; none where that was trained."""
        return self.inputs.encoder(wildcards.model) if self._films(wildcards.model) else []

    @untracked
    def training_options(self, _wildcards: Wildcards) -> list[str]:
        """Whether a training writes TensorBoard events too: what is trained is the same."""
        return ["--tensorboard"] if self.config.settings.tensorboard else []

    def _films(self, model: str) -> Sequence[str]:
        """The films that the predictor of a model is yet to be trained on. Raises RefilmError for a length that is shorter
        than was trained already."""
        folder, recipe = self.inputs.predictor_folder(model), self.config.predictor_recipe(model)
        if folder.find(recipe):
            return ()
        for step, checkpoint in checkpoints(folder.state / recipe.state_key())[:1]:
            if frames := metadata_of_model(checkpoint).get("frames"):
                check_length(checkpoint.parent, step, recipe.total_steps(int(frames)))
        return self.config.model(model).films
