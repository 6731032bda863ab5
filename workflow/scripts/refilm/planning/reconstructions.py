"""What the rules of one film by one model ask: latents, videos, sheets, stills, clips, measures."""

from refilm import layout
from refilm.config.keys import VideoKeys, defaults
from refilm.core.errors import RefilmError
from refilm.core.times import parse_time
from refilm.planning.plans import PairPlans
from refilm.planning.snakemake_functions import Wildcards, exit_on_error, untracked
from refilm.planning.texts import path_of


class Reconstructions(PairPlans):
    """Films as models reconstruct them."""

    @exit_on_error
    def frames(self, wildcards: Wildcards) -> str:
        """The frames of the film, at the size of the model."""
        return self.inputs.model_frames(wildcards.film, wildcards.model)

    @untracked
    @exit_on_error
    def search(self, _wildcards: Wildcards) -> int:
        """Steps of the latent search. What is `encoded` has them, so that 0 makes nothing again that was made before."""
        return self.config.reconstruction.search

    @exit_on_error
    def video_made_of(self, wildcards: Wildcards) -> str:
        """What decides a video besides its sound and quality. Videos of versions without chapters are current."""
        chapters = self.config.video.chapters
        return self.encoded(wildcards) + (f", chapters: {chapters}" if chapters != defaults(VideoKeys)["chapters"] else "")

    @untracked
    def chapters(self, wildcards: Wildcards) -> str:
        """Which chapters a video has; `video_made_of` tracks it."""
        return self.config.video.chapters

    def shots_of_chapters(self, wildcards: Wildcards) -> list[str]:
        """The table of shots that become the chapters of a video, where the configuration wants that."""
        return [layout.SHOTS.format(film=wildcards.film)] if self.config.video.chapters == "shots" else []

    @exit_on_error
    def ordering_metrics(self, wildcards: Wildcards) -> str | list[str]:
        """The metrics by which the shots of a sheet are ordered; none for all shots in their order."""
        if wildcards.order == "shots":
            return []
        return self.inputs.ancient(layout.METRICS.format(film=wildcards.film, model=wildcards.model))

    @untracked
    def order(self, wildcards: Wildcards) -> str:
        """The order of a sheet, which is in its path."""
        return wildcards.order

    @untracked
    def moment(self, wildcards: Wildcards) -> str:
        """The moment of a still, which is in its path."""
        return layout.clock_time(wildcards.moment)

    @untracked
    @exit_on_error
    def span(self, wildcards: Wildcards) -> list[str]:
        """The part of a film that a clip shows, which is in its path. Raises RefilmError for none, or too long a one."""
        path, times = path_of(layout.CLIP, wildcards), [layout.clock_time(time) for time in (wildcards.start, wildcards.end)]
        start, end = (parse_time(time, path) for time in times)
        if start >= end:
            raise RefilmError(f"{path}: it ends before it begins: name the earlier time first")
        if end - start > layout.MAX_CLIP_SECONDS:
            raise RefilmError(f"{path}: {float(end - start):g} s are too long: at most {layout.MAX_CLIP_SECONDS} s fit")
        return [f"--start={times[0]}", f"--end={times[1]}"]
