#!/bin/sh
# Starts a server of the cluster, with what Fly and `fly secrets` have put into the environment.
set -eu

: "${NATS_PASSWORD:?is not set; fly secrets set NATS_PASSWORD=…}"
: "${NATS_CLUSTER_PASSWORD:?is not set; fly secrets set NATS_CLUSTER_PASSWORD=…}"

# nats.conf reads these. The server parses what a variable holds as if it stood in the file: without
# the quotes, a name or a password of digits would be a number, and refused.
export NATS_NAME="\"$FLY_MACHINE_ID\""
export NATS_USER_PASSWORD="\"$NATS_PASSWORD\""
export NATS_ROUTE_PASSWORD="\"$NATS_CLUSTER_PASSWORD\""
# Fly's DNS: the addresses of all machines of the app that run. The server passes over its own, and
# hears of the others from the one that it finds.
export NATS_ROUTE="\"nats://route:$NATS_CLUSTER_PASSWORD@$FLY_APP_NAME.internal:6222\""

exec nats-server --config "$(dirname "$0")/nats.conf" "$@"
