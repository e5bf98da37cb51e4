#!/bin/sh
# Starts a server of the cluster with the environment variables from Fly and from `fly secrets`.
set -eu

: "${NATS_PASSWORD:?is not set; fly secrets set NATS_PASSWORD=…}"
: "${NATS_CLUSTER_PASSWORD:?is not set; fly secrets set NATS_CLUSTER_PASSWORD=…}"

# nats.conf reads these variables. The server parses the value of a variable as if it were written in
# the file. The quotes are needed because a name or a password of digits would otherwise be a number,
# and the server would refuse it.
export NATS_NAME="\"$FLY_MACHINE_ID\""
export NATS_USER_PASSWORD="\"$NATS_PASSWORD\""
export NATS_ROUTE_PASSWORD="\"$NATS_CLUSTER_PASSWORD\""
# Fly's DNS returns the addresses of all running machines of the app. The server ignores its own
# address. It connects to one other server, which tells it about the rest.
export NATS_ROUTE="\"nats://route:$NATS_CLUSTER_PASSWORD@$FLY_APP_NAME.internal:6222\""

exec nats-server --config "$(dirname "$0")/nats.conf" "$@"
