#!/usr/bin/env bash
# Builds .venv from the lock. The only thing pip cannot give is Python's own venv module, which Debian packs apart.
set -eu
python=${1:-python3}
cd "$(dirname "$0")/.."

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
  echo "Python 3.11 or newer is needed; '$python' is $("$python" -V 2>&1 || echo missing). Use: make PYTHON=python3.12 ..." >&2
  exit 1
}
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get install -y --no-install-recommends python3-venv >/dev/null || (apt-get update -qq && apt-get install -y --no-install-recommends python3-venv >/dev/null)
  else
    echo "Python's venv module is missing. Debian and Ubuntu: sudo apt-get install python3-venv" >&2
    exit 1
  fi
fi
echo "Installing the pinned packages into .venv ..."
"$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
