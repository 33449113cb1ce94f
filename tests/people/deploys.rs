//! Two versions of an application run side by side. The new version's claims have one more member.

use std::{
    io,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    http::{Request, Response},
    routing::get,
};
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use tower::ServiceExt as _;
use tower_sliding_sessions::{
    Claims, Event, EventKind, InvalidToken, ManualClock, Reload, Session, Sessions, SessionsBuilder,
    Severity, Timestamp, protocol::Refusal, store::MemoryStore,
};

use crate::support::{TTL, keys};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Before {
    role: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct After {
    role: String,
    team: String,
}

/// With a default, as the documentation recommends.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Careful {
    role: String,
    #[serde(default)]
    team: String,
}

struct World {
    store: MemoryStore,
    clock: Arc<ManualClock>,
    events: Arc<Mutex<Vec<Event>>>,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        Self { store: MemoryStore::new().unwrap(), clock, events: Arc::default() }
    }

    /// One version of the application.
    fn version<C: Claims>(&self, tune: impl FnOnce(SessionsBuilder<C>) -> SessionsBuilder<C>) -> Sessions<C> {
        let log = self.events.clone();
        let builder = Sessions::builder(keys(0)).clock(self.clock.clone()).store(self.store.clone());
        let builder = builder.on_event(move |event| log.lock().unwrap().push(event.clone()));
        tune(builder).build().unwrap()
    }

    async fn signed_in(&self) -> String {
        let before = self.version::<Before>(|builder| builder);
        let visitor = before.visitor(&Request::post("/").body(()).unwrap()).unwrap();
        let mut headers = http::HeaderMap::new();
        visitor.sign_in("ann", Before { role: "boss".into() }).await.unwrap().apply(&mut headers);
        cookies(&headers)
    }

    fn reported(&self, kind: &EventKind) -> Option<(Severity, String)> {
        let events = self.events.lock().unwrap();
        let event = events.iter().find(|event| event.kind == *kind)?;
        Some((kind.severity(), event.cause.as_deref().unwrap_or_default().to_owned()))
    }
}

fn cookies(headers: &http::HeaderMap) -> String {
    let lines = headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap());
    lines.map(|line| line.split_once(';').unwrap().0).collect::<Vec<_>>().join("; ")
}

