"""Frames train models.

Comes in    results/frames/{width}x{height}/{film}.h5 of the model's films
Goes out    results/models/{model}/model.safetensors, written once, when training is complete
Beside it   training.csv, training.png, previews/, recipe.json, and state/, the checkpoints. They are undeclared on
            purpose: Snakemake deletes the declared outputs of a job that failed or starts, and these must survive it.
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
        gpu=1,
        mem_mb=16000,
        runtime="7d",
    params:
        recipe=plainly(get_recipe),
        device=get_device,
    message:
        "{wildcards.model}: training; results/models/{wildcards.model}/previews shows the memory form"
    shell:
        "python -m refilm.train_model"
        " --frames {input.frames:q}"
        " --recipe={params.recipe:q}"
        " --model={output.model:q}"
        " --device={params.device:q}"
        " 2>&1 | keep_log {log:q}"
