#!/bin/sh
# Build the image: container.sh [NAME [options of build ...]]. ENGINE=docker, podman or buildah chooses.
set -eu
cd "$(dirname "$0")/.."
name=${1:-kazoo-provisioner}
[ $# -eq 0 ] || shift

for engine in ${ENGINE:-docker podman buildah}; do
    "$engine" info >/dev/null 2>&1 || continue
    # HEALTHCHECK is not part of the OCI format, which podman and buildah write unless told otherwise.
    [ "$engine" = docker ] || set -- --format docker "$@"
    echo "building $name with $engine"
    exec "$engine" build --file deploy/Containerfile --tag "$name" "$@" .
done
echo "No container engine works here: install docker, podman or buildah (tried: ${ENGINE:-docker podman buildah})." >&2
exit 1
