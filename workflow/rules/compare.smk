"""Originals beside their reconstructions, to be seen and measured.

Input       frames, latents, models, the film's own sound
Output      results/comparisons/{comparison}.mp4, results/metrics/{film}_by_{model}.csv
            results/stills/{film}_by_{model}.png, a sheet; _shots.png, _best.png, _worst.png, one of shots
            results/stills/{film}_by_{model}@{moment}.png, a still
            results/clips/{film}_by_{model}@{start}_to_{end}.gif or .webp
Steps       each decodes of the latents what it shows
"""


rule render_comparison:
    input:
        frames=planner.comparisons.frames,
        latents=planner.comparisons.latents,
        models=planner.comparisons.models,
        source=planner.comparisons.sound_source,
    output:
        clip=layout.COMPARISON,
    log:
        layout.log("render_comparison", "{comparison}"),
    benchmark:
        layout.benchmark("render_comparison", "{comparison}")
    wildcard_constraints:
        comparison=planner.results.to_make(layout.COMPARISON),
    conda:
        "../../envs/refilm.yaml"
    threads: needs.threads(needs.compare_runtime)
    resources:
        gpu=needs.gpu(needs.compare_runtime),
        mem_mb=needs.network_mem_mb,
        runtime=needs.compare_runtime,
        disk_mb=needs.compare_disk_mb,
    params:
        made_of=planner.comparisons.made_of,
        options=planner.comparisons.options,
        audio=planner.comparisons.audio,
        crf=planner.config.video.crf,
        device=planner.device,
    message:
        "{wildcards.comparison}: original and reconstructions in one picture"
    shell:
        step(
            "render_comparison"
            " --frames={input.frames:q}"
            " --latents {input.latents:q}"
            " --models {input.models:q}"
            " --source={input.source:q}"
            " --audio={params.audio:q}"
            " --clip={output.clip:q}"
            " {params.options:q}"
            " --crf={params.crf}"
            " --device={params.device:q}"
        )


# On the CPU: a few frames are decoded sooner than a GPU is free.
rule render_stills:
    input:
        frames=planner.reconstructions.frames,
        latents=planner.reconstructions.latents,
        model=planner.reconstructions.model,
    output:
        sheet=layout.STILLS,
    log:
        layout.log("render_stills", layout.PAIR),
    wildcard_constraints:
        film=planner.results.to_make(layout.STILLS),
    conda:
        "../../envs/refilm.yaml"
    threads: needs.few_threads
    resources:
        mem_mb=needs.network_mem_mb,
        runtime="1h",
    params:
        made_of=planner.reconstructions.encoded,
        title=planner.films.title,
        by=planner.models.title,
    message:
        "{wildcards.film} by {wildcards.model}: contact sheet"
    shell:
        step(
            "render_stills"
            " --frames={input.frames:q}"
            " --latents={input.latents:q}"
            " --model={input.model:q}"
            " --title={params.title:q}"
            " --by={params.by:q}"
            " --sheet={output.sheet:q}"
            " --device=cpu"
        )


rule render_ordered_stills:
    input:
        frames=planner.reconstructions.frames,
        latents=planner.reconstructions.latents,
        model=planner.reconstructions.model,
        metrics=planner.reconstructions.ordering_metrics,
    output:
        sheet=layout.ORDERED_STILLS,
    log:
        layout.log("render_stills", f"{layout.PAIR}_{{order}}"),
    wildcard_constraints:
        film=planner.results.to_make(layout.ORDERED_STILLS),
        order="|".join(layout.ORDERS),
    conda:
        "../../envs/refilm.yaml"
    threads: needs.few_threads
    resources:
        mem_mb=needs.network_mem_mb,
        runtime="1h",
    params:
        made_of=planner.reconstructions.encoded,
        title=planner.films.title,
        by=planner.models.title,
        order=planner.reconstructions.order,
    message:
        "{wildcards.film} by {wildcards.model}: contact sheet, {wildcards.order}"
    shell:
        step(
            "render_stills"
            " --frames={input.frames:q}"
            " --latents={input.latents:q}"
            " --model={input.model:q}"
            " --metrics={input.metrics:q}"
            " --title={params.title:q}"
            " --by={params.by:q}"
            " --order={params.order}"
            " --sheet={output.sheet:q}"
            " --device=cpu"
        )


