# Stands in for Gadgetron's own image: its user, its environment's place and the versions in it, and no Gadgetron.
ARG BASE_IMAGE=python:3.11.13-slim-bookworm
FROM ${BASE_IMAGE}
RUN python3 -c 'import ensurepip, venv' 2>/dev/null \
    || { apt-get update \
        && apt-get install -y --no-install-recommends python3 python3-venv \
        && rm -rf /var/lib/apt/lists/*; }
RUN useradd --create-home --uid 1000 gadgetron && install -d -o gadgetron /opt/conda
USER gadgetron
RUN python3 -m venv /opt/conda/envs/gadgetron \
    && /opt/conda/envs/gadgetron/bin/pip install --no-cache-dir numpy==1.26.4 ismrmrd==1.14.0 xsdata==24.5
