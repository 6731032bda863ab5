"""Film files become frames.

Comes in    the source of a film, as config/config.yaml names it
Goes out    results/frames/{width}x{height}/{film}.h5: every frame, cut and scaled, RGB, with what rebuilds them
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
