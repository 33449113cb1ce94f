//! Many operations, and all output about them: logs, events, responses. None of it holds a token, a
//! session ID or the secret.

use std::{fmt::Write as _, time::Duration};

use axum::http::{Method, StatusCode, header};

#[cfg(feature = "tracing")]
use crate::scribe;
use crate::{
    debug::Secrets,
    forge::Kind,
    world::{ACCESS, Answer, Pair, REFRESH, SECRET, World, send},
};

/// What clients and operators see, and the secrets that it must not hold.
struct Story {
    world: World,
    secrets: Secrets,
    said: String,
}

impl Story {
    /// Sends cookies, and records the response without the cookies it sets.
    async fn send(&mut self, method: Method, path: &str, access: &str, refresh: &str) -> Answer {
        let line = format!("{ACCESS}={access}; {REFRESH}={refresh}");
        let answer = send(&self.world.app, method, path, &[line.as_bytes()]).await;
        let others = answer.headers.iter().filter(|(name, _)| *name != header::SET_COOKIE);
        let (headers, body) = (others.collect::<Vec<_>>(), String::from_utf8_lossy(&answer.body));
        writeln!(self.said, "{} {headers:?} {body}", answer.status).expect("writing to a string never fails");
        for name in [ACCESS, REFRESH] {
            if let Some(token) = answer.cookie(name).filter(|value| !value.is_empty()) {
                self.secrets.add_token("a token", &token);
            }
        }
        answer
    }

    async fn get(&mut self, pair: &Pair) -> Answer {
        self.send(Method::GET, "/me", &pair.access, &pair.refresh).await
    }

    fn after(&self, secs: u64) {
        self.world.clock.advance(Duration::from_secs(secs));
    }

    async fn sign_in(&mut self) -> Pair {
        let answer = self.send(Method::POST, "/login/ann", "", "").await;
        assert_eq!(answer.status, StatusCode::OK);
        let [access, refresh] = [ACCESS, REFRESH].map(|name| answer.cookie(name).expect("a cookie"));
        Pair { access, refresh }
    }
}

/// The cookies after a response.
fn renewed(answer: &Answer, before: &Pair) -> Pair {
    Pair {
        access: answer.cookie(ACCESS).unwrap_or_else(|| before.access.clone()),
        refresh: answer.cookie(REFRESH).unwrap_or_else(|| before.refresh.clone()),
    }
}

async fn tell(story: &mut Story) {
    let first = story.sign_in().await;
    assert_eq!(story.get(&first).await.status, StatusCode::OK);

    // Renewals: early, rotated, by the predecessor, confirmed.
    story.after(275);
    let answer = story.get(&first).await;
    let second = renewed(&answer, &first);
    assert_ne!(second.refresh, first.refresh);
    story.after(1);
    assert_eq!(story.get(&Pair { access: String::new(), ..first.clone() }).await.status, StatusCode::OK);
    assert_eq!(story.get(&second).await.status, StatusCode::OK);
    let confirmed = story.get(&Pair { access: "expired".to_owned(), ..second.clone() }).await;
    assert_eq!(confirmed.status, StatusCode::OK);

    // An outage, and its end.
    story.world.store.set_unavailable(true);
    let unavailable = story.send(Method::GET, "/me", "", &second.refresh).await;
    assert_eq!(unavailable.status, StatusCode::SERVICE_UNAVAILABLE);
    let unavailable = story.send(Method::POST, "/logout", &second.access, &second.refresh).await;
    assert_eq!(unavailable.status, StatusCode::SERVICE_UNAVAILABLE);
    let unavailable = story.send(Method::POST, "/login/bob", "", "").await;
    assert_eq!(unavailable.status, StatusCode::SERVICE_UNAVAILABLE);
    story.world.store.set_unavailable(false);

    // Refusals of each kind.
    let forged = |kind: Kind, name: &str, value: &str| {
        let forge = &story.world.forge;
        forge.token(kind, forge.header(kind), forge.payload_with(kind, name, value))
    };
    let bad = [
        forged(Kind::Access, "aud", "\"other\""),
        forged(Kind::Refresh, "sub", "\"another user\""),
        forged(Kind::Refresh, "run", "\"0123456789abcdef\""),
        forged(Kind::Refresh, "exp", "1"),
        format!("{}x", second.refresh),
        format!("x.{}", second.access),
        second.access.replace('.', "!"),
        "x".repeat(5000),
    ];
    for token in bad {
        let refused = story.send(Method::GET, "/me", &token, &token).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        let twice = story.send(Method::GET, "/me", &second.access, &format!("x; {ACCESS}={token}")).await;
        assert_eq!(twice.status, StatusCode::OK);
    }
    // An access token confirms its generation once that is old enough. Then it is rotated.
    story.after(290);
    let answer = story.get(&second).await;
    let second = renewed(&answer, &second);
    story.after(290);
    let answer = story.get(&second).await;
    let third = renewed(&answer, &second);
    assert_ne!(third.refresh, second.refresh);

    // A copy, long after its successor was confirmed.
    assert_eq!(story.get(&third).await.status, StatusCode::OK);
    tokio::task::yield_now().await;
    story.after(100);
    let reuse = story.send(Method::GET, "/me", "", &first.refresh).await;
    assert_eq!(reuse.status, StatusCode::UNAUTHORIZED);
    assert_eq!(story.get(&third).await.status, StatusCode::UNAUTHORIZED);

    // A second sign-in, a sign-out, and a request with the old cookies.
    let again = story.sign_in().await;
    let out = story.send(Method::POST, "/logout", &again.access, &again.refresh).await;
    assert_eq!(out.status, StatusCode::OK);
    assert_eq!(story.get(&again).await.status, StatusCode::UNAUTHORIZED);
    let last = story.sign_in().await;
    story.after(8000);
    assert_eq!(story.get(&last).await.status, StatusCode::UNAUTHORIZED);
    story.world.sessions.revoke_everything().await.expect("ended");
    assert_eq!(story.get(&last).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn output_of_many_operations_holds_no_secret() {
    #[cfg(feature = "tracing")]
    let logged = scribe::listen();
    let world = World::new().await;
    let mut secrets = Secrets::new(SECRET);
    secrets.add_token("the access token", &world.legitimate.access);
    secrets.add_token("the refresh token", &world.legitimate.refresh);
    let mut story = Story { world, secrets, said: String::new() };
    tell(&mut story).await;
    story.world.sessions.shutdown().await;

    let Story { world, secrets, said } = story;
    let events = world.events.lock().expect("no panic");
    let names: Vec<_> = events.iter().map(|event| event.kind.name()).collect();
    for name in [
        "session_created",
        "session_renewed",
        "session_refused",
        "session_expired",
        "access_token_invalid",
        "refresh_token_invalid",
        "authn_token_reuse",
        "authn_token_revoked",
        "session_everything_revoked",
        "session_store_failed",
        "session_conflicting_cookies",
    ] {
        assert!(names.contains(&name), "{name} did not happen: {names:?}");
    }
    secrets.are_not_in("an answer", &said);
    secrets.are_not_in("an event", &format!("{events:?}"));
    #[cfg(feature = "tracing")]
    {
        let log = logged();
        secrets.are_not_in("the log", &log);
        for name in names {
            assert!(log.contains(name), "{name} was not logged:\n{log}");
        }
    }
}
