// A service on Node: it verifies our tokens with jose, and mints tokens of its own.
//
// Reads what it must know of the issuer from standard input, and writes what it found to standard output, both as JSON.
// The first argument is the folder of the npm packages.

import { randomUUID } from "node:crypto";
import { pathToFileURL } from "node:url";

const jose = await import(pathToFileURL(`${process.argv[2]}/jose/dist/webapi/index.js`));

async function read() {
  let text = "";
  for await (const part of process.stdin) text += part;
  return JSON.parse(text);
}

// RFC 9068, section 4.
async function verify(issuer, keys, token) {
  const { payload } = await jose.jwtVerify(token, keys, {
    algorithms: ["EdDSA", "Ed25519", "ES256"],
    audience: issuer.audience,
    issuer: issuer.issuer,
    typ: "at+jwt",
    requiredClaims: ["exp", "sub", "client_id", "iat", "jti"],
  });
  return payload;
}

async function refuses(issuer, keys, token) {
  try {
    await verify(issuer, keys, token);
  } catch (refusal) {
    // Not a fault of this script.
    if (!(refusal instanceof jose.errors.JOSEError)) throw refusal;
    return true;
  }
  return false;
}

async function map(object, change) {
  const pairs = Object.entries(object).map(async ([name, value]) => [name, await change(value, name)]);
  return Object.fromEntries(await Promise.all(pairs));
}

async function mints(service) {
  const now = Math.floor(Date.now() / 1000);
  const names = { EdDSA: {}, ES256: {}, RS256: {}, PS256: {} };
  const pairs = await map(names, (_, alg) => jose.generateKeyPair(alg, { extractable: true }));
  const mint = (alg, { typ = "at+jwt", ...changes } = {}) =>
    new jose.SignJWT({
      iss: service.issuer,
      sub: "ann",
      aud: service.audience,
      client_id: "node",
      iat: now,
      exp: now + 300,
      jti: randomUUID(),
      ...changes,
    })
      .setProtectedHeader({ alg, typ, kid: `node-${alg}` })
      .sign(pairs[alg].privateKey);
  const jwk = async ({ publicKey }, alg) => ({
    ...(await jose.exportJWK(publicKey)),
    kid: `node-${alg}`,
    alg,
    use: "sig",
  });
  const elsewhere = "https://elsewhere.example";
  return {
    jwks: { keys: Object.values(await map(pairs, jwk)) },
    good: await map(names, (_, alg) => mint(alg)),
    bad: {
      audience: await mint("EdDSA", { aud: elsewhere }),
      issuer: await mint("ES256", { iss: elsewhere }),
      expired: await mint("RS256", { iat: now - 1000, exp: now - 700 }),
      typ: await mint("PS256", { typ: "JWT" }),
      // A header that must be understood.
      crit: await new jose.SignJWT({ iss: service.issuer, sub: "ann", aud: service.audience, exp: now + 300 })
        .setProtectedHeader({ alg: "EdDSA", typ: "at+jwt", kid: "node-EdDSA", crit: ["x"], x: 1 })
        .sign(pairs.EdDSA.privateKey, { crit: { x: true } }),
    },
  };
}

const told = await read();
const keys = told.issuer.jwks_uri
  ? jose.createRemoteJWKSet(new URL(told.issuer.jwks_uri))
  : jose.createLocalJWKSet(told.issuer.jwks);
const answer = {
  accepted: { jose: await map(told.good, (token) => verify(told.issuer, keys, token)) },
  refused: { jose: await map(told.bad, (token) => refuses(told.issuer, keys, token)) },
  minted: await mints(told.service),
};
process.stdout.write(JSON.stringify(answer));
