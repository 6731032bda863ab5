"""Models reconstruct films.

Input       results/frames/{width}x{height}/{film}.h5, results/models/{model}/model.safetensors, the film's own sound
Output      results/latents/{film}_by_{model}.h5, the durable form of a reconstruction
            results/{film}_by_{model}.mp4
Steps       encode every frame, and search better latents where that is configured; decode, encode as video and add the
            sound in one pass
"""


rule encode_film:
    input:
        frames=planner.reconstructions.frames,
        model=planner.models.encoder,
    output:
        latents=layout.LATENTS,
    log:
        layout.log("encode_film", layout.PAIR),
    benchmark:
        layout.benchmark("encode_film", layout.PAIR)
    wildcard_constraints:
        film=planner.results.to_make(layout.LATENTS),
    conda:
        "../../envs/refilm.yaml"
    threads: needs.threads(needs.encode_runtime)
    resources:
        gpu=needs.gpu(needs.encode_runtime),
        mem_mb=needs.network_mem_mb,
        runtime=needs.encode_runtime,
        disk_mb=needs.encode_disk_mb,
    params:
        made_of=planner.reconstructions.encoded,
        noise=planner.config.reconstruction.noise,
        search=planner.reconstructions.search,
        device=planner.device,
    message:
        "{wildcards.film} by {wildcards.model}: frames to latents"
    shell:
        step(
            "encode_film"
            " --frames={input.frames:q}"
            " --model={input.model:q}"
            " --latents={output.latents:q}"
            " --made-of={params.made_of:q}"
            " --noise={params.noise}"
            " --search={params.search}"
            " --device={params.device:q}"
        )


rule render_video:
    input:
        latents=planner.reconstructions.latents,
        model=planner.reconstructions.model,
        source=planner.reconstructions.sound_source,
        shots=planner.reconstructions.shots_of_chapters,
    output:
        video=layout.VIDEO,
    log:
        layout.log("render_video", layout.PAIR),
    benchmark:
        layout.benchmark("render_video", layout.PAIR)
    wildcard_constraints:
        film=planner.results.to_make(layout.VIDEO),
    conda:
        "../../envs/refilm.yaml"
    threads: needs.threads(needs.render_runtime)
    resources:
        gpu=needs.gpu(needs.render_runtime),
        mem_mb=needs.network_mem_mb,
        runtime=needs.render_runtime,
        disk_mb=needs.render_disk_mb,
    params:
        made_of=planner.reconstructions.video_made_of,
        audio=planner.reconstructions.audio,
        crf=planner.config.video.crf,
        chapters=planner.reconstructions.chapters,
        device=planner.device,
    message:
        "{wildcards.film} by {wildcards.model}: latents to video, with the film's sound and chapters"
    shell:
        step(
            "render_video"
            " --latents={input.latents:q}"
            " --model={input.model:q}"
            " --source={input.source:q}"
            " --audio={params.audio:q}"
            " --video={output.video:q}"
            " --crf={params.crf}"
            " --chapters={params.chapters}"
            " --shots={input.shots:q}"
            " --device={params.device:q}"
        )
