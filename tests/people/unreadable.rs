//! Claims that serialize and cannot be parsed back never reach the store.

use std::{
    collections::BTreeMap,
    error::Error as _,
    io,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    http::{Request, Response, StatusCode},
    response::IntoResponse as _,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use tower::ServiceExt as _;
use tower_sliding_sessions::{
    ChangeError, Event, EventKind, ManualClock, MintError, Rejection, RejectionKind, Reload, Session,
    Sessions, SessionsBuilder, SignInError, Timestamp,
};

use crate::support::{TTL, keys};

/// `NaN` serializes as `null`, which is not a number.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Reading {
    value: f64,
}

const GOOD: Reading = Reading { value: 1.5 };
const BAD: Reading = Reading { value: f64::NAN };

struct World {
    sessions: Sessions<Reading>,
    clock: Arc<ManualClock>,
    events: Arc<Mutex<Vec<Event>>>,
}

impl World {
    fn new(tune: impl FnOnce(SessionsBuilder<Reading>) -> SessionsBuilder<Reading>) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let events = Arc::<Mutex<Vec<Event>>>::default();
        let log = events.clone();
        let builder = Sessions::builder(keys(0)).clock(clock.clone());
        let builder = builder.on_event(move |event| log.lock().unwrap().push(event.clone()));
        Self { sessions: tune(builder).build().unwrap(), clock, events }
    }

    async fn send(&self, path: &str, cookies: &str) -> Response<Body> {
        let app = Router::new()
            .route("/value", get(async |session: Session<Reading>| session.claims().value.to_string()))
            .route(
                "/update",
                post(async |session: Session<Reading>| {
                    let refused = session.update(&BAD).await.unwrap_err();
                    assert!(matches!(refused, ChangeError::Claims(MintError::NotReadable(_))), "{refused:?}");
                    Rejection::from(refused).into_response()
                }),
            )
            .route_layer(self.sessions.layer());
        let method = if path == "/update" { "POST" } else { "GET" };
        let request = Request::builder().method(method).uri(path).header("cookie", cookies);
        app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    /// The causes of the events of this kind.
    fn causes(&self, kind: &EventKind) -> Vec<String> {
        let events = self.events.lock().unwrap();
        let of_kind = events.iter().filter(|event| event.kind == *kind);
        of_kind.map(|event| event.cause.as_deref().unwrap_or("none").to_owned()).collect()
    }
}

