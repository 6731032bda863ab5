"""Reconstructions for a screen or a wall: enlarged, in a codec of players, editors or archives; and on a page.

Input       latents, models, the film's own sound
Output      results/exports/{export}.mp4, .mov or .mkv; or the folder results/exports/{export} of images, or of a file for
            each screen
            results/posters/{poster}.png and .pdf
Steps       decode, enlarge, divide among the screens, encode and add the sound in one pass
"""


rule render_export:
    input:
        latents=planner.exports.latents,
        model=planner.exports.model,
        source=planner.exports.sound_source,
    output:
        export=layout.EXPORT_FILE,
    log:
        layout.log("render_export", "{export}.{suffix}"),
    benchmark:
        layout.benchmark("render_export", "{export}.{suffix}")
    wildcard_constraints:
        export=planner.results.to_make(layout.EXPORT_FILE),
        suffix="mp4|mov|mkv",
    conda:
        "../../envs/refilm.yaml"
    threads: needs.threads(needs.export_runtime)
    resources:
        gpu=needs.gpu(needs.export_runtime),
        mem_mb=needs.export_mem_mb,
        runtime=needs.export_runtime,
        disk_mb=needs.export_disk_mb,
    params:
        made_of=planner.exports.encoded,
        options=planner.exports.options,
        audio=planner.exports.audio,
        device=planner.device,
    message:
        "{wildcards.export}: latents to a video for a screen"
    shell:
        step(
            "render_export"
            " --latents={input.latents:q}"
            " --model={input.model:q}"
            " --source={input.source:q}"
            " --audio={params.audio:q}"
            " --export={output.export:q}"
            " {params.options:q}"
            " --device={params.device:q}"
        )


use rule render_export as render_export_folder with:
    output:
        export=directory(layout.EXPORT_FOLDER),
    log:
        layout.log("render_export", "{export}"),
    benchmark:
        layout.benchmark("render_export", "{export}")
    wildcard_constraints:
        export=planner.results.to_make(layout.EXPORT_FOLDER),
    message:
        "{wildcards.export}: latents to a folder of images, or of a video for each screen"


rule render_poster:
    input:
        latents=planner.posters.latents,
        model=planner.posters.model,
    output:
        poster=layout.POSTER,
        page=layout.POSTER_PAGE,
    log:
        layout.log("render_poster", "{poster}"),
    wildcard_constraints:
        poster=planner.results.to_make(layout.POSTER),
    conda:
        "../../envs/refilm.yaml"
    threads: threads_on_gpu
    resources:
        gpu=1,
        mem_mb=needs.poster_mem_mb,
        runtime="2h",
        disk_mb=needs.poster_disk_mb,
    params:
        made_of=planner.posters.encoded,
        options=planner.posters.options,
        device=planner.device,
    message:
        "{wildcards.poster}: frames of a film on one page"
    shell:
        step(
            "render_poster"
            " --latents={input.latents:q}"
            " --model={input.model:q}"
            " {params.options:q}"
            " --poster={output.poster:q}"
            " --page={output.page:q}"
            " --device={params.device:q}"
        )
