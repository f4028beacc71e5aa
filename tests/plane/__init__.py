"""A control plane for Modal's client, on loopback: deploy, call and disturb an App without an account.

The client, the command line tool and the container entrypoint are Modal's own, unmodified; this package is
the server they speak to (gRPC, and HTTP for large payloads). It models what Modal documents; it proves that
the client accepts, uploads and runs an App, not that Modal's backend agrees. Made for modal 1.6.4.

    with Plane(python=..., env={...}, secrets={"scenewright-backend": {...}}) as plane:
        plane.deploy("-m modal_app", cwd=ROOT)              # the real `modal deploy`, in its own process
        with plane.speaking():                              # the client of this process; `plane.env` for others
            call = modal.Function.from_name("scenewright", "compose").spawn(job)
            call.get(timeout=60)
        assert not plane.unimplemented

Containers: processes of `python -m modal._container_entrypoint` with the interpreter `python`, the mounted
files alone, and the variables of the image, then the Secrets, then `env` (`plane.means.env`, may be changed).
Variables whose value is below a Volume's mount path get the Volume's folder (`plane.volume(name)`) in its
place: SCENEWRIGHT_WEIGHTS=/weights works without a /weights. A container stays until its scaledown window is
over, and none outlives the plane.

Look: deployed(app), deliveries(call), calls(function), containers(function), running(call), seen,
unimplemented, log(), wait(ready, what). Disturb: kill, preempt, time_out, expire_lease, forget (a call);
crash_at_start, held (a function, `compose` or `Renderer.*`); lose_replies, refuse (an RPC by name).
"""

from __future__ import annotations

from tests.plane.plane import Plane
from tests.plane.records import Delivery, Deployed

__all__ = ["Delivery", "Deployed", "Plane"]
