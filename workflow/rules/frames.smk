"""Film files become frames.

Comes in    the source of a film, as config/config.yaml names it
Goes out    results/frames/{width}x{height}/{film}.h5: every frame, cut and scaled, RGB, with what rebuilds them
            results/stills/{film}_crop.png: what of its picture is seen, to look at before anything long is begun
Steps       probe, find the black bars, decode, count
"""


rule extract_frames:
    input:
        source=get_source,
    output:
        frames="results/frames/{size}/{film}.h5",
    log:
        "logs/extract_frames/{size}/{film}.log",
    conda:
        "../../envs/refilm.yaml"
    threads: 8
    resources:
        mem_mb=2000,
        runtime="12h",
    params:
        options=plainly(get_film_options),
        hwaccel=get_hwaccel,
    message:
        "{wildcards.film}: film to frames of {wildcards.size}"
    shell:
        "python -m refilm.extract_frames"
        " --source={input.source:q}"
        " --frames={output.frames:q}"
        " --size={wildcards.size:q}"
        " {params.options:q}"
        " --hwaccel={params.hwaccel:q}"
        " 2>&1 | keep_log {log:q}"


rule preview_crop:
    input:
        source=get_source,
    output:
        sheet=report(
            "results/stills/{film}_crop.png",
            caption="../report/crop.rst",
            category="Stills",
            labels={"film": "{film}", "model": "(crop)"},
        ),
    log:
        "logs/preview_crop/{film}.log",
    conda:
        "../../envs/refilm.yaml"
    threads: 2
    resources:
        mem_mb=1000,
        runtime="1h",
    params:
        options=plainly(get_film_options),
        size=CONFIG.training["frame_size"],
        title=plainly(lambda wildcards: CONFIG.film_title(wildcards.film)),
    message:
        "{wildcards.film}: what of its picture is seen"
    shell:
        "python -m refilm.preview_crop"
        " --source={input.source:q}"
        " --title={params.title:q}"
        " --size={params.size:q}"
        " {params.options:q}"
        " --sheet={output.sheet:q}"
        " 2>&1 | keep_log {log:q}"
