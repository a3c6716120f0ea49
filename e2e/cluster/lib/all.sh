# shellcheck shell=bash
# What every command here starts with.
set -euo pipefail
LIB=$(dirname "${BASH_SOURCE[0]}")
source "$LIB/settings.sh"
source "$LIB/job.sh"
source "$LIB/prerequisites.sh"
source "$LIB/engine.sh"
source "$LIB/binaries.sh"
source "$LIB/debian-image.sh"
source "$LIB/node-image.sh"
source "$LIB/cluster.sh"
