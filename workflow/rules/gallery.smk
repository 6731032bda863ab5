"""The screening room: original and reconstructions in step, on a page that opens without a server.

Input       frames, latents, models and metrics of what config/config.yaml lists under reconstructions; the films' sound
Output      results/gallery/index.html: all of them
            results/gallery/films/{size}/{film}.mp4, .webp, .js: what it shows of a film
            results/gallery/{comparison}.html: one comparison as one file, to be sent
            results/models/{model}/network.html: the network in pictures
            results/findings/{model}.html and .md: what the text of 2016 says, measured
Steps       decode the latents of all models into the tiles of one video; take a still of it; gather the measures; write the page
"""


rule render_composite:
    input:
        frames=planner.frames,
        latents=planner.compared_latents,
        models=planner.compared_models,
        source=planner.sound_source,
    output:
        video=layout.COMPOSITE,
    log:
        layout.log("render_composite", "{size}/{film}"),
    benchmark:
        layout.benchmark("render_composite", "{size}/{film}")
    wildcard_constraints:
        size=planner.to_make(layout.COMPOSITE),
    conda:
        "../../envs/refilm.yaml"
    threads: threads_on_gpu
    resources:
        gpu=1,
        mem_mb=needs.network_mem_mb,
        runtime=needs.compare_runtime,
        disk_mb=needs.compare_disk_mb,
    params:
        made_of=planner.compared,
        audio=planner.audio,
        device=planner.device,
    message:
        "{wildcards.film}: original and reconstructions as the tiles of one video"
    shell:
        step(
            "render_composite"
            " --frames={input.frames:q}"
            " --latents {input.latents:q}"
            " --models {input.models:q}"
            " --source={input.source:q}"
            " --audio={params.audio:q}"
            " --video={output.video:q}"
            " --device={params.device:q}"
        )


rule render_thumbnail:
    input:
        video=planner.composite,
    output:
        thumbnail=layout.THUMBNAIL,
    log:
        layout.log("render_thumbnail", "{size}/{film}"),
    wildcard_constraints:
        size=SIZE,
    conda:
        "../../envs/refilm.yaml"
    resources:
        mem_mb=1000,
        runtime="1h",
    params:
        made_of=planner.compared_digest,
    message:
        "{wildcards.film}: a still for the gallery"
    shell:
        step(
            "render_thumbnail"
            " --video={input.video:q}"
            " --thumbnail={output.thumbnail:q}"
            " --made-of={params.made_of}"
        )


rule gather_measures:
    input:
        frames=planner.frames,
        metrics=planner.compared_metrics,
    output:
        measures=layout.MEASURES,
    log:
        layout.log("gather_measures", "{size}/{film}"),
    wildcard_constraints:
        size=planner.to_make(layout.MEASURES),
    conda:
        "../../envs/refilm.yaml"
    resources:
        mem_mb=2000,
        runtime="1h",
    params:
        made_of=planner.compared_digest,
        models=planner.compared_names,
    message:
        "{wildcards.film}: measures and shots for the gallery"
    shell:
        step(
            "gather_measures"
            " --frames={input.frames:q}"
            " --metrics {input.metrics:q}"
            " --models {params.models:q}"
            " --measures={output.measures:q}"
            " --made-of={params.made_of}"
        )


rule render_gallery:
    input:
        shown=planner.gallery_files,
    output:
        page=layout.GALLERY,
    log:
        layout.log("render_gallery", "index"),
    conda:
        "../../envs/refilm.yaml"
    resources:
        mem_mb=1000,
        runtime="1h",
    params:
        made_of=planner.gallery_digest,
        entries=planner.gallery_entries,
    message:
        "the gallery"
    shell:
        step(
            "render_gallery"
            " --entries={params.entries:q}"
            " --page={output.page:q}"
            " --made-of={params.made_of}"
        )


rule render_page:
    input:
        frames=planner.frames,
        latents=planner.compared_latents,
        models=planner.compared_models,
        metrics=planner.compared_metrics,
        source=planner.sound_source,
    output:
        page=layout.COMPARISON_PAGE,
    log:
        layout.log("render_page", "{comparison}"),
    wildcard_constraints:
        comparison=rf"(?!index\.html$){planner.to_make(layout.COMPARISON_PAGE)}",
    conda:
        "../../envs/refilm.yaml"
    threads: threads_on_gpu
    resources:
        gpu=1,
        mem_mb=needs.network_mem_mb,
        runtime=needs.compare_runtime,
        disk_mb=needs.compare_disk_mb,
    params:
        made_of=planner.compared_digest,
        names=planner.compared_names,
        options=planner.page_options,
        audio=planner.audio,
        device=planner.device,
    message:
        "{wildcards.comparison}: original and reconstructions as one file to send"
    shell:
        step(
            "render_page"
            " --frames={input.frames:q}"
            " --latents {input.latents:q}"
            " --models {input.models:q}"
            " --metrics {input.metrics:q}"
            " --names {params.names:q}"
            " --source={input.source:q}"
            " --audio={params.audio:q}"
            " {params.options:q}"
            " --page={output.page:q}"
            " --made-of={params.made_of}"
            " --device={params.device:q}"
        )


# On the CPU: a few hundred frames are decoded sooner than a GPU is free.
rule render_network:
    input:
        model=planner.model,
        frames=planner.network_frames,
        latents=planner.network_latents,
    output:
        page=layout.NETWORK,
    log:
        layout.log("render_network", "{model}"),
    wildcard_constraints:
        model=planner.to_make(layout.NETWORK),
    conda:
        "../../envs/refilm.yaml"
    threads: 4
    resources:
        mem_mb=needs.network_mem_mb,
        runtime="1h",
    params:
        made_of=planner.network_digest,
        title=planner.model_title,
        film=planner.network_film_title,
        at=planner.network_moment,
    message:
        "{wildcards.model}: the network in pictures"
    shell:
        step(
            "render_network"
            " --model={input.model:q}"
            " --title={params.title:q}"
            " --frames={input.frames:q}"
            " --latents={input.latents:q}"
            " --film-title={params.film:q}"
            " --at={params.at:q}"
            " --page={output.page:q}"
            " --made-of={params.made_of}"
            " --device=cpu"
        )


use rule render_network as render_network_at with:
    output:
        page=layout.NETWORK_AT,
    log:
        layout.log("render_network", "{model}@{moment}"),
    wildcard_constraints:
        model=planner.to_make(layout.NETWORK_AT),
        moment=layout.MOMENT_TIME,
    message:
        "{wildcards.model}: the network in pictures, of the frame at {wildcards.moment}"


# On the CPU: of most films only some hundred frames are decoded.
rule render_findings:
    input:
        model=planner.encoder,
        frames=planner.findings_frames,
        latents=planner.findings_latents,
        metrics=planner.findings_metrics,
    output:
        page=layout.FINDINGS,
        table=layout.FINDINGS_TABLE,
    log:
        layout.log("render_findings", "{model}"),
    wildcard_constraints:
        model=planner.to_make(layout.FINDINGS),
    conda:
        "../../envs/refilm.yaml"
    threads: 4
    resources:
        mem_mb=needs.findings_mem_mb,
        runtime="4h",
    params:
        made_of=planner.findings_digest,
        films=planner.findings_films,
        title=planner.model_title,
    message:
        "{wildcards.model}: what the text of 2016 says, measured"
    shell:
        step(
            "render_findings"
            " --model={input.model:q}"
            " --title={params.title:q}"
            " --films={params.films:q}"
            " --page={output.page:q}"
            " --table={output.table:q}"
            " --made-of={params.made_of}"
            " --device=cpu"
        )
