#!/usr/bin/env bash
# Builds .venv-gpu, in which the tests of the picture and voice models and of Manim run. Where that cannot be done it says
# why and ends well: those tests are then skipped.
set -u
cd "$(dirname "$0")/.."
python=${1:-.venv/bin/python}
requirements=tests/gpu/requirements.txt
manim=tests/gpu/manim.txt
stamp=.venv-gpu/ready
manim_stamp=.venv-gpu/ready-manim
log=.venv-gpu/install.log
pip=(.venv-gpu/bin/python -m pip install --quiet --disable-pip-version-check --retries 1 --timeout 30)

skip() {
  echo "The packages of the models cannot be installed ($1): the tests in tests/gpu will be skipped."
  exit 0
}
skip_manim() {
  echo "Manim cannot be installed ($1): the tests of Manim's scenes will be skipped."
  exit 0
}
packages() {
  "${pip[@]}" --requirement "$requirements" && "${pip[@]}" --no-deps --no-build-isolation --editable .
}
models() {
  "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || skip "they are pinned for Python 3.11"
  if [ "$(df -Pk . | awk 'NR == 2 {print $4}')" -lt 8000000 ]; then skip "8 GB of free disk are needed"; fi
  rm -f "$stamp" "$manim_stamp"
  "$python" -m venv .venv-gpu || skip "no virtual environment can be made"
  echo "Installing the pinned packages of the models into .venv-gpu (some gigabytes, some minutes) ..."
  { packages || packages; } >"$log" 2>&1 || skip "see $log"

  # torchaudio's extension is linked to CUDA's libraries and cannot be loaded beside a torch without them; nothing uses it
  .venv-gpu/bin/python - <<'PYTHON' || skip "torch cannot be imported"
from pathlib import Path
from sysconfig import get_path

import torch

if torch.version.cuda is None:
    for extension in (Path(get_path("platlib")) / "torchaudio" / "lib").glob("*torchaudio*.so"):
        extension.unlink()
PYTHON
  touch "$stamp"
}

if [ ! "$stamp" -nt "$requirements" ] || [ ! "$stamp" -nt scripts/gpu_environment.sh ]; then models; fi
if [ "$manim_stamp" -nt "$manim" ]; then exit 0; fi
pkg-config --exists cairo pangocairo 2>/dev/null || skip_manim "libcairo2-dev, libpango1.0-dev or pkg-config is missing"
echo "Installing Manim into .venv-gpu ..."
"${pip[@]}" --requirement "$manim" --constraint "$requirements" >>"$log" 2>&1 || skip_manim "see $log"
.venv-gpu/bin/python -c 'import manim' >>"$log" 2>&1 || skip_manim "see $log"
touch "$manim_stamp"
