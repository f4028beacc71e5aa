"""Takes back what was ordered from Luma, for processes that have not its client: the function, when a video ends."""

from __future__ import annotations

from urllib.parse import quote

import requests

from core.errors import UnavailableError

_URL = "https://api.lumalabs.ai/dream-machine/v1"
_SECONDS = 4.0  # whoever cancels a video waits for it
_GONE = (404, 410)


class LumaOrders:
    """One call of Luma's API: DELETE /generations/{id}."""

    def __init__(self, key: str, url: str = "") -> None:
        """`url`: of the API; empty: the vendor's own."""
        self._key, self._url = key, (url or _URL).rstrip("/")

    def take_back(self, order_id: str) -> None:
        """Remove a generation; what is gone already is no error. Raises UnavailableError."""
        try:
            answer = requests.delete(
                f"{self._url}/generations/{quote(order_id, safe='')}",
                headers={"authorization": f"Bearer {self._key}"},
                timeout=_SECONDS,
            )
        except requests.RequestException as error:
            raise UnavailableError("Luma does not answer.", code="luma_unavailable") from error
        if not answer.ok and answer.status_code not in _GONE:
            raise UnavailableError(f"Luma took no order back ({answer.status_code}).", code="luma_unavailable")
