//! The parts of a request, each measured separately.

use std::time::Duration;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, ParsedPublicKey};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderValue, header};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use sha2::Sha256;

use crate::{
    cookie::{Cookies, scan},
    id::{RunId, SessionId},
    time::{Clock as _, SystemClock},
    token::{AccessToken, Keyring, StepUp, TokenCodec},
    work::{
        Contender, ED25519_PRIVATE, ED25519_PUBLIC, PeerClaims, Profile, SECRET, SUBJECT, cookies, timed,
    },
};

fn part<T>(name: &'static str, times: u32, mut operation: impl FnMut() -> T + 'static) -> Contender {
    Contender { name, round: Box::new(move || timed(times, &mut operation)) }
}

fn tokens(ring: Keyring) -> TokenCodec {
    TokenCodec::new(ring, "sessions".into(), Duration::from_secs(3660))
}

fn minted(tokens: &TokenCodec, claims: &str) -> String {
    let now = SystemClock.now();
    let token = AccessToken {
        subject: &SUBJECT.into(),
        session: SessionId::from_bytes([7; 32]),
        generation: 3,
        run: RunId::from_u64(77).expect("not zero"),
        issued: now,
        expires: now + Duration::from_secs(3600),
        auth_time: now,
        methods: &[],
        step_up: &StepUp::None,
        device: None,
        claims,
    };
    tokens.mint_access(&token).expect("a token")
}

/// HMAC with a prepared key, base64 on the stack, and claims of exactly this type: the least cost of any
/// verification.
pub fn raw_limit(key: &Hmac<Sha256>, token: &[u8]) -> PeerClaims {
    let dot = token.iter().rposition(|b| *b == b'.').expect("a dot");
    let (message, signature) = (&token[..dot], &token[dot + 1..]);
    let first = message.iter().position(|b| *b == b'.').expect("a dot");
    let mut given = [0; 33];
    let len = URL_SAFE_NO_PAD.decode_slice(signature, &mut given).expect("base64url");
    key.clone().chain_update(message).verify_slice(&given[..len]).expect("it fits");
    let mut payload = [0; 3072];
    let len = URL_SAFE_NO_PAD.decode_slice(&message[first + 1..], &mut payload).expect("base64url");
    serde_json::from_slice(&payload[..len]).expect("claims")
}

/// What the backend alone takes: its signature over the message of an Ed25519 token, and the verification.
fn backend(token: &str) -> [Contender; 2] {
    let message = token.rsplit_once('.').expect("a dot").0.to_owned();
    let pem: String = ED25519_PRIVATE.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(pem).expect("base64");
    let private = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).expect("a key");
    let public = ParsedPublicKey::new(&ED25519, private.public_key()).expect("a key");
    let (signature, signed) = (private.sign(message.as_bytes()), message.clone());
    [
        part("verification alone, Ed25519", 200, move || {
            public.verify_sig(signed.as_bytes(), signature.as_ref()).expect("good")
        }),
        part("signature alone, Ed25519", 200, move || private.sign(message.as_bytes())),
    ]
}

pub fn all() -> Vec<Contender> {
    let claims: String = serde_json::to_string(&Profile::new()).expect("JSON");
    let hs256 = tokens(Keyring::hs256(SECRET).expect("a valid secret"));
    let ed25519 = tokens(Keyring::ed25519_pem(ED25519_PRIVATE).expect("a key"));
    let (of_hs256, of_ed25519) = (minted(&hs256, &claims), minted(&ed25519, &claims));
    let key = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length will do");

    let mut headers = HeaderMap::new();
    let ours: HeaderValue = cookies(&format!("__Host-access={of_hs256}; __Host-refresh={of_hs256}"));
    headers.insert(header::COOKIE, ours);
    let (names, now) = (Cookies::default(), SystemClock.now());
    assert!(now.as_secs() > 0);

    let theirs = |algorithm, key: &EncodingKey| {
        jsonwebtoken::encode(&Header::new(algorithm), &PeerClaims::new(), key).expect("a token")
    };
    let secret = EncodingKey::from_secret(SECRET.as_bytes());
    let private = EncodingKey::from_ed_pem(ED25519_PRIVATE.as_bytes()).expect("a key");
    let (theirs_hs256, theirs_ed25519) =
        (theirs(Algorithm::HS256, &secret), theirs(Algorithm::EdDSA, &private));
    let validation = |algorithm| {
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&["sessions"]);
        validation
    };
    let decode = |name, times, token: String, key: DecodingKey, algorithm| {
        let validation = validation(algorithm);
        part(name, times, move || {
            jsonwebtoken::decode::<PeerClaims>(&token, &key, &validation).expect("good")
        })
    };
    let public = DecodingKey::from_ed_pem(ED25519_PUBLIC.as_bytes()).expect("a key");
    let verify = |name, times, tokens: TokenCodec, token: String| {
        part(name, times, move || tokens.verify_access::<Profile>(token.as_bytes()).expect("good"))
    };
    let mint = |name, times, tokens: TokenCodec| {
        let claims = claims.clone();
        part(name, times, move || minted(&tokens, &claims))
    };
    let raw = of_hs256.clone();
    let [verification, signature] = backend(&of_ed25519);
    vec![
        verification,
        signature,
        part("find the two cookies", 20_000, move || {
            let (access, refresh) = scan(headers.get_all("cookie").iter(), &names);
            std::hint::black_box((access, refresh)) != (refresh, access)
        }),
        part("raw limit, HS256", 5000, move || raw_limit(&key, raw.as_bytes())),
        verify("verify, HS256", 5000, hs256.clone(), of_hs256),
        decode(
            "jsonwebtoken decode, HS256",
            2000,
            theirs_hs256,
            DecodingKey::from_secret(SECRET.as_bytes()),
            Algorithm::HS256,
        ),
        verify("verify, Ed25519", 200, ed25519.clone(), of_ed25519),
        decode("jsonwebtoken decode, Ed25519", 200, theirs_ed25519, public, Algorithm::EdDSA),
        mint("mint, HS256", 5000, hs256),
        mint("mint, Ed25519", 200, ed25519),
    ]
}

/// Minting by the JWT crate.
pub fn encoders() -> Vec<Contender> {
    let encode = |name, times, key: EncodingKey, algorithm| {
        let claims = PeerClaims::new();
        part(name, times, move || {
            jsonwebtoken::encode(&Header::new(algorithm), &claims, &key).expect("a token")
        })
    };
    let secret = EncodingKey::from_secret(SECRET.as_bytes());
    let private = EncodingKey::from_ed_pem(ED25519_PRIVATE.as_bytes()).expect("a key");
    vec![
        encode("jsonwebtoken encode, HS256", 5000, secret, Algorithm::HS256),
        encode("jsonwebtoken encode, Ed25519", 200, private, Algorithm::EdDSA),
    ]
}
