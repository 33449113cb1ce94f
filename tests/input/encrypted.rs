//! Encrypted cookies from an attacker. One who knows the secret can encrypt, so what is within is judged as strictly as
//! a plain token.

use aes_gcm::{Aes256Gcm, KeyInit as _, aead::AeadInOut as _};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use tower_sliding_sessions::Keyring;

use crate::{
    forge::{BOTH, Kind, encode},
    fuzz,
    world::{Pair, SECRET, World, sign_in},
};

async fn world() -> World {
    let keys = Keyring::hs256(SECRET).expect("a valid secret");
    World::with_keys(keys, |builder| builder.cookies(|cookies| cookies.encrypted())).await
}

/// An encrypted cookie with these parts, by an attacker who knows the refresh key.
fn encrypted(world: &World, kind: Kind, header: &str, token: &[u8]) -> String {
    let mac = |message: &[u8]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(world.forge.refresh_key()).expect("any length");
        mac.update(message);
        <[u8; 32]>::from(mac.finalize().into_bytes())
    };
    let vector = [9; 12];
    let label = format!("tower-sliding-sessions cookie key v1 {} ", kind.typ());
    let cipher = Aes256Gcm::new((&mac(&[label.as_bytes(), &vector].concat())).into());
    let (header, mut text) = (encode(header), token.to_vec());
    let buffer = (&mut text[..]).into();
    let tag = cipher.encrypt_inout_detached((&vector).into(), header.as_bytes(), buffer).expect("encrypted");
    format!("{header}..{}.{}.{}", encode(vector), encode(&text), encode(&tag[..]))
}

fn header(world: &World, kind: Kind) -> String {
    format!(r#"{{"alg":"dir","enc":"A256GCM","kid":"{}","cty":"{}"}}"#, world.forge.kid, kind.typ())
}

/// The plain tokens of the same user, of an application with the same keys and store.
async fn plain(world: &World) -> Pair {
    let keys = Keyring::hs256(SECRET).expect("a valid secret");
    let plain = World::with_keys(keys, |builder| builder.store(world.store.clone())).await;
    plain.legitimate
}

#[tokio::test]
async fn randomly_changed_encrypted_cookie_is_refused() {
    fuzz::randomly_changed_tokens(world().await, 3_000).await;
}

#[tokio::test]
async fn every_changed_character_of_an_encrypted_cookie_is_refused() {
    let world = world().await;
    for kind in BOTH {
        let cookie = kind.of(&world.legitimate).as_bytes();
        assert_eq!(cookie.iter().filter(|b| **b == b'.').count(), 4);
        for at in 0..cookie.len() {
            let mut changed = cookie.to_vec();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let (access, refresh) = kind.alone(&changed);
            world.refuses(&format!("byte {at}"), access, refresh).await;
        }
    }
    world.still_serves_legitimate_clients().await;
}

#[tokio::test]
async fn forged_header_is_refused_although_the_text_within_is_a_valid_token() {
    let world = world().await;
    let plain = plain(&world).await;
    for kind in BOTH {
        let (token, good) = (kind.of(&plain), header(&world, kind));
        for bad in [
            good.replace("A256GCM", "A128GCM"),
            good.replace("A256GCM", "A128CBC-HS256"),
            good.replace("\"dir\"", "\"dir\",\"zip\":\"DEF\""),
            good.replace("\"dir\"", "\"dir\",\"crit\":[\"exp\"]"),
            good.replace("\"dir\"", "\"dir\",\"alg\":\"dir\""),
            good.replace("\"dir\"", "\"A256KW\""),
            good.replace("\"dir\"", "\"dir\",\"jku\":\"https://elsewhere.example\""),
            good.replace(kind.typ(), kind.other().typ()),
            good.replace(kind.typ(), "JWT"),
            good.replace(&world.forge.kid, "unknown"),
            good.replace(",\"cty\"", ",\"exp\":null,\"cty\""),
            good.replace(",\"cty\"", ",\"exp\":-1,\"cty\""),
            format!(" {good}"),
            format!("[{good}]"),
            "{}".to_owned(),
        ] {
            assert_ne!(bad, good);
            world.refuses_token(&bad, encrypted(&world, kind, &bad, token.as_bytes())).await;
        }
        let cookie = encrypted(&world, kind, &good, token.as_bytes());
        let parts: Vec<_> = cookie.split('.').collect();
        let [head, _, vector, text, tag] = parts[..] else { panic!("five parts") };
        for bad in [
            format!("{head}.AAAA.{vector}.{text}.{tag}"),
            format!("{head}..{vector}.{text}.{tag}."),
            format!("{head}..{vector}.{text}.{tag}="),
            format!("{head}..{vector}A.{text}.{tag}"),
            format!("{head}..{vector}.{text}.{}", &tag[..tag.len() - 4]),
            format!("{head}..{vector}.{text}."),
            format!("{head}...{tag}"),
            format!("{head}..{vector}..{tag}"),
            format!("{head}.{vector}.{text}.{tag}"),
            head.to_owned(),
            format!("{head}...."),
        ] {
            world.refuses_token(&bad, &bad).await;
        }
    }
    world.still_serves_legitimate_clients().await;
}

#[tokio::test]
async fn forged_content_is_refused() {
    let world = world().await;
    let plain = plain(&world).await;
    for kind in BOTH {
        let good = header(&world, kind);
        let token = kind.of(&plain);
        let nested = encrypted(&world, kind, &good, token.as_bytes());
        let unsigned = format!("{}.", token.rsplit_once('.').expect("a signature").0);
        for bad in [
            &b""[..],
            b".",
            b"..",
            b"{}",
            b"\xff\xfe",
            nested.as_bytes(),
            unsigned.as_bytes(),
            &token.as_bytes()[1..],
            kind.other().of(&plain).as_bytes(),
            world.forge.sign_raw(kind, "e30.e30").as_bytes(),
        ] {
            let what = String::from_utf8_lossy(bad).into_owned();
            world.refuses_token(&what, encrypted(&world, kind, &good, bad)).await;
        }
        // What the attacker encrypts around a valid token is the same session.
        let (access, refresh) = kind.alone(nested.as_bytes());
        assert_eq!(world.get_with(access, refresh).await.status, 200, "{kind:?}");
    }
    world.still_serves_legitimate_clients().await;
}

#[tokio::test]
async fn encrypted_cookies_of_two_sign_ins_share_nothing_but_their_header() {
    let world = world().await;
    let other = sign_in(&world.app, "ann").await;
    for kind in BOTH {
        let parts = |pair| kind.of(pair).split('.').map(str::to_owned).collect::<Vec<_>>();
        let (one, two): (Vec<_>, Vec<_>) = (parts(&world.legitimate), parts(&other));
        assert_eq!(one[0], two[0]);
        let same = one[3].bytes().zip(two[3].bytes()).filter(|(a, b)| a == b).count();
        assert!(same < one[3].len() / 8, "{same} of {}", one[3].len());
    }
}
