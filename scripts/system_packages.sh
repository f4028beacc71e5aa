#!/usr/bin/env bash
# Installs what the tests need from Debian and pip cannot give; without the right to, or without a network, it says what is missing.
set -u
if command -v chromium >/dev/null || command -v google-chrome >/dev/null; then exit 0; fi
install() { apt-get install -y --no-install-recommends chromium; }
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing Debian's chromium ..."
  { install || { apt-get update -qq && install; }; } >/dev/null 2>&1 && exit 0
fi
echo "chromium is missing: the tests in a real browser (tests/e2e/test_browser.py) will be skipped. Debian and Ubuntu: sudo apt-get install chromium"