/// The `Cookie` header after a sign-in response.
fn cookies(set: &tower_sliding_sessions::SetCookies) -> String {
    let response = set.clone().into_response();
    let lines = response.headers().get_all("set-cookie").iter().map(|line| line.to_str().unwrap());
    lines.map(|line| line.split_once(';').unwrap().0).collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn sign_in_with_claims_that_cannot_be_read_back_fails_and_keeps_the_old_session() {
    let world = World::new(|builder| builder);
    let anonymous = world.sessions.visitor(&Request::post("/").body(()).unwrap()).unwrap();
    let cookies = cookies(&anonymous.sign_in("ann", GOOD).await.unwrap());
    let request = Request::post("/").header("cookie", &cookies).body(()).unwrap();
    let refused = world.sessions.visitor(&request).unwrap().sign_in("ann", BAD).await.unwrap_err();
    let SignInError::Claims(error @ MintError::NotReadable(_)) = &refused else { panic!("{refused:?}") };
    let source = error.source().expect("the cause").to_string();
    assert!(source.contains("null") && source.contains("f64"), "{source}");
    assert_eq!(Rejection::from(refused).kind(), RejectionKind::ClaimsUnreadable);

    assert_eq!(world.sessions.list("ann").await.unwrap().len(), 1, "nothing was stored");
    assert_eq!(
        world.send("/value", &cookies).await.status(),
        StatusCode::OK,
        "the old session is not revoked"
    );
    let causes = world.causes(&EventKind::ClaimsUnreadable);
    assert!(matches!(&*causes, [cause] if cause.contains(&source)), "{causes:?}");
}

#[tokio::test]
async fn update_with_claims_that_cannot_be_read_back_fails_and_keeps_the_old_claims() {
    let world = World::new(|builder| builder);
    let anonymous = world.sessions.visitor(&Request::post("/").body(()).unwrap()).unwrap();
    let cookies = cookies(&anonymous.sign_in("ann", GOOD).await.unwrap());
    let refused = world.send("/update", &cookies).await;
    assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(world.causes(&EventKind::ClaimsUnreadable).len(), 1);
    for _ in 0..2 {
        assert_eq!(world.send("/value", &cookies).await.status(), StatusCode::OK);
        world.clock.advance(std::time::Duration::from_secs(TTL));
    }
}

#[tokio::test]
async fn hook_claims_that_cannot_be_read_back_are_an_outage_until_fixed() {
    let says = Arc::new(Mutex::new(BAD));
    let hook = says.clone();
    let world = World::new(move |builder| {
        builder.reload_claims(move |_, _| {
            let says = hook.lock().unwrap().clone();
            async move { Ok::<_, io::Error>(Reload::Replace(says)) }
        })
    });
    let anonymous = world.sessions.visitor(&Request::post("/").body(()).unwrap()).unwrap();
    let cookies = cookies(&anonymous.sign_in("ann", GOOD).await.unwrap());
    assert_eq!(world.send("/value", &cookies).await.status(), StatusCode::OK);
    world.clock.advance(std::time::Duration::from_secs(TTL));
    assert_eq!(world.send("/value", &cookies).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(world.causes(&EventKind::ClaimsUnreadable).iter().all(|cause| cause.contains("null")));
    *says.lock().unwrap() = Reading { value: 2.5 };
    assert_eq!(world.send("/value", &cookies).await.status(), StatusCode::OK);
}

/// A type that refuses its own serialization.
#[derive(Clone, Debug, Serialize)]
struct Odd(u8);

impl<'de> Deserialize<'de> for Odd {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u8::deserialize(deserializer)? {
            odd if odd % 2 == 1 => Ok(Self(odd)),
            _ => Err(serde::de::Error::custom("an even number")),
        }
    }
}

#[tokio::test]
async fn error_of_the_types_own_reader_is_the_source() {
    let sessions = Sessions::<Odd>::builder(keys(0)).build().unwrap();
    assert!(sessions.cookie_of_sign_in(Odd(1)).await.is_ok());
    let refused = sessions.cookie_of_sign_in(Odd(2)).await.unwrap_err();
    let source = refused.source().unwrap().to_string();
    assert!(source.starts_with("an even number"), "{source}");
}

trait SignIn<C> {
    async fn cookie_of_sign_in(&self, claims: C) -> Result<(), SignInError>;
}

impl<C: tower_sliding_sessions::Claims> SignIn<C> for Sessions<C> {
    async fn cookie_of_sign_in(&self, claims: C) -> Result<(), SignInError> {
        let request = Request::post("/").body(()).unwrap();
        self.visitor(&request).unwrap().sign_in("ann", claims).await.map(drop)
    }
}

/// A hundred thousand members: if each were compared with all others, this would take minutes.
#[tokio::test]
async fn claims_with_many_members_are_checked_in_linear_time() {
    type Many = BTreeMap<String, u8>;
    let many: Many = (0..100_000).map(|n| (format!("member-{n}"), 1)).collect();
    let hook_claims = many.clone();
    let sessions = Sessions::<Many>::builder(keys(0)).reload_claims(move |_, _| {
        let many = hook_claims.clone();
        async move { Ok::<_, io::Error>(Reload::Replace(many)) }
    });
    let sessions = sessions.build().unwrap();
    let refused = sessions.cookie_of_sign_in(many).await.unwrap_err();
    assert!(
        matches!(refused, SignInError::Claims(MintError::TooLong { length: 2_000_000.., limit: 4096 })),
        "{refused:?}"
    );
    // The hook's claims are checked after the session was opened, and are too large for a cookie.
    let refused = sessions.cookie_of_sign_in(Many::new()).await.unwrap_err();
    assert!(matches!(refused, SignInError::Claims(MintError::TooLong { limit: 3072, .. })), "{refused:?}");
}
