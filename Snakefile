"""refilm: a film as a network remembers it.

    snakemake results/koyaanisqatsi_by_bladerunner.mp4 --cores 4

What can be asked for:
    results/{film}_by_{model}.mp4             the film as the model reconstructs it, with its sound
    results/gallery/index.html                all reconstructions beside their originals, in step, in a browser
    results/comparisons/{comparison}.mp4      original and reconstructions in one picture
    results/posters/{poster}.png, .pdf        thousands of frames on one page
    results/exports/{export}.mp4, .mov, .mkv  a reconstruction for a screen or a wall; or a folder of images
    results/walks/{walk}.mp4                  a walk through latents: between moments, slowed, looped, two films mixed
    results/bent/{bend}.mp4                   a film by a model whose decoder is bent
    results/dreams/{dream}.mp4                a film up to a moment, and what a network sees next
    results/predictors/{model}/predictor.safetensors  the network that does, trained on the latents of the model's films
    results/stills/{film}_by_{model}.png      contact sheet
    results/stills/{film}_by_{model}_shots.png, _best.png, _worst.png  of each shot, of the best or worst ones
    results/stills/{film}_by_{model}@00-12-30.png  the frame at that time, beside its reconstruction
    results/clips/{film}_by_{model}@00-12-30_to_00-12-35.gif, .webp  these seconds, the same
    results/stills/{film}_crop.png            preview of the crop
    results/metrics/{film}_by_{model}.csv     a row per frame: PSNR, SSIM, motion, contrast, ...
    results/shots/{film}.csv                  a row per shot: start, end, length, brightness, motion
    results/latents/{film}_by_{model}.h5      the film as N x 200 numbers
    results/models/{model}/model.safetensors  the trained networks
    results/models/{model}/training.mp4       the training as a film
    results/models/{model}/network.html       the network in pictures; network@00-12-30.html of that frame
    results/findings/{model}.html, .md        what the text of 2016 says, measured on its reconstructions
    results/samples/{model}.png, .mp4         frames from noise
Where {model} reconstructs or makes samples, {model}@500 is what it was after 500 steps of its training, which keeps that.
With no target: all that config/config.yaml lists under reconstructions, comparisons, posters, exports, dreams, walks and bends,
and the gallery.
"""

from snakemake.utils import min_version

min_version("9.25")


report: "workflow/report/workflow.rst"


include: "workflow/rules/config.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/frames.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/reconstruct.smk"
include: "workflow/rules/compare.smk"
include: "workflow/rules/export.smk"
include: "workflow/rules/sample.smk"
include: "workflow/rules/gallery.smk"
include: "workflow/rules/dream.smk"
include: "workflow/rules/walk.smk"
include: "workflow/rules/demo.smk"


if reporting:

    include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        rules.results.input if reporting else planner.results.targets(),
    localrule: True


if is_main and options:
    planner.results.check_targets(options.targets)
    exit_on_error(check_targets)(workflow, options.targets, planner.results.known())


onstart:
    closing.hold_errors()
    exit_on_error(slurm.begin)(workflow)


onsuccess:
    closing.print_results(workflow)


onerror:
    closing.print_errors(workflow)
