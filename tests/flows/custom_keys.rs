//! A signer and a verifier that the application supplies.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tower_sliding_sessions::{
    EventKind, InvalidToken, KeyError, Keyring, RejectionKind,
    jsonwebtoken::{
        Algorithm,
        crypto::{JwtSigner, JwtVerifier},
        signature::{Error, Signer, Verifier},
    },
};

use crate::support::{ACCESS, Browser, REFRESH, TTL, World, idle, keys};

const REFRESH_SECRET: &[u8] = b"Kq8v2Lm5xTz1Wn7bRc4Ye9Uj3Hd6Gf0P";

/// A key in a remote service that can fail. Its signatures are longer than those of this crate's keys.
#[derive(Clone)]
struct Kms {
    algorithm: Algorithm,
    secret: u8,
    signatures: Arc<AtomicUsize>,
    is_down: Arc<AtomicBool>,
    /// It fails after this many signatures.
    last: Arc<AtomicUsize>,
}

impl Kms {
    fn new(secret: u8) -> Self {
        let last = Arc::new(AtomicUsize::new(usize::MAX));
        Self {
            algorithm: Algorithm::PS384,
            secret,
            signatures: Arc::default(),
            is_down: Arc::default(),
            last,
        }
    }

    fn ring(&self, kid: &str) -> Keyring {
        Keyring::custom(kid, self.clone(), self.clone(), REFRESH_SECRET).unwrap()
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        let mac = Hmac::<Sha256>::new_from_slice(&[self.secret; 32]).unwrap().chain_update(message);
        mac.finalize().into_bytes().repeat(6)
    }

    fn signed(&self) -> usize {
        self.signatures.load(Ordering::SeqCst)
    }
}

impl Signer<Vec<u8>> for Kms {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        if self.is_down.load(Ordering::SeqCst) || self.signed() >= self.last.load(Ordering::SeqCst) {
            return Err(Error::from_source("the service does not answer"));
        }
        self.signatures.fetch_add(1, Ordering::SeqCst);
        Ok(self.signature(message))
    }
}

impl Verifier<Vec<u8>> for Kms {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), Error> {
        if self.signature(message) == *signature { Ok(()) } else { Err(Error::new()) }
    }
}

