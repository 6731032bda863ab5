"""Originals beside their reconstructions, to be looked at and measured.

Comes in    frames, reconstructions, the film's own sound
Goes out    results/comparisons/{comparison}.mp4, results/stills/{film}_by_{model}.png, results/metrics/{film}_by_{model}.csv
"""


rule render_comparison:
    input:
        frames=get_frames,
        reconstructions=get_reconstructions,
        source=get_sound_source,
    output:
        clip=report(
            "results/comparisons/{comparison}.mp4",
            caption="../report/comparison.rst",
            category="Comparisons",
            labels={"comparison": "{comparison}"},
        ),
    log:
        "logs/render_comparison/{comparison}.log",
    conda:
        "../../envs/refilm.yaml"
    threads: 4
    resources:
        mem_mb=4000,
        runtime="4h",
    params:
        options=exit_on_error(get_comparison_options),
        audio=exit_on_error(get_audio),
        crf=CONFIG.video.crf,
    message:
        "{wildcards.comparison}: original and reconstructions in one picture"
    shell:
        "python -m refilm.render_comparison"
        " --frames={input.frames:q}"
        " --reconstructions {input.reconstructions:q}"
        " --source={input.source:q}"
        " --audio={params.audio:q}"
        " --clip={output.clip:q}"
        " {params.options:q}"
        " --crf={params.crf}"
        " 2>&1 | keep_log {log:q}"


rule render_stills:
    input:
        frames=get_frames,
        reconstruction="results/reconstructions/{film}_by_{model}.h5",
    output:
        sheet=report(
            "results/stills/{film}_by_{model}.png",
            caption="../report/stills.rst",
            category="Stills",
            labels={"film": "{film}", "model": "{model}"},
        ),
    log:
        "logs/render_stills/{film}_by_{model}.log",
    conda:
        "../../envs/refilm.yaml"
    resources:
        mem_mb=1000,
        runtime="10m",
    params:
        title=exit_on_error(lambda wildcards: CONFIG.film_title(wildcards.film)),
        by=exit_on_error(lambda wildcards: CONFIG.model_title(wildcards.model)),
    message:
        "{wildcards.film} by {wildcards.model}: contact sheet"
    shell:
        "python -m refilm.render_stills"
        " --frames={input.frames:q}"
        " --reconstruction={input.reconstruction:q}"
        " --title={params.title:q}"
        " --by={params.by:q}"
        " --sheet={output.sheet:q}"
        " 2>&1 | keep_log {log:q}"


rule measure_film:
    input:
        frames=get_frames,
        reconstruction="results/reconstructions/{film}_by_{model}.h5",
    output:
        metrics="results/metrics/{film}_by_{model}.csv",
    log:
        "logs/measure_film/{film}_by_{model}.log",
    conda:
        "../../envs/refilm.yaml"
    threads: 4
    resources:
        mem_mb=2000,
        runtime="4h",
    message:
        "{wildcards.film} by {wildcards.model}: how near each frame is"
    shell:
        "python -m refilm.measure_film"
        " --frames={input.frames:q}"
        " --reconstruction={input.reconstruction:q}"
        " --metrics={output.metrics:q}"
        " 2>&1 | keep_log {log:q}"
