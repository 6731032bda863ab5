"""Frames train models.

Comes in    results/frames/{width}x{height}/{film}.h5 of the model's films
Goes out    results/models/{model}/model.safetensors, written once, when training is complete
            results/models/{model}/training.mp4, the memory forming, made from the previews of that training
Beside it   training.csv, training.png, previews/, recipe.json, tensorboard/ where it is asked for, and state/, the
            checkpoints. They are undeclared on purpose: Snakemake deletes the declared outputs of a job that failed or
            starts, and these must survive it.
"""


rule train_model:
    input:
        frames=get_training_frames,
    output:
        model="results/models/{model}/model.safetensors",
    log:
        "logs/train_model/{model}.log",
    cache: "omit-software"
    conda:
        "../../envs/refilm.yaml"
    threads: 16
    resources:
        gpu=CONFIG.settings.gpus,
        mem_mb=16000,
        runtime="7d",
    params:
        recipe=exit_on_error(get_recipe),
        device=get_device,
        machine=get_training_options,
    message:
        "{wildcards.model}: training; results/models/{wildcards.model}/previews shows the memory form"
    shell:
        "python -m refilm.train_model"
        " --frames {input.frames:q}"
        " --recipe={params.recipe:q}"
        " --model={output.model:q}"
        " --device={params.device:q}"
        " {params.machine:q}"
        " 2>&1 | keep_log {log:q}"


rule render_training:
    input:
        model="results/models/{model}/model.safetensors",
    output:
        film=report(
            "results/models/{model}/training.mp4",
            caption="../report/training.rst",
            category="Trainings",
            labels={"model": "{model}"},
        ),
    log:
        "logs/render_training/{model}.log",
    conda:
        "../../envs/refilm.yaml"
    threads: 4
    resources:
        mem_mb=2000,
        runtime="1h",
    params:
        title=exit_on_error(lambda wildcards: CONFIG.model_title(wildcards.model)),
        crf=CONFIG.video.crf,
    message:
        "{wildcards.model}: the memory forming, as a film"
    shell:
        "python -m refilm.render_training"
        " --model={input.model:q}"
        " --title={params.title:q}"
        " --film={output.film:q}"
        " --crf={params.crf}"
        " 2>&1 | keep_log {log:q}"
