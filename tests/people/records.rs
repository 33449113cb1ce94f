//! Events as records of `tracing`: one each, at the level of its severity, under field names that
//! stay.

use tower_sliding_sessions::OriginVerdict;

use crate::{
    near::id,
    origin::{placed, signed_in_at, visit_from},
    scribe,
    support::{TTL, World},
};

#[tokio::test]
async fn each_event_is_a_record_whose_fields_are_the_same_everywhere() {
    let logged = scribe::listen();
    let place = placed(OriginVerdict::Report);
    let world = World::tuned(move |builder| place(builder).realm("shop"));
    let mut browser = signed_in_at(&world, Some("home")).await;
    let tag = id(&browser).tag().to_string();
    world.pass(TTL);
    assert!(visit_from(&mut browser, "cafe", &world.one, "/me").await.ok());
    world.one.sessions.mark_stale("ann").await.unwrap();
    world.one.sessions.revoke_all("ann").await.unwrap();

    let log = logged();
    let line = |event: &str| {
        let field = format!(" event=\"{event}\"");
        let mut lines = log.lines().filter(|line| line.contains(&field));
        let line = lines.next().unwrap_or_else(|| panic!("{event} is not in the log:\n{log}"));
        assert!(lines.next().is_none(), "{event} came twice:\n{log}");
        line.to_owned()
    };
    for (event, level, others) in [
        ("session_created", "INFO", format!(" detail=SignedIn realm=\"shop\" session={tag}")),
        (
            "session_renewed",
            "INFO",
            format!(" outcome=\"advanced\" detail=Renewed(Advanced) realm=\"shop\" session={tag}"),
        ),
        (
            "session_origin_changed",
            "WARN",
            format!(" outcome=\"report\" detail=OriginChanged(Report) realm=\"shop\" session={tag}"),
        ),
        ("session_marked_stale", "INFO", " detail=MarkedStale realm=\"shop\"".to_owned()),
        ("authn_token_revoked", "INFO", " detail=Revoked { sessions: 1 } realm=\"shop\"".to_owned()),
    ] {
        let line = line(event);
        assert!(line.starts_with(&format!("{level} tower_sliding_sessions")), "{line}");
        assert!(line.ends_with(&format!(" event=\"{event}\"{others}")), "{line}");
    }
}
