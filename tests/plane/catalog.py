"""The deploy side of the plane: Apps, source mounts, images, Secrets, Volumes, functions and classes."""

from __future__ import annotations

import asyncio
import hashlib
import shlex
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from google.protobuf.empty_pb2 import Empty  # type: ignore[import-untyped]
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from tests.plane.blobs import Blobs
from tests.plane.records import App, Deployed, Function, new_id
from tests.plane.rules import check_function

BUILDER = "2025.06"
ENVIRONMENT = "main"  # the only one there is


class Catalog:
    """Everything a deploy leaves on the server, and the RPCs that put it there or look it up."""

    def __init__(self, folder: Path, blobs: Blobs, published: Callable[[App], None]) -> None:
        self.folder = folder
        self.apps: dict[str, App] = {}
        self.functions: dict[str, Function] = {}
        self.classes: dict[str, str] = {}  # id -> name
        self.files: dict[str, bytes] = {}  # sha256 -> content
        self.mounts: dict[str, dict[str, str]] = {}  # id -> file name in the container -> sha256
        self.images: dict[str, Any] = {}
        self.secrets: dict[str, dict[str, str]] = {}  # name -> variables
        self.volumes: dict[str, str] = {}  # id -> name
        self.commits: Counter[str] = Counter()  # by name of the Volume
        self._secret_ids: dict[str, str | dict[str, str]] = {}  # id -> name, or the variables themselves
        self._blobs = blobs
        self._published = published

    # ---- what others ask

    def app_named(self, name: str) -> App | None:
        """The deployed App of that name."""
        return next((app for app in self.apps.values() if app.name == name), None)

    def origin(self, function: Function) -> Any:
        """The definition as it was last deployed, of a function or of the class it is bound from."""
        return self.functions[function.base or function.id].definition

    def volume(self, name: str) -> Path:
        """The folder that is the Volume of that name."""
        path = self.folder / "volumes" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def secret_env(self, ids: list[str]) -> dict[str, str]:
        """Variables of these Secrets as they are now, later ones win."""
        env: dict[str, str] = {}
        for secret in ids:
            held = self._secret_ids[secret]
            env |= self.secrets.get(held, {}) if isinstance(held, str) else held
        return env

    def image_commands(self, image_id: str) -> list[str]:
        """Dockerfile commands of the image, those of its bases first."""
        image = self.images.get(image_id)
        if image is None:
            return []
        below = [line for base in image.base_images for line in self.image_commands(base.image_id)]
        return [*below, *image.dockerfile_commands]

    def image_env(self, image_id: str) -> dict[str, str]:
        """Variables the image sets."""
        lines = [line for line in self.image_commands(image_id) if line.upper().startswith("ENV ")]
        pairs = [word.partition("=") for line in lines for word in shlex.split(line)[1:]]
        return {name: value for name, equals, value in pairs if equals}

    def mounted(self, function: Function) -> dict[str, str]:
        """File name in the container -> sha256, for all source mounts of a function."""
        return {name: sha for mount in function.definition.mount_ids for name, sha in self.mounts[mount].items()}

    def deployed(self, function: Function) -> Deployed:
        """A function as tests look at it."""
        made, scaling = function.definition, function.definition.autoscaler_settings
        ranked = sorted(function.data.ranked_functions, key=lambda one: one.rank)
        unnamed = [one for one in made.secret_ids if isinstance(self._secret_ids[one], dict)]
        gpus = [one.function.resources.gpu_config for one in ranked]
        return Deployed(
            name=function.name,
            gpus=tuple(f"{gpu.gpu_type}:{gpu.count}" if gpu.count > 1 else gpu.gpu_type for gpu in gpus if gpu.count),
            cores=made.resources.milli_cpu / 1000,
            memory=made.resources.memory_mb,
            timeout=made.timeout_secs,
            startup_timeout=made.startup_timeout_secs,
            scaledown_window=scaling.scaledown_window,
            max_containers=scaling.max_containers,
            retries=made.retry_policy.retries,
            secrets=tuple(name for name in (self._secret_ids[one] for one in made.secret_ids) if isinstance(name, str)),
            volumes={mount.mount_path: self.volumes[mount.volume_id] for mount in made.volume_mounts},
            read_only=frozenset(mount.mount_path for mount in made.volume_mounts if mount.read_only),
            files=frozenset(self.mounted(function)),
            image=tuple(self.image_commands(made.image_id)),
            env=self.image_env(made.image_id) | self.secret_env(unnamed),
            methods=tuple(made.method_definitions),
            snapshot=made.checkpointing_enabled,
            definition=made,
        )

    def layout(self, app: App) -> api_pb2.AppLayout:
        """What the App consists of, with every object its functions depend on."""
        layout = api_pb2.AppLayout(function_ids=app.functions, class_ids=app.classes)
        for class_id in app.classes.values():
            layout.objects.add(object_id=class_id).class_handle_metadata.CopyFrom(api_pb2.ClassHandleMetadata())
        depends = set()
        for function_id in app.functions.values():
            function = self.functions[function_id]
            layout.objects.add(object_id=function_id).function_handle_metadata.CopyFrom(function.handle)
            depends |= {one.object_id for one in function.definition.object_dependencies}
        for object_id in sorted(depends - set(app.functions.values()) - set(app.classes.values())):
            entry = layout.objects.add(object_id=object_id)
            if object_id in self.mounts:
                entry.mount_handle_metadata.content_checksum_sha256_hex = self._checksum(object_id)
            elif object_id in self.volumes:
                entry.volume_metadata.CopyFrom(self._volume_metadata(object_id))
        return layout

    def _checksum(self, mount_id: str) -> str:
        return hashlib.sha256(repr(sorted(self.mounts[mount_id].items())).encode()).hexdigest()

    def _volume_metadata(self, volume_id: str) -> api_pb2.VolumeMetadata:
        return api_pb2.VolumeMetadata(version=api_pb2.VOLUME_FS_VERSION_V1, name=self.volumes[volume_id])

    # ---- RPCs: hello, Apps

    async def ClientHello(self, request: Empty) -> api_pb2.ClientHelloResponse:
        return api_pb2.ClientHelloResponse(image_builder_version=BUILDER)

    async def EnvironmentGetOrCreate(self, request: Any) -> api_pb2.EnvironmentGetOrCreateResponse:
        name = request.deployment_name or ENVIRONMENT
        if name != ENVIRONMENT:
            raise GRPCError(Status.NOT_FOUND, f"No environment {name!r}")
        settings = api_pb2.EnvironmentSettings(image_builder_version=BUILDER, webhook_suffix="")
        return api_pb2.EnvironmentGetOrCreateResponse(
            environment_id=f"en-{name}", metadata=api_pb2.EnvironmentMetadata(name=name, settings=settings)
        )

    async def AppGetByDeploymentName(self, request: Any) -> api_pb2.AppGetByDeploymentNameResponse:
        app = self.app_named(request.name)
        return api_pb2.AppGetByDeploymentNameResponse(app_id=app.id if app else "")

    async def AppCreate(self, request: Any) -> api_pb2.AppCreateResponse:
        app = App(new_id("ap"), "")
        self.apps[app.id] = app
        return api_pb2.AppCreateResponse(app_id=app.id, app_page_url="http://127.0.0.1/", app_logs_url="")

    async def AppGetLayout(self, request: Any) -> api_pb2.AppGetLayoutResponse:
        return api_pb2.AppGetLayoutResponse(app_layout=self.layout(self.apps[request.app_id]))

    async def AppHeartbeat(self, request: Any) -> Empty:
        return Empty()

    async def AppPublish(self, request: Any) -> api_pb2.AppPublishResponse:
        app = self.apps[request.app_id]
        app.functions, app.classes = dict(request.function_ids), dict(request.class_ids)
        if request.app_state == api_pb2.APP_STATE_DEPLOYED:
            app.name = request.name
        self._published(app)
        return api_pb2.AppPublishResponse(url="http://127.0.0.1/", deployed_at=time.time())

    async def AppClientDisconnect(self, request: Any) -> Empty:
        self.apps[request.app_id].stopped = True
        return Empty()

    async def AppGetLogs(self, request: Any) -> AsyncIterator[api_pb2.TaskLogsBatch]:
        app = self.apps[request.app_id]
        while not app.stopped:
            await asyncio.sleep(0.05)
        yield api_pb2.TaskLogsBatch(app_done=True, entry_id="1-0")

    # ---- RPCs: code, images, Secrets, Volumes

    async def MountBatchedCheckExistence(self, request: Any) -> api_pb2.MountBatchedCheckExistenceResponse:
        missing = [sha for sha in request.sha256_hex_hashes if sha not in self.files]
        return api_pb2.MountBatchedCheckExistenceResponse(missing_sha256_hex_hashes=missing)

    async def MountPutFile(self, request: Any) -> api_pb2.MountPutFileResponse:
        if request.WhichOneof("data_oneof") == "data_blob_id":
            self.files[request.sha256_hex] = self._blobs.held[request.data_blob_id]
        elif request.WhichOneof("data_oneof") == "data":
            self.files[request.sha256_hex] = request.data
        return api_pb2.MountPutFileResponse(exists=request.sha256_hex in self.files)

    async def MountGetOrCreate(self, request: Any) -> api_pb2.MountGetOrCreateResponse:
        mount = new_id("mo")
        self.mounts[mount] = {file.filename: file.sha256_hex for file in request.files}
        handle = api_pb2.MountHandleMetadata(content_checksum_sha256_hex=self._checksum(mount))
        return api_pb2.MountGetOrCreateResponse(mount_id=mount, handle_metadata=handle)

    async def ImageGetOrCreate(self, request: Any) -> api_pb2.ImageGetOrCreateResponse:
        definition = hashlib.sha256(request.image.SerializeToString(deterministic=True)).hexdigest()
        image = f"im-{definition[:22]}"
        self.images[image] = request.image
        return api_pb2.ImageGetOrCreateResponse(
            image_id=image,
            result=api_pb2.GenericResult(status=api_pb2.GenericResult.GENERIC_STATUS_SUCCESS),
            metadata=api_pb2.ImageMetadata(
                image_builder_version=BUILDER, python_version_info="3.11.7", workdir="/root"
            ),
        )

    async def SecretGetOrCreate(self, request: Any) -> api_pb2.SecretGetOrCreateResponse:
        name = request.deployment_name
        if request.object_creation_type != api_pb2.OBJECT_CREATION_TYPE_UNSPECIFIED and name:
            self.secrets[name] = dict(request.env_dict)
        if name and name not in self.secrets:
            raise GRPCError(Status.NOT_FOUND, f"Secret {name!r} not found")
        held = self.secrets[name] if name else dict(request.env_dict)
        missing = [key for key in request.required_keys if key not in held]
        if missing:
            raise GRPCError(Status.FAILED_PRECONDITION, f"Secret {name!r} lacks the keys {', '.join(missing)}")
        secret = new_id("st")
        self._secret_ids[secret] = name or held
        metadata = api_pb2.SecretMetadata(name=name, keys=sorted(held))
        return api_pb2.SecretGetOrCreateResponse(secret_id=secret, metadata=metadata)

    async def VolumeGetOrCreate(self, request: Any) -> api_pb2.VolumeGetOrCreateResponse:
        name = request.deployment_name
        known = next((one for one, held in self.volumes.items() if held == name), None)
        if known is None and request.object_creation_type == api_pb2.OBJECT_CREATION_TYPE_UNSPECIFIED:
            raise GRPCError(Status.NOT_FOUND, f"Volume {name!r} not found")
        volume = known or new_id("vo")
        self.volumes[volume] = name
        self.volume(name)
        metadata = self._volume_metadata(volume)
        return api_pb2.VolumeGetOrCreateResponse(volume_id=volume, version=metadata.version, metadata=metadata)

    async def VolumeCommit(self, request: Any) -> api_pb2.VolumeCommitResponse:
        self.commits[self.volumes[request.volume_id]] += 1
        return api_pb2.VolumeCommitResponse(skip_reload=True)

    async def VolumeListFiles(self, request: Any) -> AsyncIterator[api_pb2.VolumeListFilesResponse]:
        root = self.volume(self.volumes[request.volume_id])
        folder = root / request.path.strip("/")
        if not folder.exists():
            raise GRPCError(Status.NOT_FOUND, f"No file {request.path!r}")
        answer = api_pb2.VolumeListFilesResponse()
        for path in sorted(folder.rglob("*") if request.recursive else folder.iterdir()):
            kind = api_pb2.FileEntry.DIRECTORY if path.is_dir() else api_pb2.FileEntry.FILE
            answer.entries.add(path=path.relative_to(root).as_posix(), type=kind, size=path.stat().st_size)
        yield answer

    async def VolumeReload(self, request: Any) -> Empty:
        return Empty()

    # ---- RPCs: functions and classes

    async def FunctionPrecreate(self, request: Any) -> api_pb2.FunctionPrecreateResponse:
        known = self.functions.get(request.existing_function_id)
        function = known or Function(new_id("fu"), request.app_id, request.function_name)
        self.functions[function.id] = function
        handle = _handle(function, request)
        return api_pb2.FunctionPrecreateResponse(function_id=function.id, handle_metadata=handle)

    async def FunctionCreate(self, request: Any) -> api_pb2.FunctionCreateResponse:
        ranked = request.HasField("function_data")
        versions = [one.function for one in request.function_data.ranked_functions] if ranked else [request.function]
        for version in versions:
            check_function(version)
        known = self.functions.get(request.existing_function_id)
        function = known or Function(new_id("fu"), request.app_id, versions[0].function_name)
        self.functions[function.id] = function
        function.definition = versions[0]
        function.data = request.function_data if ranked else _as_data(request.function)
        function.handle = _handle(function, function.definition)
        return api_pb2.FunctionCreateResponse(
            function_id=function.id,
            function=function.definition,
            function_data=function.data,
            handle_metadata=function.handle,
        )

    async def ClassCreate(self, request: Any) -> api_pb2.ClassCreateResponse:
        made = request.existing_class_id or new_id("cs")
        return api_pb2.ClassCreateResponse(class_id=made, handle_metadata=api_pb2.ClassHandleMetadata())

    def _looked_up(self, request: Any) -> App | None:
        return self.app_named(request.app_name) if request.environment_name in ("", ENVIRONMENT) else None

    async def ClassGet(self, request: Any) -> api_pb2.ClassGetResponse:
        app = self._looked_up(request)
        if app is None or request.object_tag not in app.classes:
            raise GRPCError(Status.NOT_FOUND, f"No class {request.object_tag!r} in the App {request.app_name!r}")
        return api_pb2.ClassGetResponse(
            class_id=app.classes[request.object_tag], handle_metadata=api_pb2.ClassHandleMetadata()
        )

    async def FunctionGet(self, request: Any) -> api_pb2.FunctionGetResponse:
        app = self._looked_up(request)
        if app is None or request.object_tag not in app.functions:
            raise GRPCError(Status.NOT_FOUND, f"No function {request.object_tag!r} in the App {request.app_name!r}")
        function = self.functions[app.functions[request.object_tag]]
        return api_pb2.FunctionGetResponse(
            function_id=function.id, handle_metadata=function.handle, function=function.data
        )

    async def FunctionBindParams(self, request: Any) -> api_pb2.FunctionBindParamsResponse:
        base = self.functions[request.function_id]
        options = request.function_options.SerializeToString(deterministic=True)
        origin = base.definition.SerializeToString(deterministic=True)
        digest = hashlib.sha256(repr((origin, options, request.serialized_params)).encode()).hexdigest()
        bound = f"{base.id}-{digest[:12]}"
        if bound not in self.functions:  # the same class with the same parameters shares its containers
            definition = api_pb2.Function()
            definition.CopyFrom(base.definition)
            _apply(definition, request.function_options)
            check_function(definition)
            self.functions[bound] = Function(
                bound, base.app_id, base.name, definition, base.data, base.handle, request.serialized_params, base.id
            )
        return api_pb2.FunctionBindParamsResponse(bound_function_id=bound, handle_metadata=base.handle)


