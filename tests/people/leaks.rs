//! Many operations, and all output about them: logs, events, responses, errors. None of it holds a token,
//! a part of one, a session ID or a key.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use axum::http::header;
use tower_sliding_sessions::{OriginVerdict, SessionId, store::Cap};

#[cfg(feature = "tracing")]
use crate::scribe;
use crate::{
    directory::{Directory, Says},
    near::{id, session_of},
    origin::placed,
    support::{ACCESS, Answer, Browser, GRACE, Profile, REFRESH, Sent, TTL, Trouble, World, claims_of, idle},
};

/// What clients and operators see, and the secrets that it must not hold.
struct Story {
    world: World,
    said: String,
    secrets: BTreeSet<String>,
}

impl Story {
    /// Sends a request, and records the response without its cookies and the test's own headers.
    async fn send(&mut self, browser: &mut Browser, sent: Sent) -> bool {
        let answer = self.world.one.answer(sent.and("x-place", "cafe")).await;
        idle().await;
        self.note_secrets(&answer);
        browser.receive(&answer);
        let ok = answer.status().is_success();
        let others = answer.headers().iter();
        let others =
            others.filter(|(name, _)| *name != header::SET_COOKIE && !name.as_str().starts_with("x-"));
        let headers = format!("{} {:?}", answer.status(), others.collect::<Vec<_>>());
        let extensions = format!("{:?}", answer.rejection());
        writeln!(self.said, "{headers} {extensions} {}", answer.text().await).unwrap();
        ok
    }

    fn note_secrets(&mut self, answer: &Answer) {
        for name in [ACCESS, REFRESH] {
            let Some(token) = answer.cookie(name).filter(|value| !value.is_empty()) else { continue };
            self.secrets.insert(token.to_owned());
            self.secrets.extend(token.split('.').map(str::to_owned));
            let sid = SessionId::decode(claims_of(token)["sid"].as_str().unwrap()).unwrap();
            let bytes = sid.as_bytes();
            let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            self.secrets.extend([sid.encode(), hex.to_uppercase(), hex, format!("{bytes:?}")]);
        }
    }

    fn say(&mut self, what: &impl std::fmt::Debug) {
        writeln!(self.said, "{what:?} {what:#?}").unwrap();
    }

    async fn sign_in(&mut self, place: &str) -> Browser {
        let mut browser = Browser::new();
        let sent = browser.post("/login?name=ann&role=clerk&by=pwd").with("x-place", Some(place));
        let answer = self.world.one.answer(sent).await;
        self.note_secrets(&answer);
        browser.receive(&answer);
        browser
    }
}

