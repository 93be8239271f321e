#!/usr/bin/env bash
# A base image of nothing but Debian, from its package archive, where no registry of images is within reach:
#   docker/debian_base.sh debian-base [bookworm] [http://deb.debian.org/debian]
# Needs root, and of Debian: buildah debootstrap.
set -euo pipefail

name=${1:?the name of the image}
suite=${2:-bookworm}
mirror=${3:-http://deb.debian.org/debian}

container=$(buildah from scratch)
trap 'buildah rm "$container" >/dev/null' EXIT
root=$(buildah mount "$container")
debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$mirror" >&2
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
buildah umount "$container" >/dev/null
buildah config --cmd bash "$container"
buildah commit --quiet "$container" "$name"
