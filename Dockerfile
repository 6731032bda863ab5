# The image in which Snakemake and its steps run on a cluster: docker build -t refilm .
# The refilm that runs is the one of the checkout on the shared volume; the image brings Python and all packages.
FROM python:3.11-slim-bookworm

# tini passes signals on to all processes of a step. procps has pkill. torch.compile needs a C++ compiler. ffmpeg is in a Python package.
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ procps tini \
    && rm -rf /var/lib/apt/lists/*

# The packages in a layer of their own: it stays as it is while only the code changes.
WORKDIR /opt/refilm
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY workflow/scripts/refilm/__init__.py workflow/scripts/refilm/
RUN pip install --no-cache-dir -c constraints.txt '.[kubernetes]'
COPY workflow/scripts workflow/scripts
RUN pip install --no-cache-dir --no-deps .

# Any user may run it, as the volume's files demand: caches go to /tmp, and torch.compile asks for the user's name.
RUN useradd --uid 1000 --create-home refilm
ENV HOME=/tmp USER=refilm
USER 1000:1000
WORKDIR /volume
ENTRYPOINT ["tini", "-g", "--"]
CMD ["snakemake", "--help"]
