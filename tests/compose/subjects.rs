//! Subjects of the ID types that applications have, and claims by value and by reference.

use http::{HeaderMap, Request};
use serde::{Deserialize, Serialize};
use tower_sliding_sessions::{Keyring, Sessions};

#[derive(Clone, Serialize, Deserialize)]
struct Profile {
    name: String,
}

#[tokio::test]
async fn subject_is_any_type_that_displays_as_text() {
    let sessions = Sessions::<Profile>::builder(Keyring::random().unwrap()).build().unwrap();
    let visitor = sessions.visitor(&Request::new(())).unwrap();
    let profile = Profile { name: "ann".to_owned() };
    let uuid = uuid::Uuid::from_u128(7);
    let mut headers = HeaderMap::new();

    visitor.sign_in(7_i64, profile.clone()).await.unwrap().apply(&mut headers);
    visitor.sign_in(uuid, profile.clone()).await.unwrap().apply(&mut headers);
    visitor.sign_in("ann", profile.clone()).await.unwrap().apply(&mut headers);
    visitor.sign_in(String::from("ann"), &profile).await.unwrap().apply(&mut headers);
    visitor.sign_in(&profile.name, &profile).await.unwrap().apply(&mut headers);
    let by_reference = async |profile: &Profile| visitor.sign_in(&profile.name, profile).await;
    by_reference(&profile).await.unwrap().apply(&mut headers);

    assert_eq!(sessions.list(7).await.unwrap().len(), 1);
    assert_eq!(sessions.list(uuid).await.unwrap().len(), 1);
    assert_eq!(sessions.revoke_all("ann").await.unwrap(), 4);
    assert_eq!(sessions.revoke_all(7).await.unwrap(), 1);
}

#[tokio::test]
async fn sign_in_does_not_borrow_the_subject() {
    let sessions = Sessions::<String>::builder(Keyring::random().unwrap()).build().unwrap();
    let visitor = sessions.visitor(&Request::new(())).unwrap();
    let sign_in = {
        let name = String::from("ann");
        visitor.sign_in(&name, name.clone())
    };
    sign_in.await.unwrap().apply(&mut HeaderMap::new());
}
