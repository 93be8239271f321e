# Our server alone. Build it from the root of the checkout; docker/README.md says how.
ARG BASE_IMAGE=python:3.11.13-slim-bookworm

FROM ${BASE_IMAGE} AS python
# A base may be Debian without Python, and Debian's own Python takes no packages of pip's.
RUN python3 -c 'import ensurepip, venv' 2>/dev/null \
    || { apt-get update \
        && apt-get install -y --no-install-recommends python3 python3-venv \
        && rm -rf /var/lib/apt/lists/*; }
RUN python3 -m venv /opt/kband
ENV PATH=/opt/kband/bin:${PATH}

FROM python AS wheel
WORKDIR /checkout
COPY pyproject.toml setup.py README.md ./
COPY kband_core kband_core
COPY gadgets gadgets
COPY pipelines pipelines
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python

# From PyPI, built for CUDA 13, unless a further index has the same version for something else.
ARG TORCH_VERSION=2.13.0
ARG PIP_EXTRA_INDEX_URL=
RUN pip install --no-cache-dir "torch==${TORCH_VERSION}"

# A worker's threads give way to the others while they wait.
ENV OMP_WAIT_POLICY=PASSIVE

RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir /wheels/*.whl \
    && useradd --create-home --uid 1000 kband \
    && install -d -o kband -g kband -m 700 /scans \
    && kband doctor

USER 1000
WORKDIR /home/kband
VOLUME /scans
EXPOSE 9002 9003
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=6 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://localhost:9003/ready', timeout=4)"]
ENTRYPOINT ["kband", "serve", "--address", "0.0.0.0", "--save", "/scans"]
