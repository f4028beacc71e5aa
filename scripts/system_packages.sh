#!/usr/bin/env bash
# Installs what the tests need from Debian and pip cannot give; without the right to, or a network, it says what is missing.
set -u
short=(-o Acquire::Retries=0 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20)
install() { apt-get install -y --no-install-recommends "${short[@]}" "$@"; }

# need WHAT TESTS PACKAGE...: install packages, or say which tests will be skipped without what
need() {
  what=$1 tests=$2
  shift 2
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing Debian's $* ..."
    { install "$@" || { apt-get update -qq "${short[@]}" && install "$@"; }; } >/dev/null 2>&1 && return
  fi
  echo "$what missing: $tests will be skipped. Debian and Ubuntu: sudo apt-get install $*"
}

command -v chromium >/dev/null || command -v google-chrome >/dev/null ||
  need "chromium is" "the tests in a real browser (tests/e2e/test_browser.py)" chromium
{ command -v cc >/dev/null && pkg-config --exists cairo pangocairo 2>/dev/null; } ||
  need "what Manim is built with is" "the tests of Manim's scenes (tests/contract/test_manim.py)" \
    gcc libc6-dev libcairo2-dev libpango1.0-dev pkg-config
exit 0
