"""What the rules of trainings and of samples ask."""

from refilm import layout
from refilm.config.model_folder import check_length, checkpoints
from refilm.config.recipe import metadata_of_model
from refilm.config.shared_training import fetch_training
from refilm.core.errors import RefilmError
from refilm.planning.plans import Plans
from refilm.planning.snakemake_functions import Wildcards, exit_on_error, untracked


class Models(Plans):
    """Models and their trainings."""

    @exit_on_error
    def recipe(self, wildcards: Wildcards) -> str:
        """Everything that decides the weights of a model, as one string."""
        return self.config.recipe(wildcards.model).to_json()

    @exit_on_error
    def training_frames(self, wildcards: Wildcards) -> list[str]:
        """The frames of a model's films; none where the model was trained with the recipe that is configured.

        So frames and films may be deleted once a model is trained, and nothing but its recipe trains it again. Raises
        RefilmError for a length that is shorter than was trained already.
        """
        if self.inputs.is_trained(wildcards.model):
            return []
        self._check_length(wildcards.model)
        return [self.inputs.model_frames(film, wildcards.model) for film in self.config.model(wildcards.model).films]

    @exit_on_error
    def preview_frames(self, wildcards: Wildcards) -> list[str]:
        """The frames of the films that a training shows besides its own; none where the model was trained."""
        films = [] if self.inputs.is_trained(wildcards.model) else self.config.preview_films(wildcards.model)
        return [self.inputs.model_frames(film, wildcards.model) for film in films]

    @exit_on_error
    def initial(self, wildcards: Wildcards) -> str | list[str]:
        """The model from whose weights another one starts; none where that was trained, or starts from random weights."""
        first = self.config.initial_model(wildcards.model)
        return self.inputs.model(first) if first and not self.inputs.is_trained(wildcards.model) else []

    @untracked
    @exit_on_error
    def file(self, wildcards: Wildcards) -> str:
        """The file of a model, which is in its path: a change of it needs no tracking."""
        return layout.model_file(wildcards.model)

    @exit_on_error
    def early_source(self, wildcards: Wildcards) -> str | list[str]:
        """The model whose training keeps a model after so many steps; none where that was kept. Raises RefilmError where
        it is not."""
        model, step = wildcards.model, int(wildcards.step)
        if self.inputs.find(f"{model}@{step}"):
            return []
        self._check_keeps(model, step)
        return self.inputs.model(model)

    @exit_on_error
    def encoder(self, wildcards: Wildcards) -> str:
        """The model that encodes a film. Raises RefilmError for one that has no encoder."""
        return self.inputs.encoder(wildcards.model)

    @exit_on_error
    def sampled(self, wildcards: Wildcards) -> str:
        """The model that makes samples. Raises RefilmError for one that has no prior."""
        self.config.check_samples(wildcards.model)
        return self.inputs.model(wildcards.model)

    @exit_on_error
    def model(self, wildcards: Wildcards) -> str:
        """A trained model."""
        return self.inputs.model(wildcards.model)

    @untracked
    @exit_on_error
    def training_options(self, wildcards: Wildcards) -> list[str]:
        """How a model is trained and what is written besides it: the model is the same."""
        settings = self.config.settings
        options = [f"--gpus={settings.gpus}", f"--compile={str(settings.compile).lower()}"]
        options += [f"--keep={step}" for step in self.config.kept_steps(wildcards.model)]
        return options + (["--tensorboard"] if settings.tensorboard else [])

    @exit_on_error
    def title(self, wildcards: Wildcards) -> str:
        """The title of a model in pictures."""
        return self.config.model_title(wildcards.model)

    def _check_keeps(self, model: str, step: int) -> None:
        """Raises RefilmError if a training does not keep its model after `step` steps, or did not when it was there."""
        folder, recipe = self.inputs.trained(model)
        place, total, reached = f"model '{model}@{step}'", recipe.steps, 0
        for latest, checkpoint in checkpoints(folder.state / recipe.state_key())[:1]:
            frames, reached = metadata_of_model(checkpoint).get("frames"), latest
            total = recipe.total_steps(int(frames)) if frames else total
        if trained := folder.find(recipe):
            total = reached = int(metadata_of_model(trained).get("steps", 0))
        if total and step > total:
            raise RefilmError(f"{place}: the training of '{model}' has {total:,} steps: ask for one of them")
        if reached >= step:
            fetch_training(folder, recipe)
            if not folder.find_early(recipe, step):
                raise RefilmError(
                    f"{place}: the training of '{model}' is past step {step} and did not keep it: to have it, train a model "
                    f"of another name with the same keys and keep: [{step}], or this one with another seed"
                )
        elif step != total and step not in self.config.kept_steps(model):
            raise RefilmError(
                f"{place}: the training of '{model}' does not keep this step: add keep: [{step}] to models.{model}"
            )

    def _check_length(self, model: str) -> None:
        folder, recipe = self.inputs.trained(model)
        for step, checkpoint in checkpoints(folder.state / recipe.state_key())[:1]:
            frames = metadata_of_model(checkpoint).get("frames")  # refilm 0.2 did not write it
            if recipe.steps is not None or frames:
                check_length(checkpoint.parent, step, recipe.total_steps(int(frames or 0)))
