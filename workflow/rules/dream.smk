"""Predictors learn in which order latents come, and dream films on.

Input       latents of a model's films, their frames, which say where the shots are; of a dream, latents of its film
Output      results/predictors/{model}/predictor.safetensors, a link to the predictor in trained/, when training is complete
            results/dreams/{dream}.mp4
Beside it   trained/, state/, training.csv, training.png, previews/, recipe.json: undeclared, as beside a model
"""


rule train_predictor:
    input:
        latents=planner.predictors.latents,
        frames=planner.predictors.frames,
        model=planner.predictors.model,
    output:
        predictor=layout.PREDICTOR,
    log:
        layout.log("train_predictor", "{model}"),
    conda:
        "../../envs/refilm.yaml"
    threads: threads_on_gpu
    resources:
        gpu=1,
        mem_mb=needs.predictor_mem_mb,
        runtime=needs.predictor_runtime,
        disk_mb=200,
    params:
        recipe=planner.predictors.recipe,
        device=planner.device,
        tensorboard=planner.predictors.training_options,
    message:
        "{wildcards.model}: training its predictor; results/predictors/{wildcards.model}/previews shows its progress"
    shell:
        step(
            "train_predictor"
            " --latents {input.latents:q}"
            " --frames {input.frames:q}"
            " --model={input.model:q}"
            " --recipe={params.recipe:q}"
            " --predictor={output.predictor:q}"
            " --device={params.device:q}"
            " {params.tensorboard:q}"
        )


rule render_dream:
    input:
        latents=planner.dreams.latents,
        model=planner.dreams.model,
        predictor=planner.dreams.predictor,
        source=planner.dreams.sound_source,
    output:
        dream=layout.DREAM,
    log:
        layout.log("render_dream", "{dream}"),
    benchmark:
        layout.benchmark("render_dream", "{dream}")
    wildcard_constraints:
        dream=planner.results.to_make(layout.DREAM),
    conda:
        "../../envs/refilm.yaml"
    threads: needs.threads(needs.dream_runtime)
    resources:
        gpu=needs.gpu(needs.dream_runtime),
        mem_mb=needs.network_mem_mb,
        runtime=needs.dream_runtime,
        disk_mb=needs.dream_disk_mb,
    params:
        made_of=planner.dreams.made_of,
        options=planner.dreams.options,
        audio=planner.dreams.audio,
        crf=planner.config.video.crf,
        device=planner.device,
    message:
        "{wildcards.dream}: a film up to a moment, and what a network sees next"
    shell:
        step(
            "render_dream"
            " --latents={input.latents:q}"
            " --model={input.model:q}"
            " --predictor={input.predictor:q}"
            " --source={input.source:q}"
            " --audio={params.audio:q}"
            " {params.options:q}"
            " --dream={output.dream:q}"
            " --crf={params.crf}"
            " --device={params.device:q}"
        )


use rule render_thumbnail as render_dream_thumbnail with:
    input:
        video=planner.dreams.video,
    output:
        thumbnail=layout.DREAM_THUMBNAIL,
    log:
        layout.log("render_dream_thumbnail", "{dream}"),
    wildcard_constraints:
        dream=SLUG,
    params:
        made_of=planner.dreams.digest,
    message:
        "{wildcards.dream}: a still of the dream for the gallery"
