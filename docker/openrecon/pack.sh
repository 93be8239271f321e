#!/usr/bin/env bash
# Pack an OpenRecon image as a scanner takes it, a zip of image and manual with the names that its label tells:
#   docker/openrecon/pack.sh NAME FOLDER
# Needs, of Debian: buildah python3-markdown weasyprint zip.
set -euo pipefail

image=${1:?the name of the image}
folder=$(realpath "${2:?the folder for the zip}")
cd "$(dirname "$0")"

stem=$(python3 -c 'import json; label = json.load(open("label.json"))["general"]
print("OpenRecon", label["vendor"], label["name"]["en"], "V" + label["version"], sep="_")')
tag=${stem%_V*}:V${stem##*_V}
unfinished=$(mktemp -d "$folder/packing.XXXX")
trap 'rm -r "$unfinished"' EXIT

# By its number, or the names that it has here would stand in the file as well.
buildah push --quiet "$(buildah images --quiet "$image")" "docker-archive:$unfinished/$stem.tar:${tag,,}"
markdown_py -x tables -x fenced_code README.md | weasyprint --encoding utf-8 --stylesheet print.css - "$unfinished/$stem.pdf"
(cd "$unfinished" && zip --quiet "$stem.zip" "$stem.tar" "$stem.pdf")
mv "$unfinished/$stem.zip" "$folder"
echo "$folder/$stem.zip"
