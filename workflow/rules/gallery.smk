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
        frames=planner.comparisons.frames,
        latents=planner.comparisons.latents,
        models=planner.comparisons.models,
        source=planner.comparisons.sound_source,
    output:
        video=layout.COMPOSITE,
    log:
        layout.log("render_composite", "{size}/{film}"),
    benchmark:
        layout.benchmark("render_composite", "{size}/{film}")
    wildcard_constraints:
        size=planner.results.to_make(layout.COMPOSITE),
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
        audio=planner.comparisons.audio,
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
        video=planner.comparisons.video,
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
        made_of=planner.comparisons.digest,
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
        frames=planner.comparisons.frames,
        metrics=planner.comparisons.metrics,
    output:
        measures=layout.MEASURES,
    log:
        layout.log("gather_measures", "{size}/{film}"),
    wildcard_constraints:
        size=planner.results.to_make(layout.MEASURES),
    conda:
        "../../envs/refilm.yaml"
    resources:
        mem_mb=2000,
        runtime="1h",
    params:
        made_of=planner.comparisons.digest,
        models=planner.comparisons.names,
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
        shown=planner.gallery.files,
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
        made_of=planner.gallery.digest,
        entries=planner.gallery.entries,
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
        frames=planner.comparisons.frames,
        latents=planner.comparisons.latents,
        models=planner.comparisons.models,
        metrics=planner.comparisons.metrics,
        source=planner.comparisons.sound_source,
    output:
        page=layout.COMPARISON_PAGE,
    log:
        layout.log("render_page", "{comparison}"),
    wildcard_constraints:
        comparison=rf"(?!index\.html$){planner.results.to_make(layout.COMPARISON_PAGE)}",
    conda:
        "../../envs/refilm.yaml"
    threads: needs.threads(needs.compare_runtime)
    resources:
        gpu=needs.gpu(needs.compare_runtime),
        mem_mb=needs.network_mem_mb,
        runtime=needs.compare_runtime,
        disk_mb=needs.compare_disk_mb,
    params:
        made_of=planner.comparisons.digest,
        names=planner.comparisons.names,
        options=planner.comparisons.page_options,
        audio=planner.comparisons.audio,
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
        model=planner.models.model,
        frames=planner.networks.frames,
        latents=planner.networks.latents,
    output:
        page=layout.NETWORK,
    log:
        layout.log("render_network", "{model}"),
    wildcard_constraints:
        model=planner.results.to_make(layout.NETWORK),
    conda:
        "../../envs/refilm.yaml"
    threads: needs.few_threads
    resources:
        mem_mb=needs.network_mem_mb,
        runtime="1h",
    params:
        made_of=planner.networks.digest,
        title=planner.models.title,
        film=planner.networks.film_title,
        at=planner.networks.moment,
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
        model=planner.results.to_make(layout.NETWORK_AT),
        moment=layout.MOMENT_TIME,
    message:
        "{wildcards.model}: the network in pictures, of the frame at {wildcards.moment}"


# On the CPU: of most films only some hundred frames are decoded.
rule render_findings:
    input:
        model=planner.models.encoder,
        frames=planner.findings.frames,
        latents=planner.findings.latents,
        metrics=planner.findings.metrics,
    output:
        page=layout.FINDINGS,
        table=layout.FINDINGS_TABLE,
    log:
        layout.log("render_findings", "{model}"),
    wildcard_constraints:
        model=planner.results.to_make(layout.FINDINGS),
    conda:
        "../../envs/refilm.yaml"
    threads: 4
    resources:
        mem_mb=needs.findings_mem_mb,
        runtime="4h",
    params:
        made_of=planner.findings.digest,
        films=planner.findings.films,
        title=planner.models.title,
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
