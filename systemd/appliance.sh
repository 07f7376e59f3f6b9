#!/bin/sh
# The command for administrators. Files that root makes in the data folder would lock the
# services out: act as their user.
if [ "$(id -u)" = 0 ]; then
    exec runuser -u appliance -- /opt/appliance/venv/bin/appliance "$@"
fi
exec /opt/appliance/venv/bin/appliance "$@"
