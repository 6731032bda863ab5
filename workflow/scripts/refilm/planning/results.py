"""Which results are asked for, and which can be made.

What was made stays, and can be used, when that of which it was made is deleted: frames without their film, latents without
frames and film, pictures without either. Such results are excluded from the rules that make them, so Snakemake takes them as
they are, whatever is edited or forced. A result that is not there, but needs what was deleted, is an error that says what to
put where.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from refilm import layout
from refilm.config.keys import SLUG, ComparisonKeys, WalkKeys
from refilm.core.errors import RefilmError
from refilm.planning.findings import Findings
from refilm.planning.inputs import Inputs
from refilm.planning.networks import Networks
from refilm.planning.plans import Plans
from refilm.planning.snakemake_functions import exit_on_error

SIZE = "[0-9]+x[0-9]+"


class Results(Plans):
    """All results of a configuration, on the files of the working directory."""

    def __init__(self, inputs: Inputs, networks: Networks, findings: Findings):
        super().__init__(inputs)
        self.networks, self.findings = networks, findings

    def targets(self) -> list[str]:
        """All files that the configuration lists."""
        return [result.path for result in layout.catalogue(self.config)]

    def known(self) -> list[str]:
        """These, and what is named by one film or one model of the configuration."""
        of_films = [result.format(film=film) for film in self.config.films for result in layout.OF_FILM]
        of_models = [result.format(model=model) for model in self.config.models for result in layout.OF_MODEL]
        return [*self.targets(), *of_films, *of_models]

    def made_from(self, names: Mapping[str, str]) -> bool:
        """Whether a plan of a result that is there succeeds: nothing was deleted or replaced that it would be made of
        again."""
        comparison = self.config.comparisons.get(names.get("comparison", ""))
        one = self.config.posters.get(names.get("poster", "")) or self.config.dreams.get(names.get("dream", ""))
        shown = comparison or one
        films = [shown.film] if shown else [names["film"]] if "film" in names else []
        models = [one.model] if one else [names["model"]] if "model" in names else []
        models += comparison.models if comparison else []
        if walk := self.config.walks.get(names.get("walk", "")):
            films, models = [*walk.films, *filter(None, [walk.sound])], [walk.model]
        if bend := self.config.bends.get(names.get("bend", "")):
            films, models = [*filter(None, [bend.film])], [bend.model]
        for model in models:
            films += [] if self.inputs.is_trained(model) else self.config.model(model).films
        return all(self.inputs.is_available(film) and not self.inputs.replacement(film) for film in films)

    def to_make(self, result: str) -> str:
        """The first wildcard of a result, for all but those that are there and cannot be made again."""
        start = result.index("{")
        kept = [re.escape(str(file)[start:]) for file in self._kept(result)]
        refused = f"(?!(?:{'|'.join(kept)})$)" if kept else ""
        return refused + (SIZE if result[start:].startswith("{size}") else SLUG)

    @exit_on_error
    def check_targets(self, targets: Iterable[str]) -> None:
        """Raises RefilmError for a target that is there and has no rule: Snakemake takes those as inputs only."""
        wanted = set(targets)
        for result in layout.RESULTS:
            for file in self._kept(result):
                if str(file) in wanted:
                    raise RefilmError(
                        f"{file}: this file exists and cannot be made again, since its film was deleted: do not ask for it"
                    )

    def _kept(self, result: str) -> list[Path]:
        """The files of a result that cannot be made again, since their film was deleted."""
        deleted = {film for film in self.config.films if not self.inputs.is_available(film)}
        return [file for file in layout.existing(result) if self._is_kept(result, file, deleted)] if deleted else []

    def _is_kept(self, result: str, file: Path, deleted: set[str]) -> bool:
        names = layout.wildcards(result, file)
        if result == layout.WALK:
            return names.get("walk") in self.config.walks and self._is_walk_kept(self.config.walks[names["walk"]], deleted)
        if result == layout.BEND:
            bend = self.config.bends.get(names.get("bend", ""))
            return bool(bend and bend.film in deleted and self.config.has_sound(str(bend.film)))
        comparison = self.config.comparisons.get(names.get("comparison", ""))
        one = self.config.exports.get(names.get("export", "")) or self.config.posters.get(names.get("poster", ""))
        shown = comparison or one or self.config.dreams.get(names.get("dream", ""))
        known = names.get("model", "") in self.config.models
        of_model = self.networks.film(names["model"]) if known and "film" not in names else ""
        if result in (layout.FINDINGS, layout.FINDINGS_TABLE):
            films = self.findings.films_of(names["model"]) if known else []
            return any(
                film in deleted and not Path(self.inputs.frames_file(film, names["model"])).exists() for film in films
            )
        film = shown.film if shown else names.get("film", of_model)
        in_gallery = self.config.gallery.get((film, names.get("size", "")), [""])
        model = names.get("model", in_gallery[0])
        if shown:
            model = shown.models[0] if isinstance(shown, ComparisonKeys) else shown.model
        if film not in deleted or result in (layout.FRAMES, layout.CROP_PREVIEW):
            return film in deleted
        if result == layout.SHOTS:
            return not Path(layout.FRAMES.format(size=self.config.frame_size, film=film)).exists()
        if layout.split_step(model)[0] not in self.config.models:
            return False
        if result == layout.LATENTS and not self.inputs.are_current(film, model):
            return False
        sounding = (layout.VIDEO, layout.EXPORT_FILE, layout.EXPORT_FOLDER, layout.DREAM)
        with_original = (layout.COMPARISON, layout.COMPOSITE, layout.COMPARISON_PAGE)
        needs_sound = result in (*sounding, *with_original) and self.config.has_sound(film)
        needs_frames = (
            result not in (*sounding, layout.POSTER, layout.POSTER_PAGE)
            and not Path(self.inputs.frames_file(film, model)).exists()
        )
        return needs_sound or needs_frames

    def _is_walk_kept(self, walk: WalkKeys, deleted: set[str]) -> bool:
        """Whether a walk needs a film that was deleted: for its sound, or for frames that are deleted too."""
        shown = {*(walk.films if walk.kind == "nearest" else ()), *filter(None, [walk.sound])}
        missing = {film for film in shown & deleted if not Path(self.inputs.frames_file(film, walk.model)).exists()}
        return bool(missing) or walk.sound in deleted
