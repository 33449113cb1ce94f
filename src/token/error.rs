//! Why a key, a token or a claim is refused. No message holds key material or a token.

use std::{borrow::Cow, error::Error, sync::Arc};

/// Why a token was not accepted. The reason is for operators only: the client gets the same answer for all reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidToken {
    /// The token is longer than 4096 bytes.
    #[error("too long")]
    TooLong,
    /// The token does not have three parts of canonical base64url. (An encrypted cookie has five parts.)
    #[error("malformed")]
    Malformed,
    /// The header has other members than `alg`, `kid`, `typ` and `vouch`, or it has another `typ` or `alg`. (An
    /// encrypted cookie has a different header, with other members.)
    #[error("unacceptable header")]
    Header,
    /// No key of the ring has this `kid`.
    #[error("unknown key")]
    UnknownKey,
    /// No key of the ring has this `kid`, but a key of the ring vouches for it: another instance signs with a key that
    /// this instance does not have yet. This instance cannot verify the token.
    #[error("a new key that is not known here yet")]
    NewKey,
    /// The signature is wrong.
    #[error("wrong signature")]
    Signature,
    /// A claim is missing, has the wrong type, is unknown or comes twice.
    #[error("unacceptable claims")]
    Claims,
    /// The signature is valid, but the application's claims cannot be read as the application's type: another version
    /// of the application wrote them. The refresh token then renews the session.
    #[error("claims of another version of the application")]
    Unreadable,
    /// The token has another audience or issuer.
    #[error("other audience or issuer")]
    Audience,
}

/// Why a token or a cookie could not be written.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MintError {
    /// The claims are too large. Browsers drop larger cookies, and servers refuse larger headers.
    #[error("a token or cookie would have {length} bytes or more, but the limit is {limit}")]
    TooLong {
        /// The length in bytes, or a lower limit of the length.
        length: usize,
        /// The limit in bytes: 3072 for a cookie, 4096 for a token.
        limit: usize,
    },
    /// The claims cannot be written as JSON. The source says why.
    #[error("the claims cannot be written as JSON")]
    NotJson(#[source] Arc<dyn Error + Send + Sync>),
    /// An object in the claims names a member twice, so two readers could see two values. A flattened map and a field
    /// with the same name are another cause.
    #[error("an object in the claims names a member twice")]
    DuplicateMember,
    /// The claims were written as JSON, but this JSON cannot be read back as the application's type. The source says
    /// why. `NaN` is written as `null`. With `serde_json/arbitrary_precision`, numbers in flattened and internally
    /// tagged types cannot be read. Any crate of a build can turn this feature on.
    #[error("the claims are written as JSON that cannot be read back as their type")]
    NotReadable(#[source] Arc<dyn Error + Send + Sync>),
    /// The value of the readable cookie cannot be written as JSON. The source says why.
    #[error("the readable cookie cannot be written as JSON")]
    Readable(#[source] Arc<dyn Error + Send + Sync>),
    /// The key could not sign. The source says why.
    #[error("the key could not sign")]
    Signing(#[source] Arc<dyn Error + Send + Sync>),
}

/// Why a key is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The HMAC secret has this number of bytes. It must have at least 32 bytes (RFC 7518, section 3.2).
    #[error("an HS256 secret must have at least 32 bytes, but this one has {0}")]
    TooShort(usize),
    /// A PEM, DER, JWK or SSH key file was given as an HMAC secret.
    #[error("this looks like a key file, not like a secret: use the constructor for its kind of key")]
    LooksLikeKeyFile,
    /// The HMAC secret is text that ends in a line break. Editors and `echo` add a line break. The secret with the line
    /// break and the secret without the line break are two different keys, so the caller must choose. (A secret of
    /// random bytes may end in any byte.)
    #[error(
        "this secret is text that ends in a line break, which is part of the key: \
         remove the line break (`printf %s` writes none), or trim the text"
    )]
    LineBreak,
    /// The HMAC secret is text that begins or ends in white space or a byte order mark, or has quotes around it.
    /// Environment files and editors add such characters. The secret with them and the secret without them are two
    /// different keys.
    #[error(
        "this secret is text with white space, a byte order mark or quotes around it, which are part of the key: \
         remove them"
    )]
    Surrounded,
    /// The HMAC secret is an example, consists of words from examples, is a pattern, or is nearly constant.
    #[error("this secret can be guessed: use 32 random bytes, as `openssl rand -base64 32` prints them")]
    Weak,
    /// The text is not a private key of this kind in PKCS#8 PEM form.
    #[error("not a {wanted} private key in PKCS#8 PEM form: {problem}")]
    Pem {
        /// The kind of key that the constructor takes: `Ed25519` or `P-256`.
        wanted: &'static str,
        /// What is wrong with the text, and how to correct it.
        problem: Cow<'static, str>,
    },
    /// The text or the JWK is not a public key that can verify tokens.
    #[error("not a public key that can verify tokens: {0}")]
    PublicKey(Cow<'static, str>),
    /// The text is not a JWK Set with a key ring. If a single key is wrong, the message names its place in the set.
    #[error("not a key ring as a JWK Set: {0}")]
    KeySet(Cow<'static, str>),
    /// A key's name must be 1 to 64 characters of `A-Z a-z 0-9 - _`.
    #[error("{0:?} cannot be a key's name: 1 to 64 characters of A-Z a-z 0-9 - _")]
    BadName(String),
    /// Two different keys have this name.
    #[error("two keys have the name {0:?}")]
    DuplicateName(String),
    /// The ring has no key of this name.
    #[error("the ring has no key {0:?}")]
    UnknownName(String),
    /// The signing key cannot be retired or pulled.
    #[error("the key {0:?} still signs: promote another key first")]
    StillSigns(String),
    /// A public key cannot be promoted.
    #[error("the key {0:?} cannot sign: it is a public key")]
    CannotSign(String),
    /// The signer of [`Keyring::custom`](crate::Keyring::custom) failed. The text says why.
    #[error("the signer could not sign: {0}")]
    SignerFailed(String),
    /// The verifier of [`Keyring::custom`](crate::Keyring::custom) has another algorithm than the signer, refuses the
    /// signer's signature, or accepts the signature for another message. Or the key that was passed to
    /// `Keyring::with_public_key` does not verify what the signer signs.
    #[error("the verifier does not match the signer: they must have one algorithm and one key")]
    VerifierMismatch,
    /// The operating system gave no random bytes.
    #[error("the operating system's random generator failed")]
    Entropy,
}
