//! Reads private keys from text. Ignores harmless white space, and says what is wrong with other text.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use pkcs8::{ObjectIdentifier, PrivateKeyInfo};
use zeroize::Zeroizing;

use super::error::KeyError;

const EMPTY: &str = "it is empty: look at the variable or the file that it was read from";
const PATH: &str = "it is the path of a file: read the file, and pass its content";
const ENCODED: &str = "it is the base64 of a PEM: decode it with `base64 -d`, and pass the result";
const JWK: &str = "it is a JSON Web Key: convert it to PKCS#8 PEM first";
const NOT_PEM: &str = "it has no line `-----BEGIN PRIVATE KEY-----`";
const CUT: &str =
    "its line `-----END PRIVATE KEY-----` is missing: the text was cut, perhaps to its first line";
const NOT_BASE64: &str = "the text between its `BEGIN` and `END` lines is not base64: it was cut or changed";
pub(super) const NOT_PKCS8: &str = "its base64 does not decode to a PKCS#8 key: the text was cut or changed";
/// The form that `openssl ecparam` writes.
const SEC1: &str = "it is in SEC1 form (`BEGIN EC PRIVATE KEY`): convert it with \
     `openssl pkcs8 -topk8 -nocrypt -in key.pem -out pkcs8.pem`";
const ENCRYPTED: &str =
    "it is encrypted: decrypt it with `openssl pkcs8 -topk8 -nocrypt -in key.pem -out pkcs8.pem`";
const PUBLIC: &str = "it is a public key, which cannot sign: pass the private key that it belongs to";
const CERTIFICATE: &str = "it is a certificate, which cannot sign: pass the private key that it belongs to";
const OTHER_PEM: &str = "it is a PEM of another kind: it must say `-----BEGIN PRIVATE KEY-----`";
pub(super) const INCONSISTENT: &str = "its parts do not belong together: the text was changed";

/// What is wrong with a text, and how to correct it.
type Problem = Cow<'static, str>;

/// The kind of private key that a constructor takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Ed25519,
    P256,
}

impl Wanted {
    pub(super) fn error(self, problem: impl Into<Problem>) -> KeyError {
        let wanted = match self {
            Self::Ed25519 => "Ed25519",
            Self::P256 => "P-256",
        };
        KeyError::Pem { wanted, problem: problem.into() }
    }

    /// The command that makes a key of this kind.
    const fn command(self) -> &'static str {
        match self {
            Self::Ed25519 => "openssl genpkey -algorithm ed25519 -out key.pem",
            Self::P256 => "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem",
        }
    }

    /// The problem of a key for another algorithm or curve.
    fn other_kind(self, found: &str) -> Problem {
        format!("it is a key for {found}: make one with `{}`", self.command()).into()
    }
}

/// Returns the DER of a PKCS#8 private key in PEM form. Ignores a byte order mark, blank lines, indentation, any line
/// ends, quotes around the text, and `\n` as two characters (as in environment files).
pub(super) fn der(text: &str, wanted: Wanted) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    find(text, wanted).map_err(|problem| wanted.error(problem))
}

fn find(given: &str, wanted: Wanted) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let is_around = |c: char| c.is_whitespace() || INVISIBLE.contains(&c) || matches!(c, '"' | '\'');
    let text = Zeroizing::new(plain(given));
    let text = text.trim_matches(is_around);
    let mut blocks = text.split("-----BEGIN ").skip(1);
    let Some(first) = blocks.next() else { return Err(without_begin(given.trim_matches(is_around))) };
    let labels = || text.split("-----BEGIN ").skip(1).filter_map(|block| Some(block.split_once("-----")?.0));
    // `openssl ecparam -genkey` writes a block with the curve before the key.
    if labels().any(|label| label == "EC PRIVATE KEY") {
        return Err(if text.contains("ENCRYPTED") { ENCRYPTED } else { SEC1 }.into());
    }
    match blocks.count() {
        0 => {}
        more => {
            let count = more + 1;
            return Err(format!("it holds {count} keys or certificates: leave the one private key").into());
        }
    }
    let (label, rest) = first.split_once("-----").ok_or(CUT)?;
    by_label(label, text, wanted)?;
    let (body, _) = rest.split_once("-----END PRIVATE KEY-----").ok_or(CUT)?;
    let body = Zeroizing::new(body.split_whitespace().collect::<String>());
    STANDARD.decode(&*body).map(Zeroizing::new).map_err(|_| NOT_BASE64.into())
}

/// Byte order marks, and invisible characters that come from copying a text from a web page.
const INVISIBLE: [char; 5] = ['\u{feff}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}'];

