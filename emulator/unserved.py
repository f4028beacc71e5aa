"""Routes of Appwrite below the services served here that this server does not serve: they answer 501, not 404."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from emulator.errors import AppwriteError
from emulator.wire import Handler

# First words of the paths of services that are not served at all.
SERVICES = frozenset(
    {
        *("activities", "advisor", "apps", "assistant", "avatars", "backups", "console", "documentsdb", "domains"),
        *("embeddings", "graphql", "health", "locale", "messaging", "migrations", "mongo", "mysql", "oauth2"),
        *("organization", "postgresql", "presences", "project", "projects", "proxy", "reports", "sites"),
        *("vcs", "vectorsdb", "waf", "webhooks"),
    }
)

_PATHS = """
GET /account/consents
DELETE,GET /account/consents/{}
GET /account/consents/{}/tokens
DELETE,GET /account/consents/{}/tokens/{}
GET /account/identities
DELETE /account/identities/{}
GET /account/memberships
PATCH /account/mfa
DELETE,POST,PUT /account/mfa/authenticators/{}
POST,PUT /account/mfa/challenges
GET /account/mfa/factors
GET,PATCH,POST /account/mfa/recovery-codes
GET,POST /account/passkeys
DELETE,GET,PATCH /account/passkeys/{}
PUT /account/passkeys/{}/verification
POST,PUT /account/recovery
POST,PUT /account/recovery/otp
POST /account/sessions/id-token
GET /account/sessions/oauth2/{}
PUT /account/sessions/magic-url
PUT /account/sessions/phone
POST /account/targets/push
DELETE,PUT /account/targets/{}/push
POST /account/tokens/email
POST /account/tokens/magic-url
GET /account/tokens/oauth2/{}
POST,PUT /account/tokens/passkey
POST /account/tokens/phone
POST,PUT /account/verifications/email
POST,PUT /account/verifications/email/otp
POST,PUT /account/verifications/phone
POST /databases/{}/collections/{}/attributes/relationship
PATCH /databases/{}/collections/{}/attributes/relationship/{}
PATCH /databases/{}/collections/{}/attributes/{}/relationship
POST /databases/{}/collections/{}/documents/query
GET /functions/runtimes
GET /functions/specifications
POST /functions/{}/deployments/template
POST /functions/{}/deployments/vcs
POST /proxy/invalidations
POST /proxy/rules/api
POST /proxy/rules/redirect
POST /proxy/rules/site
POST /proxy/rules/smtp
PATCH /proxy/rules/{}/status
PATCH /proxy/rules/{}/verification
GET /tablesdb/specifications
POST /tablesdb/{}/failovers
GET,POST /tablesdb/{}/migrations
DELETE,GET /tablesdb/{}/migrations/{}
POST /tablesdb/{}/migrations/{}/cutovers
GET /tablesdb/{}/operations
GET /tablesdb/{}/replicas
GET /tablesdb/{}/status
POST /tablesdb/{}/tables/{}/columns/relationship
PATCH /tablesdb/{}/tables/{}/columns/relationship/{}
PATCH /tablesdb/{}/tables/{}/columns/{}/relationship
POST /tablesdb/{}/tables/{}/rows/query
POST /users/argon2
POST /users/bcrypt
GET /users/identities
DELETE /users/identities/{}
POST /users/md5
POST /users/phpass
POST /users/scrypt
POST /users/scrypt-modified
POST /users/sha
PATCH /users/{}/impersonator
PATCH /users/{}/mfa
DELETE /users/{}/mfa/authenticators/{}
GET /users/{}/mfa/challenges/{}
GET /users/{}/mfa/factors
GET,PATCH,PUT /users/{}/mfa/recovery-codes
GET /users/{}/passkeys
DELETE,GET,PATCH /users/{}/passkeys/{}
GET,POST /users/{}/targets
DELETE,GET,PATCH /users/{}/targets/{}
GET /databases/usage
GET /databases/{}/usage
GET /databases/{}/logs
GET /databases/{}/collections/{}/usage
GET /databases/{}/collections/{}/logs
GET /databases/{}/collections/{}/documents/{}/logs
GET /tablesdb/usage
GET /tablesdb/{}/usage
GET /tablesdb/{}/tables/{}/usage
GET /tablesdb/{}/tables/{}/logs
GET /tablesdb/{}/tables/{}/rows/{}/logs
GET /account/logs
GET /users/usage
GET /users/{}/logs
GET /functions/usage
GET,POST /teams/{}/installations
DELETE,GET,PUT /teams/{}/installations/{}
PATCH /teams/{}/memberships/{}/status
GET /teams/{}/logs
GET /storage/usage
GET /storage/{}/usage
GET /functions/{}/usage
"""


async def refuse(request: Request) -> Response:
    """Says that Appwrite has this route and this server has not."""
    raise AppwriteError(
        "general_not_implemented", f"{request.method} {request.scope['path']} is not served by this server.", 501
    )


ROUTES: list[tuple[str, str, Handler]] = [
    (method, path, refuse)
    for methods, path in (line.split() for line in _PATHS.split("\n") if line)
    for method in methods.split(",")
]