async fn get_me<C: Claims>(sessions: &Sessions<C>, name: &str, value: &str) -> Response<Body> {
    let show = async |session: Session<C>| serde_json::to_string(session.claims()).unwrap();
    let layer = sessions.layer().accept_bearer();
    let app = Router::new().route("/me", get(show)).route_layer(layer);
    app.oneshot(Request::get("/me").header(name, value).body(Body::empty()).unwrap()).await.unwrap()
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn unreadable_claims_are_replaced_by_the_hook_and_no_session_ends() {
    let world = World::new();
    let cookies_before = world.signed_in().await;
    let asked = Arc::<Mutex<Vec<bool>>>::default();
    let log = asked.clone();
    let after = world.version::<After>(move |builder| {
        builder.reload_claims(move |_, claims| {
            log.lock().unwrap().push(claims.is_some());
            let claims = After { role: "boss".into(), team: "red".into() };
            async move { Ok::<_, io::Error>(Reload::Replace(claims)) }
        })
    });
    // By a valid access token, and by an expired one.
    for passed in [0, TTL] {
        world.clock.advance(std::time::Duration::from_secs(passed));
        let response = get_me(&after, "cookie", &cookies_before).await;
        assert_eq!(response.status(), 200);
        let renewed = cookies(response.headers());
        assert_eq!(text(response).await, r#"{"role":"boss","team":"red"}"#);
        // The next request needs no renewal. The old version reads what the new one wrote.
        let response = get_me(&after, "cookie", &renewed).await;
        assert!(response.status() == 200 && response.headers().get("set-cookie").is_none());
        let before = world.version::<Before>(|builder| builder);
        assert_eq!(text(get_me(&before, "cookie", &renewed).await).await, r#"{"role":"boss"}"#);
    }
    assert_eq!(*asked.lock().unwrap(), [false, false], "the record's claims cannot be read");
    assert!(world.reported(&EventKind::Refused(Refusal::UnreadableClaims)).is_none());
    let unreadable = EventKind::AccessTokenInvalid(InvalidToken::Unreadable);
    assert_eq!(world.reported(&unreadable).unwrap().0, Severity::Warning);
}

#[tokio::test]
async fn unreadable_claims_without_a_hook_are_refused_with_a_warning_that_names_the_member() {
    let world = World::new();
    let cookies = world.signed_in().await;
    let after = world.version::<After>(|builder| builder);
    assert_eq!(get_me(&after, "cookie", &cookies).await.status(), 401);
    assert_eq!(world.reported(&EventKind::Refused(Refusal::UnreadableClaims)).unwrap().0, Severity::Warning);
    let (severity, cause) = world.reported(&EventKind::ClaimsUnreadable).unwrap();
    assert!(severity >= Severity::Warning && cause.contains("team"), "{cause}");
    // The session is still valid: the old version serves it, and so does a version with a default.
    let before = world.version::<Before>(|builder| builder);
    assert_eq!(get_me(&before, "cookie", &cookies).await.status(), 200);
    let careful = world.version::<Careful>(|builder| builder);
    let response = get_me(&careful, "cookie", &cookies).await;
    assert_eq!(text(response).await, r#"{"role":"boss","team":""}"#);
}

#[tokio::test]
async fn bearer_token_with_claims_of_another_version_is_refused_as_invalid() {
    let world = World::new();
    let cookies = world.signed_in().await;
    let token = cookies.split_once('=').unwrap().1.split_once(';').unwrap().0.to_owned();
    let after = world.version::<After>(|builder| builder);
    let response = get_me(&after, "authorization", &format!("Bearer {token}")).await;
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()["www-authenticate"], r#"Bearer error="invalid_token""#);
    let unreadable = EventKind::AccessTokenInvalid(InvalidToken::Unreadable);
    assert_eq!(world.reported(&unreadable).unwrap().0, Severity::Warning);
}

#[tokio::test]
async fn token_with_claims_of_another_version_still_names_its_session_for_sign_out() {
    for by_cookie in [true, false] {
        let world = World::new();
        let cookies = world.signed_in().await;
        let (access, _) = cookies.split_once("; ").unwrap();
        let after = world.version::<After>(|builder| builder);
        if by_cookie {
            let request = Request::post("/").header("cookie", access).body(()).unwrap();
            after.visitor(&request).unwrap().sign_out().await.unwrap().apply(&mut http::HeaderMap::new());
        } else {
            let form = format!("token={}", access.split_once('=').unwrap().1);
            let request =
                Request::post("/revoke").header("content-type", "application/x-www-form-urlencoded");
            let router = tower_sliding_sessions::oauth::OAuth::new(&after).router::<()>();
            let response = router.oneshot(request.body(Body::from(form)).unwrap()).await.unwrap();
            assert_eq!(response.status(), 200);
        }
        assert_eq!(after.list("ann").await.unwrap().len(), 0);
        let before = world.version::<Before>(|builder| builder);
        let (_, refresh) = cookies.split_once("; ").unwrap();
        assert_eq!(get_me(&before, "cookie", refresh).await.status(), 401);
    }
}

#[tokio::test]
async fn deployment_that_signs_users_out_is_a_warning() {
    // The realm was renamed.
    let world = World::new();
    let cookies = world.signed_in().await;
    let renamed = world.version::<Before>(|builder| builder.realm("renamed"));
    assert_eq!(get_me(&renamed, "cookie", &cookies).await.status(), 401);
    let event = EventKind::RefreshTokenInvalid(InvalidToken::Audience);
    assert_eq!(world.reported(&event).unwrap().0, Severity::Warning);
    // The store was replaced, or the memory store lost its data by a restart.
    let restarted = World { store: MemoryStore::new().unwrap(), ..world };
    let before = restarted.version::<Before>(|builder| builder);
    assert_eq!(get_me(&before, "cookie", &cookies).await.status(), 401);
    let event = EventKind::Refused(Refusal::OtherRunId);
    assert_eq!(restarted.reported(&event).unwrap().0, Severity::Warning);
}
