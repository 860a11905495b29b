#!/bin/sh
# Install what the tests use besides Python, on Debian, as root.
# The packages of nginx, HAProxy, Prometheus and Kamailio start their servers, now and at every boot. Here only the
# programs are wanted: servers that come with this run are not started and not enabled. Those that were there stay as they are.
set -eu
PATH=$PATH:/usr/sbin:/sbin
export DEBIAN_FRONTEND=noninteractive

packages=
servers=
for one in curl:curl wrk:wrk openssl:openssl node:nodejs npm:npm logrotate:logrotate \
    nginx:nginx-light:nginx haproxy:haproxy:haproxy promtool:prometheus:prometheus \
    kamailio:kamailio:kamailio linphonec:linphone-cli; do
    command -v "${one%%:*}" >/dev/null && continue
    rest=${one#*:}
    packages="$packages ${rest%%:*}"
    case $rest in *:*) servers="$servers ${rest#*:}" ;; esac
done
[ -n "$packages" ] || exit 0

if [ -n "$servers" ]; then
    # Debian's way to say no: whatever a package wants to start is asked of this script first.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        trap 'rm -f $policy' EXIT
        trap 'exit 1' INT TERM HUP
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
    fi
fi
apt-get update -qq
# shellcheck disable=SC2086 # a list of names
apt-get install -y -qq --no-install-recommends $packages
for server in $servers; do
    systemctl disable --quiet "$server" 2>/dev/null || true
done
