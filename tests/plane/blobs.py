"""The plane's blob store: bytes by id over HTTP, as the client puts and gets large payloads."""

from __future__ import annotations

import hashlib

from aiohttp import web
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from tests.plane.records import new_id


class Blobs:
    """Bytes by id in memory, behind PUT and GET on loopback, and the two RPCs that hand out their addresses."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self._runner: web.AppRunner | None = None
        self._origin = ""

    async def open(self) -> None:
        """Listen on a free port."""
        app = web.Application(client_max_size=1 << 30)
        app.router.add_put("/{id}", self._put)
        app.router.add_get("/{id}", self._get)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._origin = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _put(self, request: web.Request) -> web.Response:
        data = await request.read()
        self.held[request.match_info["id"]] = data
        return web.Response(headers={"ETag": f'"{hashlib.md5(data).hexdigest()}"'})

    async def _get(self, request: web.Request) -> web.Response:
        data = self.held.get(request.match_info["id"])
        return web.Response(status=404) if data is None else web.Response(body=data)

    async def BlobCreate(self, request: api_pb2.BlobCreateRequest) -> api_pb2.BlobCreateResponse:
        """Name one place to PUT to."""
        blob = new_id("bl")
        return api_pb2.BlobCreateResponse(
            blob_ids=[blob], upload_urls=api_pb2.UploadUrlList(items=[f"{self._origin}/{blob}"])
        )

    async def BlobGet(self, request: api_pb2.BlobGetRequest) -> api_pb2.BlobGetResponse:
        """Name the place to GET from."""
        if request.blob_id not in self.held:
            raise GRPCError(Status.NOT_FOUND, "No such blob")
        return api_pb2.BlobGetResponse(download_url=f"{self._origin}/{request.blob_id}")
