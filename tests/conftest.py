"""Settings every test shares: property tests draw the same cases on every run, unless asked to explore."""

from __future__ import annotations

import os

from hypothesis import settings

# no deadline: a noisy machine is no finding. `HYPOTHESIS_PROFILE=explore` looks for new cases (see `make fuzz`)
settings.register_profile("settled", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("explore", deadline=None, max_examples=2000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "settled"))