/// Returns the text without characters that a PEM never contains: byte order marks, other invisible characters, and
/// backslashes. A backslash may escape a line break, also twice, as in JSON in an environment file.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut escaped = false;
    for character in text.chars().filter(|character| !INVISIBLE.contains(character)) {
        match character {
            '\\' => {}
            'n' | 'r' | 't' if escaped => plain.push('\n'),
            other => plain.push(other),
        }
        escaped = character == '\\';
    }
    plain
}

/// The problem with a text without a `BEGIN` line.
fn without_begin(text: &str) -> Problem {
    let is_path = || {
        let has_an_ending = text.rsplit_once('.').is_some_and(|(_, end)| {
            matches!(&*end.to_ascii_lowercase(), "pem" | "key" | "der" | "p8" | "pk8" | "pub" | "crt" | "txt")
        });
        text.lines().count() == 1 && (has_an_ending || text.starts_with(['/', '~']) || text.starts_with("./"))
    };
    match text {
        "" => EMPTY.into(),
        _ if text.starts_with('{') => JWK.into(),
        _ if is_encoded_pem(text) => ENCODED.into(),
        _ if text.starts_with("ssh-") || text.starts_with("ecdsa-") => PUBLIC.into(),
        _ if is_path() => PATH.into(),
        _ => NOT_PEM.into(),
    }
}

/// Whether the text is the base64 of a PEM, as in Kubernetes secrets and variables of CI systems.
fn is_encoded_pem(text: &str) -> bool {
    let start: String = text.chars().filter(|c| !c.is_whitespace()).take(64).collect();
    let start = Zeroizing::new(start);
    let decoded = STANDARD.decode(start.get(..start.len() / 4 * 4).unwrap_or_default()).map(Zeroizing::new);
    decoded.is_ok_and(|decoded| decoded.windows(11).any(|part| part == b"-----BEGIN "))
}

fn by_label(label: &str, text: &str, wanted: Wanted) -> Result<(), Problem> {
    Err(match label {
        "PRIVATE KEY" => return Ok(()),
        "ENCRYPTED PRIVATE KEY" => ENCRYPTED.into(),
        _ if text.contains("Proc-Type: 4,ENCRYPTED") => ENCRYPTED.into(),
        "PUBLIC KEY" | "RSA PUBLIC KEY" | "SSH2 PUBLIC KEY" => PUBLIC.into(),
        "CERTIFICATE" | "TRUSTED CERTIFICATE" | "X509 CERTIFICATE" | "CERTIFICATE REQUEST" => {
            CERTIFICATE.into()
        }
        "RSA PRIVATE KEY" => wanted.other_kind("RSA"),
        "DSA PRIVATE KEY" => wanted.other_kind("DSA"),
        "OPENSSH PRIVATE KEY" => {
            format!("it is an OpenSSH key: make a key with `{}`", wanted.command()).into()
        }
        _ => OTHER_PEM.into(),
    })
}

/// Refuses a key with another algorithm or curve than `wanted`.
pub(super) fn check_kind(info: &PrivateKeyInfo<'_>, wanted: Wanted) -> Result<(), KeyError> {
    const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
    let named = |oid: ObjectIdentifier| match &*oid.to_string() {
        "1.3.101.110" => "X25519 (which exchanges keys and does not sign)".to_owned(),
        "1.3.101.111" => "X448 (which exchanges keys and does not sign)".to_owned(),
        "1.3.101.112" => "Ed25519".to_owned(),
        "1.3.101.113" => "Ed448".to_owned(),
        "1.2.840.10045.3.1.7" => "P-256".to_owned(),
        "1.3.132.0.34" => "P-384".to_owned(),
        "1.3.132.0.35" => "P-521".to_owned(),
        "1.3.132.0.10" => "secp256k1".to_owned(),
        "1.2.840.113549.1.1.1" | "1.2.840.113549.1.1.10" => "RSA".to_owned(),
        "1.2.840.10040.4.1" => "DSA".to_owned(),
        other => format!("the algorithm {other}"),
    };
    let found = match info.algorithm.oid {
        EC => info.algorithm.parameters_oid().map_or_else(
            |_| "an elliptic curve given by its parameters rather than its name".to_owned(),
            named,
        ),
        other => named(other),
    };
    Err(wanted.error(match (wanted, &*found) {
        (Wanted::Ed25519, "Ed25519") | (Wanted::P256, "P-256") => return Ok(()),
        (Wanted::P256, "Ed25519") => "it is a key for Ed25519: pass it to `Keyring::ed25519_pem`".into(),
        (Wanted::Ed25519, "P-256") => "it is a key for P-256: pass it to `Keyring::es256_pem`".into(),
        _ => wanted.other_kind(&found),
    }))
}
