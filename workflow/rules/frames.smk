"""Films become frames.

Comes in    the source of a film, as config/config.yaml names it: a file, an address, or a folder of images
Goes out    results/frames/{width}x{height}/{film}.h5: every frame, cut and scaled, RGB, with what rebuilds them
            films/downloads/{film}.*: the film of an address
            results/stills/{film}_crop.png: what of its picture is seen, to look at before anything long is begun
Steps       fetch what is an address; probe, find the black bars, decode, count
"""


ruleorder: extract_images > extract_frames


localrules:
    fetch_film,


# A film that is there has no rule that makes it, so that nothing, not even --forceall, deletes it or fetches it again.
rule fetch_film:
    output:
        film="films/downloads/{film}{suffix}",
    log:
        "logs/fetch_film/{film}{suffix}.log",
    wildcard_constraints:
        film=name_pattern(films_to_fetch()),
        suffix=r"(\.[a-z0-9]+)?",
    conda:
        "../../envs/refilm.yaml"
    resources:
        mem_mb=500,
        runtime="2d",
    params:
        source=get_source_spec,
        checks=get_download_checks,
    message:
        "{wildcards.film}: fetching the film"
    shell:
        "python -m refilm.fetch_film"
        " --source={params.source:q}"
        " --film={output.film:q}"
        " {params.checks:q}"
        " 2>&1 | keep_log {log:q}"


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
        checks=get_validation_options,
        options=exit_on_error(get_film_options),
        hwaccel=get_hwaccel,
    message:
        "{wildcards.film}: film to frames of {wildcards.size}"
    shell:
        "python -m refilm.extract_frames"
        " --source={input.source:q}"
        " --frames={output.frames:q}"
        " --size={wildcards.size:q}"
        " --threads={threads}"
        " {params.checks:q}"
        " {params.options:q}"
        " --hwaccel={params.hwaccel:q}"
        " 2>&1 | keep_log {log:q}"


rule extract_images:
    input:
        source=get_source,
    output:
        frames="results/frames/{size}/{film}.h5",
    log:
        "logs/extract_images/{size}/{film}.log",
    wildcard_constraints:
        film=name_pattern(CONFIG.films_of_images()),
    conda:
        "../../envs/refilm.yaml"
    threads: 8
    resources:
        mem_mb=4000,
        runtime="12h",
    params:
        source=get_source_spec,
        options=exit_on_error(get_image_options),
    message:
        "{wildcards.film}: images to frames of {wildcards.size}"
    shell:
        "python -m refilm.extract_images"
        " --source={params.source:q}"
        " --frames={output.frames:q}"
        " --size={wildcards.size:q}"
        " --threads={threads}"
        " {params.options:q}"
        " 2>&1 | keep_log {log:q}"


rule preview_crop:
    input:
        source=get_previewed_source,
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
        options=exit_on_error(get_film_options),
        size=CONFIG.frame_size,
        title=exit_on_error(lambda wildcards: CONFIG.film_title(wildcards.film)),
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
