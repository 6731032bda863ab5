"""Walks through latents: between moments, along a film at another pace, of two films mixed, and nearest frames. And films by
a model whose decoder is bent.

Input       latents, models, the sound of a film; of nearest frames, the frames of both films
Output      results/walks/{walk}.mp4, results/bent/{bend}.mp4
Steps       compute the latents of a walk, decode, encode and add the sound in one pass
"""


rule render_walk:
    input:
        latents=planner.walks.latents,
        model=planner.walks.model,
        frames=planner.walks.frames,
        source=planner.walks.sound_source,
        sound_frames=planner.walks.sound_frames,
    output:
        walk=layout.WALK,
    log:
        layout.log("render_walk", "{walk}"),
    benchmark:
        layout.benchmark("render_walk", "{walk}")
    wildcard_constraints:
        walk=planner.results.to_make(layout.WALK),
    conda:
        "../../envs/refilm.yaml"
    threads: needs.threads(needs.walk_runtime)
    resources:
        gpu=needs.gpu(needs.walk_runtime),
        mem_mb=needs.network_mem_mb,
        runtime=needs.walk_runtime,
        disk_mb=needs.walk_disk_mb,
    params:
        made_of=planner.walks.made_of,
        options=planner.walks.options,
        audio=planner.walks.audio,
        crf=planner.config.video.crf,
        device=planner.device,
    message:
        "{wildcards.walk}: a walk through latents"
    shell:
        step(
            "render_walk"
            " --latents {input.latents:q}"
            " --model={input.model:q}"
            " --frames {input.frames:q}"
            " --source={input.source:q}"
            " --sound-frames={input.sound_frames:q}"
            " --audio={params.audio:q}"
            " --walk={output.walk:q}"
            " {params.options:q}"
            " --crf={params.crf}"
            " --device={params.device:q}"
        )


use rule render_thumbnail as render_walk_thumbnail with:
    input:
        video=planner.walks.video,
    output:
        thumbnail=layout.WALK_THUMBNAIL,
    log:
        layout.log("render_walk_thumbnail", "{walk}"),
    wildcard_constraints:
        walk=SLUG,
    params:
        made_of=planner.walks.digest,
    message:
        "{wildcards.walk}: a still of the walk for the gallery"


rule render_bend:
    input:
        latents=planner.bends.latents,
        model=planner.bends.model,
        source=planner.bends.sound_source,
    output:
        bend=layout.BEND,
    log:
        layout.log("render_bend", "{bend}"),
    benchmark:
        layout.benchmark("render_bend", "{bend}")
    wildcard_constraints:
        bend=planner.results.to_make(layout.BEND),
    conda:
        "../../envs/refilm.yaml"
    threads: needs.threads(needs.bend_runtime)
    resources:
        gpu=needs.gpu(needs.bend_runtime),
        mem_mb=needs.network_mem_mb,
        runtime=needs.bend_runtime,
        disk_mb=needs.bend_disk_mb,
    params:
        made_of=planner.bends.made_of,
        options=planner.bends.options,
        audio=planner.bends.audio,
        crf=planner.config.video.crf,
        device=planner.device,
    message:
        "{wildcards.bend}: latents through a bent decoder"
    shell:
        step(
            "render_bend"
            " --latents={input.latents:q}"
            " --model={input.model:q}"
            " --source={input.source:q}"
            " --audio={params.audio:q}"
            " --bend={output.bend:q}"
            " {params.options:q}"
            " --crf={params.crf}"
            " --device={params.device:q}"
        )


use rule render_thumbnail as render_bend_thumbnail with:
    input:
        video=planner.bends.video,
    output:
        thumbnail=layout.BEND_THUMBNAIL,
    log:
        layout.log("render_bend_thumbnail", "{bend}"),
    wildcard_constraints:
        bend=SLUG,
    params:
        made_of=planner.bends.digest,
    message:
        "{wildcards.bend}: a still of the bend for the gallery"