def _handle(function: Function, made: Any) -> api_pb2.FunctionHandleMetadata:
    """What a client must know to call the function; `made`: its definition, or the request that announces it."""
    handle = api_pb2.FunctionHandleMetadata(
        function_name=function.name,
        function_type=made.function_type,
        definition_id=f"de-{function.id}",
        app_id=function.app_id,
        function_schema=made.function_schema,
        supported_input_formats=made.supported_input_formats,
        supported_output_formats=made.supported_output_formats,
    )
    if isinstance(made, api_pb2.Function):
        handle.class_parameter_info.CopyFrom(made.class_parameter_info)
    for name, method in made.method_definitions.items():
        entry = handle.method_handle_metadata[name]
        entry.function_name = method.function_name
        entry.function_type = method.function_type
        entry.is_method = True
        entry.use_method_name = name
        entry.definition_id = handle.definition_id
        entry.app_id = function.app_id
        entry.base_function_id = function.id
        entry.function_schema.CopyFrom(method.function_schema)
        entry.supported_input_formats.extend(method.supported_input_formats)
        entry.supported_output_formats.extend(method.supported_output_formats)
    return handle


def _as_data(made: Any) -> api_pb2.FunctionData:
    """The newer form of a definition that came without a list of GPUs: one rank."""
    data = api_pb2.FunctionData(ranked_functions=[api_pb2.FunctionData.RankedFunction(rank=0, function=made)])
    for field, value in made.ListFields():
        if field.name in data.DESCRIPTOR.fields_by_name:
            if field.message_type is None and not field.is_repeated:
                setattr(data, field.name, value)
            else:
                data.MergeFrom(api_pb2.FunctionData(**{field.name: value}))
    return data


def _apply(made: Any, options: Any) -> None:
    """Overrides of one bound class on its definition."""
    for name in ("timeout_secs", "concurrency_limit", "task_idle_timeout_secs", "max_concurrent_inputs"):
        if options.HasField(name):
            setattr(made, name, getattr(options, name))
    if options.HasField("concurrency_limit"):
        made.autoscaler_settings.max_containers = options.concurrency_limit
    if options.HasField("task_idle_timeout_secs"):
        made.autoscaler_settings.scaledown_window = options.task_idle_timeout_secs
    for name in ("resources", "retry_policy"):
        if options.HasField(name):
            getattr(made, name).CopyFrom(getattr(options, name))
