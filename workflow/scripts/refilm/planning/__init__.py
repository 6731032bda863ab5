"""What the rules of Snakemake ask of a configuration and of the files that are there. No torch, and no Snakemake."""
