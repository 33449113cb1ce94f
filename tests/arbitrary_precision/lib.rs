//! The effect of `serde_json/arbitrary_precision`, which any crate of a build can turn on for the whole
//! build. Claims that can be read back work. Claims that cannot be read back are refused at sign-in.

#![cfg(test)]

use std::error::Error as _;

use http::{Request, header};
use serde::{Deserialize, Serialize};
use tower_sliding_sessions::{Claims, Keyring, MintError, Sessions, SignInError};

fn sessions<C: Claims>() -> Sessions<C> {
    let keys = Keyring::hs256(b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE").expect("a valid secret");
    Sessions::builder(keys).build().expect("valid defaults")
}

async fn sign_in<C: Claims>(claims: C) -> Result<(), SignInError> {
    let sessions = sessions::<C>();
    let cookie = sessions.cookie_of("ann", claims).await?;
    // The sign-in worked: its cookies name the session, and the session can be signed out.
    let request = Request::post("/").header(header::COOKIE, cookie).body(()).expect("a request");
    let _cookies = sessions.visitor(&request).expect("same site").sign_out().await.expect("a memory store");
    assert_eq!(sessions.list("ann").await.expect("a memory store").len(), 0);
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct Plain {
    price: f64,
    counts: Vec<u64>,
    text: String,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Priced { price: f64 },
    Named { name: String },
}

#[derive(Serialize, Deserialize)]
struct Flattened {
    name: String,
    #[serde(flatten)]
    inner: Priced,
}

#[derive(Serialize, Deserialize)]
struct Priced {
    price: f64,
}

#[tokio::test]
async fn claims_that_can_be_read_back_work() {
    let plain = Plain { price: 1.5, counts: vec![0, u64::MAX], text: "é".to_owned() };
    sign_in(plain).await.expect("every member can be read back");
    sign_in(Tagged::Named { name: "ann".to_owned() }).await.expect("it has no number");
    let json = r#"{"a":[1,2.5,-3,1e30,{"b":12345678901234567890123}],"c":null}"#;
    sign_in(serde_json::from_str::<serde_json::Value>(json).expect("JSON")).await.expect("numbers of any size");
}

#[tokio::test]
async fn claims_that_cannot_be_read_back_are_refused_at_sign_in_with_the_reason() {
    let flattened = Flattened { name: "ann".to_owned(), inner: Priced { price: 1.5 } };
    for refused in [sign_in(Tagged::Priced { price: 1.5 }).await, sign_in(flattened).await] {
        let Err(SignInError::Claims(error @ MintError::NotReadable(_))) = refused else { panic!("{refused:?}") };
        let reason = error.source().expect("the reason").to_string();
        assert!(reason.contains("f64"), "{reason}");
    }
}
