"""Frames train models.

Input       results/frames/{width}x{height}/{film}.h5 of the model's films; the model from which it starts, if any
Output      results/models/{model}/model.safetensors, a link to the model in trained/, when training is complete
            results/models/{model}/model@{step}.safetensors, a link to what the model was after so many steps
            results/models/{model}/training.mp4, the training as a film, made of its previews
Beside it   trained/, every finished training; state/, the checkpoints; training.csv, training.png, previews/, recipe.json,
            tensorboard/ where it is enabled. They are undeclared on purpose: Snakemake deletes the declared outputs of a
            job that failed or starts, and these must survive it.
"""


# The frames of other films, which a training shows, are no part of what is shared by --cache: Snakemake would take a model that
# shows other films for another one. No benchmark: Snakemake does not allow it beside `cache`. training.csv has the seconds.
rule train_model:
    input:
        frames=planner.models.training_frames,
        initial=planner.models.initial,
        shown=[] if shared else planner.models.preview_frames,
    output:
        model=layout.MODEL,
    log:
        layout.log("train_model", "{model}"),
    wildcard_constraints:
        model=SLUG,
    cache: shared
    conda:
        "../../envs/refilm.yaml"
    threads: threads_on_gpu * planner.config.settings.gpus
    resources:
        gpu=planner.config.settings.gpus,
        mem_mb=needs.train_mem_mb,
        runtime=needs.train_runtime,
        disk_mb=needs.train_disk_mb,
    params:
        recipe=planner.models.recipe,
        device=planner.device,
        machine=planner.models.training_options,
    message:
        "{wildcards.model}: training; results/models/{wildcards.model}/previews shows its progress"
    shell:
        step(
            "train_model"
            " --frames {input.frames:q}"
            " --initial={input.initial:q}"
            " --preview-frames {input.shown:q}"
            " --recipe={params.recipe:q}"
            " --model={output.model:q}"
            " --device={params.device:q}"
            " {params.machine:q}"
        )


rule link_early_model:
    input:
        model=planner.models.early_source,
    output:
        early=layout.EARLY_MODEL,
    log:
        layout.log("link_early_model", "{model}@{step}"),
    wildcard_constraints:
        model=SLUG,
        step="[1-9][0-9]*",
    localrule: True
    conda:
        "../../envs/refilm.yaml"
    params:
        recipe=planner.models.recipe,
        model=planner.models.file,
    message:
        "{wildcards.model}: the model after {wildcards.step} steps"
    shell:
        step(
            "link_early_model"
            " --recipe={params.recipe:q}"
            " --model={params.model:q}"
            " --step={wildcards.step}"
        )


rule render_training:
    input:
        model=planner.models.model,
    output:
        film=layout.TRAINING_FILM,
    log:
        layout.log("render_training", "{model}"),
    wildcard_constraints:
        model=SLUG,
    conda:
        "../../envs/refilm.yaml"
    threads: needs.few_threads
    resources:
        mem_mb=2000,
        runtime="1h",
    params:
        recipe=planner.models.recipe,
        title=planner.models.title,
        crf=planner.config.video.crf,
    message:
        "{wildcards.model}: the training as a film"
    shell:
        step(
            "render_training"
            " --model={input.model:q}"
            " --title={params.title:q}"
            " --film={output.film:q}"
            " --crf={params.crf}"
        )