async fn tell(story: &mut Story, directory: &Directory) {
    let mut ann = story.sign_in("home").await;
    let attacker = ann.clone();
    // Changes that succeed with fresh and renewed tokens, and changes that fail.
    let huge = format!("/profile?role={}", "x".repeat(4000));
    for path in ["/profile?role=boss", "/sudo?by=otp", "/danger", "/otp", &huge] {
        for renewed in [false, true] {
            story.world.pass(if renewed { TTL } else { 61 });
            let sent = ann.post(path);
            story.send(&mut ann, sent).await;
        }
    }
    story.world.store.trouble_everywhere(&Trouble::Fail);
    for path in ["/profile?role=boss", "/sudo?by=pwd", "/revoke-others"] {
        let sent = ann.post(path);
        assert!(!story.send(&mut ann, sent).await);
    }
    let unavailable = story.world.one.sessions.mark_stale("ann").await.unwrap_err();
    story.say(&unavailable);
    story.world.store.recover();
    // Stale marks, and polling, with a hook that keeps, replaces, and fails.
    for says in [Says::Keep, Says::Role("boss".into()), Says::Role("x".repeat(4000)), Says::Fail] {
        directory.say("ann", says);
        story.world.one.sessions.mark_stale("ann").await.unwrap();
        for polls in [true, false] {
            story.world.pass(1);
            let sent = ann.get("/poll");
            let sent = if polls { sent.and("x-poll", "1") } else { sent };
            story.send(&mut ann, sent).await;
        }
    }
    directory.say("ann", Says::Keep);

    let session = session_of(&story.world.one, &ann).await;
    let waiting = session.ended();
    let (update, reauthentication) =
        (session.update(&Profile { role: "x".repeat(4000) }).await, session.reauthenticate(["x"]).await);
    story.say(&(
        &session,
        &update,
        &reauthentication,
        session.claims(),
        session.authenticated_at(),
        session.methods(),
    ));
    let mut headers = axum::http::HeaderMap::new();
    reauthentication.unwrap().apply(&mut headers);
    let line = headers.get(header::SET_COOKIE).unwrap().to_str().unwrap();
    let token = line.split(['=', ';']).nth(1).unwrap().to_owned();
    story.secrets.extend(token.split('.').map(str::to_owned));

    // One device above the cap, the list, and revocations.
    let mut other = story.sign_in("home").await;
    let too_many = other.clone();
    let sent = Browser::new().post("/login?name=ann");
    story.send(&mut other, sent).await;
    let listed = story.world.one.sessions.list("ann").await.unwrap();
    story.say(&listed);
    other = too_many;
    let sent = other.post("/revoke-others");
    assert!(story.send(&mut other, sent).await);
    waiting.await;
    let ended = session.update(&Profile::default()).await.unwrap_err();
    story.say(&ended);
    let sent = attacker.get("/poll").and("x-poll", "1");
    assert!(!story.send(&mut ann, sent).await);

    // Reuse detected by a passive request, and a locked user.
    let copied = other.clone();
    for seconds in [TTL, 1, GRACE + 1] {
        story.world.pass(seconds);
        let sent = other.get("/me");
        assert!(story.send(&mut other, sent).await);
    }
    let sent = copied.get("/poll").and("x-poll", "1");
    assert!(!story.send(&mut ann, sent).await);
    let mut last = story.sign_in("home").await;
    directory.say("ann", Says::End("locked"));
    story.world.pass(TTL);
    let sent = last.get("/me");
    assert!(!story.send(&mut last, sent).await);
    story.say(&id(&last));
}

#[tokio::test]
async fn output_of_many_operations_holds_no_secret() {
    #[cfg(feature = "tracing")]
    let logged = scribe::listen();
    let directory = Directory::default();
    let (hook, place) = (directory.clone(), placed(OriginVerdict::StepUp));
    let events = Arc::<Mutex<(String, BTreeSet<&'static str>)>>::default();
    let log = events.clone();
    let world = World::tuned(move |builder| {
        let log = log.clone();
        place(hook.of(builder)).max_sessions(Cap::Refuse(2)).on_event(move |event| {
            let mut log = log.lock().unwrap();
            writeln!(log.0, "{event:?}").unwrap();
            log.1.insert(event.kind.name());
        })
    });
    let secrets = BTreeSet::from(["3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE"[1..].to_owned()]);
    let mut story = Story { world, said: String::new(), secrets };
    tell(&mut story, &directory).await;
    story.world.one.sessions.shutdown().await;

    let events = events.lock().unwrap();
    for name in [
        "session_claims_updated",
        "authn_reauthenticated",
        "session_reload_failed",
        "session_cookie_too_large",
        "session_marked_stale",
        "session_origin_changed",
        "excess_sessions_exceeded",
        "authn_token_revoked",
        "authn_token_reuse",
        "session_revoked_by_application",
        "session_store_failed",
    ] {
        assert!(events.1.contains(name), "{name} did not happen:\n{}", events.0);
    }
    assert!(story.secrets.len() > 50 && story.said.len() > 2000);
    #[cfg_attr(not(feature = "tracing"), expect(unused_mut, reason = "there is no log"))]
    let mut places = vec![("an event", events.0.clone()), ("the responses", story.said.clone())];
    #[cfg(feature = "tracing")]
    {
        let log = logged();
        assert!(events.1.iter().all(|name| log.contains(name)), "{log}");
        places.push(("the log", log));
    }
    for (place, text) in &places {
        for secret in &story.secrets {
            assert!(!text.contains(secret.as_str()), "{secret} is in {place}:\n{text}");
        }
    }
}
