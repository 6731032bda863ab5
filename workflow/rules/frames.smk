"""Films become frames.

Input       the source of a film, as config/config.yaml names it: a file, an address, or a folder of images
Output      results/frames/{width}x{height}/{film}.h5: every frame, cropped and scaled, RGB
            films/downloads/{film}.*: the film of an address
            results/stills/{film}_crop.png: a preview of the crop, before anything long is started
            results/shots/{film}.csv: a row per shot
Steps       fetch what is an address; probe, detect black bars, decode, count; find cuts
"""


ruleorder: extract_images > extract_frames


rule fetch_film:
    output:
        film=layout.DOWNLOAD,
    log:
        layout.log("fetch_film", "{film}{suffix}"),
    wildcard_constraints:
        film=planner.films.downloads(),
        suffix=r"(\.[a-z0-9]+)?",
    localrule: True
    conda:
        "../../envs/refilm.yaml"
    resources:
        mem_mb=500,
        runtime="2d",
    params:
        source=planner.films.source_spec,
        checks=planner.films.download_options,
    message:
        "{wildcards.film}: fetching the film"
    shell:
        step(
            "fetch_film"
            " --source={params.source:q}"
            " --film={output.film:q}"
            " {params.checks:q}"
        )


# With --cache frames are shared between projects. So there is no benchmark, which Snakemake does not allow beside `cache`: the
# JSON file beside the log has time and memory. And the size is in params: Snakemake finds a file in the cache by the params
# and the text of the command, not by the wildcards.
rule extract_frames:
    input:
        source=planner.films.source,
    output:
        frames=layout.FRAMES,
    log:
        layout.log("extract_frames", "{size}/{film}"),
    wildcard_constraints:
        size=planner.results.to_make(layout.FRAMES),
    cache: shared
    conda:
        "../../envs/refilm.yaml"
    threads: 8
    resources:
        mem_mb=2000,
        runtime=needs.extract_runtime,
        disk_mb=needs.extract_disk_mb,
    params:
        made_of=planner.films.made_of,
        checks=planner.films.validation_options,
        options=planner.films.options,
        hwaccel=planner.films.hwaccel,
        size=planner.films.frame_size,
    message:
        "{wildcards.film}: film to frames of {wildcards.size}"
    shell:
        step(
            "extract_frames"
            " --source={input.source:q}"
            " --frames={output.frames:q}"
            " --size={params.size:q}"
            " --threads={threads}"
            " --made-of={params.made_of:q}"
            " {params.checks:q}"
            " {params.options:q}"
            " --hwaccel={params.hwaccel:q}"
        )


# An image that was changed makes the frames again. One that was only touched does not, and nor does a film file.
rule extract_images:
    input:
        source=ancient(planner.films.source),
    output:
        frames=layout.FRAMES,
    log:
        layout.log("extract_images", "{size}/{film}"),
    wildcard_constraints:
        film=planner.films.of_images(),
        size=planner.results.to_make(layout.FRAMES),
    cache: shared
    conda:
        "../../envs/refilm.yaml"
    threads: 8
    resources:
        mem_mb=4000,
        runtime=needs.images_runtime,
        disk_mb=needs.images_disk_mb,
    params:
        source=planner.films.source_spec,
        index=planner.films.images_index,
        made_of=planner.films.made_of,
        options=planner.films.image_options,
        size=planner.films.frame_size,
    message:
        "{wildcards.film}: images to frames of {wildcards.size}"
    shell:
        step(
            "extract_images"
            " --source={params.source:q}"
            " --frames={output.frames:q}"
            " --size={params.size:q}"
            " --threads={threads}"
            " --index={params.index:q}"
            " --made-of={params.made_of:q}"
            " {params.options:q}"
        )


rule preview_crop:
    input:
        source=planner.films.previewed_source,
    output:
        sheet=layout.CROP_PREVIEW,
    log:
        layout.log("preview_crop", "{film}"),
    wildcard_constraints:
        film=planner.results.to_make(layout.CROP_PREVIEW),
    conda:
        "../../envs/refilm.yaml"
    threads: 2
    resources:
        mem_mb=1000,
        runtime="1h",
    params:
        options=planner.films.options,
        size=planner.config.frame_size,
        title=planner.films.title,
    message:
        "{wildcards.film}: preview of the crop"
    shell:
        step(
            "preview_crop"
            " --source={input.source:q}"
            " --title={params.title:q}"
            " --size={params.size:q}"
            " {params.options:q}"
            " --sheet={output.sheet:q}"
        )


rule list_shots:
    input:
        frames=planner.films.frames,
    output:
        shots=layout.SHOTS,
    log:
        layout.log("list_shots", "{film}"),
    benchmark:
        layout.benchmark("list_shots", "{film}")
    wildcard_constraints:
        film=planner.results.to_make(layout.SHOTS),
    conda:
        "../../envs/refilm.yaml"
    threads: 2
    resources:
        mem_mb=2000,
        runtime="1h",
    params:
        made_of=planner.films.shots_made_of,
    message:
        "{wildcards.film}: its shots"
    shell:
        step("list_shots" " --frames={input.frames:q}" " --shots={output.shots:q}")
