#!/usr/bin/env bash
# Build an image by Debian's buildah, without a Docker engine:
#   docker/build.sh server|gadgetron|openrecon NAME [OPTION...]
# OPTIONs are buildah's: --build-arg BASE_IMAGE=debian:12, or --volume /etc/pip.conf:/etc/pip.conf:ro for pip's own
# configuration, which then is in no layer. Needs root, or what buildah needs for others.
set -euo pipefail

declare -A files=([server]=docker/standalone.Dockerfile [gadgetron]=docker/Dockerfile
    [openrecon]=docker/openrecon/Dockerfile)
file=${files[${1:?server, gadgetron or openrecon}]:?is none of server, gadgetron, openrecon}
name=${2:?the name of the image}

cd "$(dirname "$0")/.."
arguments=()
if [[ $1 == openrecon ]]; then
    arguments+=(--build-arg "LABEL=$(base64 --wrap=0 docker/openrecon/label.json)")
fi
exec buildah build --format docker --isolation "${BUILDAH_ISOLATION:-chroot}" --file "$file" --tag "$name" \
    "${arguments[@]}" "${@:3}" .
