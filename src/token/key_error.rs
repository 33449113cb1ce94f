//! Why a key is refused, and what mends it. No message holds key material.

use crate::id::EntropyError;

/// Why a key is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// An HMAC secret of this many bytes; it must have at least 32 (RFC 7518, section 3.2).
    #[error("an HS256 secret must have at least 32 bytes, but this one has {0}")]
    TooShort(usize),
    /// A PEM, DER, JWK or SSH key file was given as an HMAC secret.
    #[error("this looks like a key file, not like a secret: use the constructor for its kind of key")]
    LooksLikeKeyFile,
    /// An HMAC secret that is text and ends in a line break, as editors and `echo` add one. With it and
    /// without it are two different keys, so neither is guessed. A secret of random bytes may end in any
    /// byte.
    #[error(
        "this secret is text that ends in a line break, which makes it another key than without: \
         remove it (`printf %s` writes none), or trim what was read"
    )]
    LineBreak,
    /// An HMAC secret that is an example, made of words of examples, a pattern or nearly constant.
    #[error("this secret can be guessed: take 32 random bytes, as `openssl rand -base64 32` prints them")]
    Weak,
    /// This is not the text of a private key of this kind in PKCS#8 PEM form.
    #[error("not a {wanted} private key in PKCS#8 PEM form: {problem}")]
    Pem {
        /// What the constructor takes: `Ed25519` or `P-256`.
        wanted: &'static str,
        /// What was given instead.
        problem: PemProblem,
    },
    /// A key's name must be 1 to 64 characters of `A-Z a-z 0-9 - _`.
    #[error("{0:?} cannot be a key's name: 1 to 64 characters of A-Z a-z 0-9 - _")]
    BadName(String),
    /// Two different keys have this name.
    #[error("two keys have the name {0:?}")]
    DuplicateName(String),
    /// The operating system gave no random bytes.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// What is wrong with the text of a private key, and the command that mends it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PemProblem {
    /// There is no text.
    #[error("it is empty: look at the variable or the file that it was read from")]
    Empty,
    /// The path of a file was given, and not what is in the file.
    #[error("it is the path of a file: read the file, and give what is in it")]
    Path,
    /// A JSON Web Key.
    #[error("it is a JSON Web Key: convert it to PKCS#8 PEM first")]
    Jwk,
    /// There is no line `-----BEGIN …-----`.
    #[error("it has no line `-----BEGIN PRIVATE KEY-----`")]
    NotPem,
    /// The line `-----END …-----` is missing.
    #[error("its line `-----END PRIVATE KEY-----` is missing: the text was cut, perhaps to its first line")]
    Cut,
    /// What stands between the lines is no base64.
    #[error("what stands between its `BEGIN` and `END` lines is not base64: the text was cut or changed")]
    NotBase64,
    /// What the base64 says is not a PKCS#8 key.
    #[error("its base64 does not decode to a PKCS#8 key: the text was cut or changed")]
    NotPkcs8,
    /// It holds more than one key or certificate.
    #[error("it holds {0} keys or certificates: leave the one private key")]
    Several(usize),
    /// An elliptic-curve key in SEC1 form (`BEGIN EC PRIVATE KEY`), as `openssl ecparam` writes it.
    #[error(
        "it is in SEC1 form (`BEGIN EC PRIVATE KEY`): convert it with \
         `openssl pkcs8 -topk8 -nocrypt -in key.pem -out pkcs8.pem`"
    )]
    Sec1,
    /// The key is encrypted.
    #[error("it is encrypted: decrypt it with `openssl pkcs8 -topk8 -nocrypt -in key.pem -out pkcs8.pem`")]
    Encrypted,
    /// A public key.
    #[error("it is a public key, which cannot sign: give the private key that it belongs to")]
    Public,
    /// A certificate, or a request for one.
    #[error("it is a certificate, which cannot sign: give the private key that it belongs to")]
    Certificate,
    /// A private key in the form of OpenSSH.
    #[error("it is an OpenSSH key: make a key with `{command}`")]
    OpenSsh {
        /// What makes a key of the kind that is wanted.
        command: &'static str,
    },
    /// A private key for another algorithm or curve.
    #[error("it is a key for {found}: {advice}")]
    OtherKind {
        /// Which: `P-384`, `RSA`, or the number of an algorithm that is not known here.
        found: String,
        /// The constructor that takes such a key, or the command that makes a key that is wanted.
        advice: &'static str,
    },
    /// Another kind of PEM.
    #[error("it is a PEM of another kind: it must say `-----BEGIN PRIVATE KEY-----`")]
    OtherPem,
    /// The key does not verify what it signs.
    #[error("its parts do not belong together: the text was changed")]
    Inconsistent,
}
