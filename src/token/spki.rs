//! Public keys as DER and PEM: SubjectPublicKeyInfo (RFC 5280, section 4.1), and `RSAPublicKey` (PKCS#1).

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use pkcs8::{
    ObjectIdentifier,
    der::{Decode as _, asn1::UintRef},
    spki::SubjectPublicKeyInfoRef,
};

use super::{pem, public_parts::Parts};

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

const NOT_PEM: &str = "it has no line `-----BEGIN PUBLIC KEY-----`";
const CUT: &str = "its line `-----END PUBLIC KEY-----` is missing: the text was cut";
const SEVERAL: &str = "it holds several keys or certificates: leave the one public key";
const NOT_DER: &str = "its base64 does not decode to a public key: the text was cut or changed";
const PRIVATE: &str =
    "it is a private key: pass its public half, as `openssl pkey -in key.pem -pubout` prints it";
const CERTIFICATE: &str = "it is a certificate: pass its public key, as `openssl x509 -in certificate.pem -noout -pubkey` prints it";
const PKCS1: &str = "it is in PKCS#1 form: convert it with `openssl rsa -RSAPublicKey_in -in key.pem -pubout -out public.pem`";
const OTHER_KIND: &str = "its kind is not supported: it must be an Ed25519, P-256 or RSA key";

/// Reads the text of a public key in PEM form.
pub(super) fn read(text: &str) -> Result<Parts, Cow<'static, str>> {
    from_der(&der(text)?).map_err(Cow::Borrowed)
}

fn der(text: &str) -> Result<Vec<u8>, &'static str> {
    let text = pem::plain(text);
    let mut blocks = text.split("-----BEGIN ").skip(1);
    let first = blocks.next().ok_or(NOT_PEM)?;
    if text.contains("PRIVATE KEY-----") {
        return Err(PRIVATE);
    }
    if blocks.next().is_some() {
        return Err(SEVERAL);
    }
    let (label, rest) = first.split_once("-----").ok_or(CUT)?;
    match label {
        "PUBLIC KEY" => {}
        "RSA PUBLIC KEY" => return Err(PKCS1),
        "CERTIFICATE" | "TRUSTED CERTIFICATE" | "X509 CERTIFICATE" => return Err(CERTIFICATE),
        _ => return Err(NOT_PEM),
    }
    let (body, _) = rest.split_once("-----END PUBLIC KEY-----").ok_or(CUT)?;
    STANDARD.decode(body.split_whitespace().collect::<String>()).map_err(|_| NOT_DER)
}

fn from_der(der: &[u8]) -> Result<Parts, &'static str> {
    let key = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| NOT_DER)?;
    let bytes = key.subject_public_key.as_bytes().ok_or(NOT_DER)?;
    match key.algorithm.oid {
        ED25519 => bytes.try_into().map(Parts::Ed25519).map_err(|_| NOT_DER),
        EC if key.algorithm.parameters_oid() == Ok(P256) => {
            Parts::from_sec1(bytes).ok_or("its point is not in uncompressed form")
        }
        RSA => {
            let [n, e] = <[UintRef<'_>; 2]>::from_der(bytes).map_err(|_| NOT_DER)?;
            Ok(Parts::rsa(n.as_bytes(), e.as_bytes()))
        }
        _ => Err(OTHER_KIND),
    }
}

/// An RSA key as `RSAPublicKey` (RFC 8017, appendix A.1.1).
#[cfg(feature = "aws_lc_rs")]
pub(super) fn pkcs1(n: &[u8], e: &[u8]) -> Option<Vec<u8>> {
    use pkcs8::der::Encode as _;

    [UintRef::new(n).ok()?, UintRef::new(e).ok()?].to_der().ok()
}
