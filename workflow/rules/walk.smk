"""Walks through latents: between moments, along a film at another pace, of two films mixed, and nearest frames.

Input       latents, models, the sound of a film; of nearest frames, the frames of both films
Output      results/walks/{walk}.mp4
Steps       compute the latents of the walk, decode, encode and add the sound in one pass
"""


rule render_walk:
    input:
        latents=planner.walk_latents,
        model=planner.walk_model,
        frames=planner.walk_frames,
        source=planner.walk_source,
        sound_frames=planner.walk_sound_frames,
    output:
        walk=layout.WALK,
    log:
        layout.log("render_walk", "{walk}"),
    benchmark:
        layout.benchmark("render_walk", "{walk}")
    wildcard_constraints:
        walk=planner.to_make(layout.WALK),
    conda:
        "../../envs/refilm.yaml"
    threads: threads_on_gpu
    resources:
        gpu=1,
        mem_mb=needs.network_mem_mb,
        runtime=needs.walk_runtime,
        disk_mb=needs.walk_disk_mb,
    params:
        made_of=planner.walked,
        options=planner.walk_options,
        audio=planner.walk_audio,
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
        video=planner.walk_video,
    output:
        thumbnail=layout.WALK_THUMBNAIL,
    log:
        layout.log("render_walk_thumbnail", "{walk}"),
    wildcard_constraints:
        walk=SLUG,
    params:
        made_of=planner.walk_digest,
    message:
        "{wildcards.walk}: a still of the walk for the gallery"