rule render_moment:
    input:
        frames=planner.reconstructions.frames,
        latents=planner.reconstructions.latents,
        model=planner.reconstructions.model,
    output:
        still=layout.MOMENT,
    log:
        layout.log("render_moment", f"{layout.PAIR}@{{moment}}"),
    wildcard_constraints:
        film=planner.results.to_make(layout.MOMENT),
        moment=layout.MOMENT_TIME,
    conda:
        "../../envs/refilm.yaml"
    threads: needs.few_threads
    resources:
        mem_mb=needs.network_mem_mb,
        runtime="1h",
    params:
        made_of=planner.reconstructions.encoded,
        title=planner.films.title,
        by=planner.models.title,
        at=planner.reconstructions.moment,
    message:
        "{wildcards.film} by {wildcards.model}: the frame at {wildcards.moment}"
    shell:
        step(
            "render_moment"
            " --frames={input.frames:q}"
            " --latents={input.latents:q}"
            " --model={input.model:q}"
            " --title={params.title:q}"
            " --by={params.by:q}"
            " --at={params.at:q}"
            " --still={output.still:q}"
            " --device=cpu"
        )


rule render_clip:
    input:
        frames=planner.reconstructions.frames,
        latents=planner.reconstructions.latents,
        model=planner.reconstructions.model,
    output:
        clip=layout.CLIP,
    log:
        layout.log("render_clip", f"{layout.PAIR}@{{start}}_to_{{end}}.{{suffix}}"),
    wildcard_constraints:
        film=planner.results.to_make(layout.CLIP),
        start=layout.MOMENT_TIME,
        end=layout.MOMENT_TIME,
        suffix="gif|webp",
    conda:
        "../../envs/refilm.yaml"
    threads: needs.few_threads
    resources:
        mem_mb=needs.clip_mem_mb,
        runtime="1h",
    params:
        made_of=planner.reconstructions.encoded,
        title=planner.films.title,
        by=planner.models.title,
        span=planner.reconstructions.span,
    message:
        "{wildcards.film} by {wildcards.model}: a {wildcards.suffix} from {wildcards.start} to {wildcards.end}"
    shell:
        step(
            "render_clip"
            " --frames={input.frames:q}"
            " --latents={input.latents:q}"
            " --model={input.model:q}"
            " --title={params.title:q}"
            " --by={params.by:q}"
            " {params.span:q}"
            " --clip={output.clip:q}"
            " --device=cpu"
        )


rule measure_film:
    input:
        frames=planner.reconstructions.frames,
        latents=planner.reconstructions.latents,
        model=planner.reconstructions.model,
    output:
        metrics=layout.METRICS,
    log:
        layout.log("measure_film", layout.PAIR),
    benchmark:
        layout.benchmark("measure_film", layout.PAIR)
    wildcard_constraints:
        film=planner.results.to_make(layout.METRICS),
    conda:
        "../../envs/refilm.yaml"
    threads: needs.threads(needs.measure_runtime)
    resources:
        gpu=needs.gpu(needs.measure_runtime),
        mem_mb=needs.network_mem_mb,
        runtime=needs.measure_runtime,
    params:
        made_of=planner.reconstructions.encoded,
        device=planner.device,
    message:
        "{wildcards.film} by {wildcards.model}: PSNR, SSIM and more of each frame"
    shell:
        step(
            "measure_film"
            " --frames={input.frames:q}"
            " --latents={input.latents:q}"
            " --model={input.model:q}"
            " --metrics={output.metrics:q}"
            " --device={params.device:q}"
        )
