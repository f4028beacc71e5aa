"""Asks Appwrite for further executions of the function, which answer nobody and may take their time."""

from __future__ import annotations

from urllib.parse import quote

from core.adapters.appwrite_client import AppwriteClient


class AppwriteFunction:
    """The function that this process is an execution of."""

    def __init__(self, client: AppwriteClient, function_id: str) -> None:
        self._client = client
        self._id = function_id

    def process(self, video_id: str) -> None:
        """Have the next step of a video taken by an asynchronous execution. Needs the scope executions.write.

        Raises:
            ScenewrightError: it was not taken in.
        """
        path = f"/videos/{quote(video_id, safe='')}/process"
        body = {"async": True, "path": path, "method": "POST"}
        self._client.ask("post", f"/functions/{self._id}/executions", f"function {self._id}", body)
