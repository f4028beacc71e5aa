#!/usr/bin/env bash
# Installs what the tests need from Debian and pip cannot give; without the right to, or a network, it says what is missing.
set -u
if command -v chromium >/dev/null || command -v google-chrome >/dev/null; then exit 0; fi
short=(-o Acquire::Retries=0 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20)
install() { apt-get install -y --no-install-recommends "${short[@]}" chromium; }
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing Debian's chromium ..."
  { install || { apt-get update -qq "${short[@]}" && install; }; } >/dev/null 2>&1 && exit 0
fi
echo "chromium is missing: the tests in a real browser (tests/e2e/test_browser.py) will be skipped. Debian and Ubuntu: sudo apt-get install chromium"
