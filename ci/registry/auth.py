"""Answers a registry's challenge: basic credentials, or a token from the service that it names."""

from __future__ import annotations

import base64
import re

import httpx

from ci.registry.credentials import Login


async def authorization(
    client: httpx.AsyncClient, challenged: httpx.Response, scope: str, login: Login | None
) -> str | None:
    """The Authorization header that answers a 401, or None when there is nothing to answer with.

    A transport error of the token service is the caller's to retry, as is its 429 or 5xx, which
    comes as httpx.TransportError too.
    """
    scheme, _, rest = challenged.headers.get("www-authenticate", "").partition(" ")
    basic = _basic(login) if login else None
    if scheme.lower() == "basic":
        return basic
    asked = dict(re.findall(r'(\w+)="([^"]*)"', rest))
    if scheme.lower() != "bearer" or "realm" not in asked:
        return None
    wanted = {"service": asked.get("service", ""), "scope": scope or asked.get("scope", "")}
    parameters = {name: value for name, value in wanted.items() if value}
    headers = {"Authorization": basic} if basic else {}
    answer = await client.get(asked["realm"], params=parameters, headers=headers)
    if answer.status_code == 429 or answer.status_code >= 500:
        raise httpx.ReadError(f"its token service: HTTP {answer.status_code}")
    if answer.is_error:
        return None
    document = answer.json()
    token = document.get("token") or document.get("access_token")
    return f"Bearer {token}" if token else None


def _basic(login: Login) -> str:
    pair = f"{login.user}:{login.password}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"
