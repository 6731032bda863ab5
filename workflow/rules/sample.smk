"""Models make frames from noise.

Input       results/models/{model}/model.safetensors
Output      results/samples/{model}.png, a sheet of frames; results/samples/{model}.mp4, a closed drift through the latents
"""


# On the CPU: a few frames are decoded sooner than a GPU is free.
rule render_samples:
    input:
        model=planner.models.sampled,
    output:
        sheet=layout.SAMPLES,
    log:
        layout.log("render_samples", "{model}"),
    conda:
        "../../envs/refilm.yaml"
    threads: needs.few_threads
    resources:
        mem_mb=needs.network_mem_mb,
        runtime="1h",
    params:
        recipe=planner.models.recipe,
        title=planner.models.title,
    message:
        "{wildcards.model}: frames from noise"
    shell:
        step(
            "render_samples"
            " --model={input.model:q}"
            " --title={params.title:q}"
            " --sheet={output.sheet:q}"
            " --device=cpu"
        )


rule render_drift:
    input:
        model=planner.models.sampled,
    output:
        film=layout.DRIFT,
    log:
        layout.log("render_drift", "{model}"),
    benchmark:
        layout.benchmark("render_drift", "{model}")
    conda:
        "../../envs/refilm.yaml"
    threads: threads_on_gpu
    resources:
        gpu=1,
        mem_mb=needs.network_mem_mb,
        runtime="4h",
    params:
        recipe=planner.models.recipe,
        crf=planner.config.video.crf,
        device=planner.device,
    message:
        "{wildcards.model}: a drift through the latent space"
    shell:
        step(
            "render_drift"
            " --model={input.model:q}"
            " --film={output.film:q}"
            " --crf={params.crf}"
            " --device={params.device:q}"
        )
