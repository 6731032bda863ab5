"""Models rebuild films.

Comes in    results/frames/{width}x{height}/{film}.h5, results/models/{model}/model.safetensors, the film's own sound
Goes out    results/{film}_by_{model}.mp4, results/latents/{film}_by_{model}.h5
Steps       reconstruct every frame (results/reconstructions/{film}_by_{model}.h5, temporary unless asked for), assemble
"""


rule reconstruct_film:
    input:
        frames=get_frames,
        model="results/models/{model}/model.safetensors",
    output:
        reconstruction=temp("results/reconstructions/{film}_by_{model}.h5"),
        latents="results/latents/{film}_by_{model}.h5",
    log:
        "logs/reconstruct_film/{film}_by_{model}.log",
    conda:
        "../../envs/refilm.yaml"
    threads: 16
    resources:
        gpu=1,
        mem_mb=8000,
        runtime="12h",
    params:
        noise=CONFIG.reconstruction.noise,
        device=get_device,
    message:
        "{wildcards.film} as {wildcards.model} remembers it"
    shell:
        "python -m refilm.reconstruct_film"
        " --frames={input.frames:q}"
        " --model={input.model:q}"
        " --reconstruction={output.reconstruction:q}"
        " --latents={output.latents:q}"
        " --noise={params.noise}"
        " --device={params.device:q}"
        " 2>&1 | keep_log {log:q}"


rule assemble_video:
    input:
        reconstruction="results/reconstructions/{film}_by_{model}.h5",
        source=get_sound_source,
    output:
        video=report(
            "results/{film}_by_{model}.mp4",
            caption="../report/video.rst",
            category="Reconstructions",
            labels={"film": "{film}", "model": "{model}"},
        ),
    log:
        "logs/assemble_video/{film}_by_{model}.log",
    conda:
        "../../envs/refilm.yaml"
    threads: 4
    resources:
        mem_mb=2000,
        runtime="4h",
    params:
        audio=exit_on_error(get_audio),
        crf=CONFIG.video.crf,
    message:
        "{wildcards.film} by {wildcards.model}: frames to video, with the film's sound"
    shell:
        "python -m refilm.assemble_video"
        " --reconstruction={input.reconstruction:q}"
        " --source={input.source:q}"
        " --audio={params.audio:q}"
        " --video={output.video:q}"
        " --crf={params.crf}"
        " 2>&1 | keep_log {log:q}"
