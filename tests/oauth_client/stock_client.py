"""A stock OAuth client (Authlib) signs in, stays signed in, asks about its tokens, and signs out.

Nothing here knows of the server but its addresses. Exits with 0 if all went as the standards say.
"""

import sys
import time

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session

BASE = sys.argv[1]
TOKEN = f"{BASE}/oauth/token"
REVOKE = f"{BASE}/oauth/revoke"
INTROSPECT = f"{BASE}/oauth/introspect"
TIMEOUT = 10


def session(token=None, seen=None):
    def update_token(token, refresh_token=None, access_token=None):
        seen.append(dict(token))

    return OAuth2Session(
        client_id="service",
        client_secret="its-secret",
        token=token,
        token_endpoint=TOKEN,
        # Authlib renews by itself when less than a second is left.
        leeway=1,
        update_token=update_token if seen is not None else None,
        default_timeout=TIMEOUT,
    )


def refused(error, call):
    try:
        call()
    except OAuthError as refusal:
        assert refusal.error == error, refusal
    else:
        raise AssertionError(f"{error} was expected")


def signs_in(seen):
    client = session(seen=seen)
    refused("invalid_grant", lambda: client.fetch_token(TOKEN, username="ann", password="wrong"))
    token = client.fetch_token(TOKEN, username="ann", password="right")
    assert token["token_type"] == "Bearer" and token["refresh_token"], sorted(token)
    assert token["refresh_token_expires_in"] == 60, token["refresh_token_expires_in"]
    assert token["authorization_expires_in"] in (599, 600), token["authorization_expires_in"]
    return client


def stays_signed_in(client, seen):
    """Every request is served, while the client renews and its tokens are rotated."""
    first = client.token["refresh_token"]
    rotated = set()
    deadline = time.monotonic() + 60
    while len(rotated) < 2:
        assert time.monotonic() < deadline, f"renewed {len(seen)} times, rotated {len(rotated)} times"
        answer = client.get(f"{BASE}/me")
        assert answer.status_code == 200, answer
        assert answer.text == "ann" and "set-cookie" not in answer.headers, answer.headers
        rotated.update({client.token["refresh_token"]} - {first})
        time.sleep(0.1)
    return len(seen)


def loses_an_answer(client):
    """The same refresh token returns the same successor again."""
    before = dict(client.token)
    one, other = session(before), session(before)
    refresh = before["refresh_token"]
    lost = one.refresh_token(TOKEN, refresh_token=refresh)
    again = other.refresh_token(TOKEN, refresh_token=refresh)
    assert lost["refresh_token"] == again["refresh_token"]
    client.token = again


def asks(client):
    for kind in ("access_token", "refresh_token"):
        answer = client.introspect_token(INTROSPECT, token=client.token[kind], token_type_hint=kind)
        said = answer.json()
        assert said["active"] is True and said["sub"] == "ann", said
    stranger = requests.post(INTROSPECT, data={"token": client.token["access_token"]}, timeout=TIMEOUT)
    assert stranger.status_code == 401, stranger


def signs_out(client):
    token = dict(client.token)
    assert client.revoke_token(REVOKE, token=token["refresh_token"]).status_code == 200
    assert client.revoke_token(REVOKE, token=token["refresh_token"]).status_code == 200
    for kind in ("access_token", "refresh_token"):
        assert client.introspect_token(INTROSPECT, token=token[kind]).json() == {"active": False}
    bearer = {"authorization": f"Bearer {token['access_token']}"}
    answer = requests.get(f"{BASE}/me", headers=bearer, timeout=TIMEOUT)
    assert answer.status_code == 401, answer
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"', answer.headers
    refused("invalid_grant", lambda: client.refresh_token(TOKEN, refresh_token=token["refresh_token"]))


def main():
    seen = []
    client = signs_in(seen)
    renewals = stays_signed_in(client, seen)
    loses_an_answer(client)
    asks(client)
    signs_out(client)
    print(f"renewals={renewals}")


main()
