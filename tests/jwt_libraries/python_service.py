"""A service in Python: it verifies our tokens with PyJWT and with Authlib, and mints tokens of its own.

Reads what it must know of the issuer from standard input, and writes what it found to standard output, both as JSON.
"""

import json
import sys
import time
import uuid

import jwt
from authlib.jose import JsonWebKey
from authlib.oauth2.rfc6750 import InvalidTokenError
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ALGORITHMS = ["EdDSA", "ES256"]


def by_pyjwt(issuer, token):
    """RFC 9068, section 4."""
    header = jwt.get_unverified_header(token)
    if header.get("typ") != "at+jwt":
        raise jwt.InvalidTokenError(header)
    keys = jwt.PyJWKSet.from_dict(issuer["jwks"])
    return jwt.decode(
        token,
        keys[header["kid"]],
        algorithms=ALGORITHMS,
        audience=issuer["audience"],
        issuer=issuer["issuer"],
        options={"require": ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"]},
    )


class Validator(JWTBearerTokenValidator):
    def __init__(self, issuer):
        super().__init__(issuer["issuer"], issuer["audience"])
        self.jwks = issuer["jwks"]

    def get_jwks(self):
        return JsonWebKey.import_key_set(self.jwks)


def by_authlib(issuer, token):
    validator = Validator(issuer)
    claims = validator.authenticate_token(token)
    if claims is None:
        raise InvalidTokenError(token)
    validator.validate_token(claims, ["invoices:read"], None)
    return dict(claims)


def refuses(verify, issuer, token):
    try:
        verify(issuer, token)
    except Exception as refusal:
        # Not a fault of this script.
        assert type(refusal).__module__.split(".")[0] in ("jwt", "authlib"), repr(refusal)
        return True
    return False


def private_keys():
    return {
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "PS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    }


def public_jwk(algorithm, key):
    jwk = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    # PyJWT writes `key_ops`, as RFC 7517 allows.
    return {**jwk, "kid": f"python-{algorithm}", "alg": algorithm, "use": "sig"}


def mints(service):
    now = int(time.time())
    keys = private_keys()
    good = {
        "iss": service["issuer"],
        "sub": "ann",
        "aud": service["audience"],
        "client_id": "python",
        "iat": now,
        "exp": now + 300,
        "jti": str(uuid.uuid4()),
    }

    def mint(algorithm, typ="at+jwt", **changes):
        headers = {"typ": typ, "kid": f"python-{algorithm}"}
        return jwt.encode({**good, **changes}, keys[algorithm], algorithm=algorithm, headers=headers)

    public = keys["EdDSA"].public_key()
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return {
        "jwks": {"keys": [public_jwk(algorithm, key) for algorithm, key in keys.items()]},
        "good": {algorithm: mint(algorithm) for algorithm in keys},
        "bad": {
            "audience": mint("EdDSA", aud="https://elsewhere.example"),
            "issuer": mint("ES256", iss="https://elsewhere.example"),
            "expired": mint("RS256", iat=now - 1000, exp=now - 700),
            "typ": mint("PS256", typ="JWT"),
            # The public key as a secret.
            "confusion": jwt.encode(
                good, raw, algorithm="HS256", headers={"typ": "at+jwt", "kid": "python-EdDSA"}
            ),
            "none": jwt.encode(good, None, algorithm="none", headers={"typ": "at+jwt", "kid": "python-EdDSA"}),
        },
    }


def main():
    told = json.load(sys.stdin)
    verifiers = {"PyJWT": by_pyjwt, "Authlib": by_authlib}
    issuer = told["issuer"]
    json.dump(
        {
            "accepted": {
                library: {name: verify(issuer, token) for name, token in told["good"].items()}
                for library, verify in verifiers.items()
            },
            "refused": {
                library: {name: refuses(verify, issuer, token) for name, token in told["bad"].items()}
                for library, verify in verifiers.items()
            },
            "minted": mints(told["service"]),
        },
        sys.stdout,
    )


main()