impl JwtSigner for Kms {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl JwtVerifier for Kms {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// A verifier that gives the same answer to every signature.
struct Always(bool);

impl Verifier<Vec<u8>> for Always {
    fn verify(&self, _: &[u8], _: &Vec<u8>) -> Result<(), Error> {
        if self.0 { Ok(()) } else { Err(Error::new()) }
    }
}

impl JwtVerifier for Always {
    fn algorithm(&self) -> Algorithm {
        Algorithm::PS384
    }
}

fn header(browser: &Browser, name: &str) -> serde_json::Value {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let header = browser.value(name).unwrap().split('.').next().unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap()
}

#[tokio::test]
async fn custom_key_signs_access_tokens_and_its_secret_signs_refresh_tokens() {
    let (world, kms) = (World::new(), Kms::new(1));
    world.one.sessions.set_keys(kms.ring("kms-1"));
    let two = world.instance();
    two.sessions.set_keys(kms.ring("kms-1"));
    let signed_before = kms.signed();
    let mut browser = world.signed_in("ann").await;
    assert_eq!(
        kms.signed() - signed_before,
        2,
        "one token to measure the length before anything is stored, one to send"
    );
    let (access, refresh) = (header(&browser, ACCESS), header(&browser, REFRESH));
    assert_eq!((access["alg"].as_str(), access["kid"].as_str()), (Some("PS384"), Some("kms-1")));
    assert_eq!((refresh["alg"].as_str(), refresh["kid"].as_str()), (Some("HS256"), Some("kms-1")));
    for instance in [&world.one, &two] {
        assert!(browser.visit(instance, "/me").await.ok());
    }
    assert_eq!(kms.signed() - signed_before, 2, "a request with a valid access token signs nothing");
    for turn in 1..4 {
        world.pass(TTL);
        assert!(browser.visit([&world.one, &two][turn % 2], "/me").await.sets_both());
        assert!(browser.visit([&two, &world.one][turn % 2], "/me").await.ok());
        idle().await;
    }
    assert_eq!(kms.signed() - signed_before, 5, "one token for each renewal");
}

#[tokio::test]
async fn signature_by_another_key_is_refused() {
    let world = World::new();
    world.one.sessions.set_keys(Kms::new(1).ring("kms"));
    let mut browser = world.signed_in("ann").await;
    browser.lose(REFRESH);
    world.one.sessions.set_keys(Kms::new(2).ring("kms"));
    assert_eq!(browser.visit(&world.one, "/me").await.status(), 401);
    assert_eq!(world.count(&EventKind::AccessTokenInvalid(InvalidToken::Signature)), 1);
}

#[tokio::test]
async fn rollout_of_a_custom_key_keeps_sessions() {
    let (world, kms) = (World::new(), Kms::new(1));
    let two = world.instance();
    let mut browser = world.signed_in("ann").await;
    world.one.sessions.set_keys(kms.ring("kms").publish(keys(0)).unwrap());
    assert!(browser.visit(&world.one, "/me").await.ok());
    world.pass(TTL);
    assert!(browser.visit(&world.one, "/me").await.sets_both());
    idle().await;
    let answer = browser.visit(&two, "/me").await;
    assert_eq!(answer.rejection(), Some(RejectionKind::Unavailable), "the key is not known here yet");
    assert!(answer.touches_no_cookie());
    two.sessions.set_keys(keys(0).publish(kms.ring("kms")).unwrap());
    assert!(browser.visit(&two, "/me").await.ok());
}

#[tokio::test]
async fn failed_signature_keeps_the_session() {
    let (world, kms) = (World::new(), Kms::new(1));
    world.one.sessions.set_keys(kms.ring("kms"));
    let mut browser = world.signed_in("ann").await;
    world.pass(TTL);
    kms.is_down.store(true, Ordering::SeqCst);
    let refused = Browser::new().submit(&world.one, "/login?name=bob").await;
    assert_eq!(refused.rejection(), Some(RejectionKind::Internal));
    assert!(refused.touches_no_cookie());
    let answer = browser.visit(&world.one, "/me").await;
    assert!(answer.touches_no_cookie(), "{answer:?}");
    assert_ne!(answer.status(), 401);
    assert!(world.count(&EventKind::SigningFailed) > 0);
    kms.is_down.store(false, Ordering::SeqCst);
    assert!(browser.visit(&world.one, "/me").await.sets_both());
}

#[test]
fn key_parts_that_do_not_match_are_refused() {
    let ring = |signer: Kms, verifier: Kms| Keyring::custom("kms", signer, verifier, REFRESH_SECRET);
    let mismatch = KeyError::VerifierMismatch;
    assert_eq!(ring(Kms::new(1), Kms::new(2)).unwrap_err(), mismatch);
    let other = Kms { algorithm: Algorithm::PS256, ..Kms::new(1) };
    assert_eq!(ring(Kms::new(1), other).unwrap_err(), mismatch);
    for answer in [true, false] {
        let refused = Keyring::custom("kms", Kms::new(1), Always(answer), REFRESH_SECRET);
        assert_eq!(refused.unwrap_err(), mismatch);
    }

    let down = Kms::new(1);
    down.is_down.store(true, Ordering::SeqCst);
    let error = ring(down.clone(), down).unwrap_err();
    assert!(matches!(error, KeyError::SignerFailed(_)));
    assert!(error.to_string().contains("the service does not answer"), "{error}");

    let kms = || Kms::new(1);
    let short = Keyring::custom("kms", kms(), kms(), &REFRESH_SECRET[..31]);
    assert_eq!(short.unwrap_err(), KeyError::TooShort(31));
    let name = "arn:aws:kms";
    let refused = Keyring::custom(name, kms(), kms(), REFRESH_SECRET);
    assert_eq!(refused.unwrap_err(), KeyError::BadName(name.to_owned()));
}

#[tokio::test]
async fn signer_that_fails_after_the_session_was_opened_fails_the_sign_in_and_revokes_nothing_else() {
    let (world, kms) = (World::new(), Kms::new(1));
    world.one.sessions.set_keys(kms.ring("kms-1"));
    let mut browser = world.signed_in("ann").await;
    let before = world.one.sessions.list("ann").await.unwrap();
    // It signs the token that is measured, and fails for the one to send.
    kms.last.store(kms.signed() + 1, Ordering::SeqCst);
    let answer = browser.submit(&world.one, "/login?name=ann").await;
    assert_eq!(answer.rejection(), Some(RejectionKind::Internal));
    let live = world.one.sessions.list("ann").await.unwrap();
    assert_eq!(live.iter().map(|it| it.id).collect::<Vec<_>>(), [before[0].id], "only the old session");
    assert_eq!((world.count(&EventKind::SignedIn), world.count(&EventKind::SigningFailed)), (1, 1));
    assert!(browser.visit(&world.one, "/me").await.ok());
}
