//! Nested session layers of two realms with one claims type: customers and staff.

use axum::{Router, routing::any};
use http::StatusCode;
use tower_sliding_sessions::{RejectionKind, Session, SessionLayer, Sessions, Visitor};

use crate::support::{Browser, Instance, Profile, World, keys};

const STAFF: [&str; 2] = ["__Host-staff-access", "__Host-staff-refresh"];

struct Two {
    world: World,
    staff: Instance,
    /// Signed in as a customer, as staff, as both, and as neither.
    customer: Browser,
    clerk: Browser,
    both: Browser,
    neither: Browser,
}

impl Two {
    async fn new() -> Self {
        let world = World::new();
        let staff = world
            .other(|builder| builder.realm("staff").cookies(|cookies| cookies.names(STAFF[0], STAFF[1])));
        let customer = world.signed_in("ann").await;
        let mut both = customer.clone();
        assert!(both.submit(&staff, "/login?name=root").await.ok());
        let mut clerk = Browser::new();
        assert!(clerk.submit(&staff, "/login?name=root").await.ok());
        Self { world, staff, customer, clerk, both, neither: Browser::new() }
    }

    fn customers(&self) -> SessionLayer<Profile> {
        self.world.one.sessions.layer()
    }

    fn staff(&self) -> SessionLayer<Profile> {
        self.staff.sessions.layer()
    }

    /// Status, body and the reason for a refusal.
    async fn get(&self, app: &Router, browser: &Browser) -> (u16, String, Option<RejectionKind>) {
        let instance = Instance { app: app.clone(), ..self.world.one.clone() };
        let answer = instance.answer(browser.get("/")).await;
        let (status, kind) = (answer.status().as_u16(), answer.rejection());
        (status, answer.text().await, kind)
    }

    async fn sees(&self, app: &Router, browser: &Browser) -> String {
        let (status, text, kind) = self.get(app, browser).await;
        assert_eq!(status, 200, "{kind:?}");
        text
    }
}

async fn who(session: Option<Session<Profile>>) -> String {
    session.map_or_else(|| "anonymous".to_owned(), |session| session.subject().to_owned())
}

async fn must(session: Session<Profile>) -> String {
    session.subject().to_owned()
}

fn page() -> Router {
    Router::new().route("/", any(who))
}

#[tokio::test]
async fn rule_admits_no_session_of_another_realm() {
    let two = Two::new().await;
    let rule = || two.staff.sessions.require().claims(|_| true);
    // The staff layer is missing.
    let app = page().route_layer(rule()).layer(two.customers().optional());
    for browser in [&two.customer, &two.clerk, &two.both, &two.neither] {
        let (status, _, kind) = two.get(&app, browser).await;
        assert_eq!((status, kind), (500, Some(RejectionKind::RequireOutsideLayer)));
    }
    let app = page().route_layer(rule()).route_layer(two.staff()).layer(two.customers().optional());
    assert_eq!(two.get(&app, &two.customer).await.0, 401);
    assert_eq!(two.get(&app, &two.clerk).await.0, 200);
    // A rule of the outer realm inside the inner realm's layer.
    let rule = two.world.one.sessions.require().session(|session| session.subject() == "ann");
    let app = page().route_layer(rule).route_layer(two.staff().optional()).layer(two.customers());
    assert_eq!(two.get(&app, &two.both).await.0, 200);
    assert_eq!(two.get(&app, &two.customer).await.0, 200);
}

#[tokio::test]
async fn rule_without_conditions_requires_a_session() {
    let two = Two::new().await;
    let app = page().route_layer(two.world.one.sessions.require()).route_layer(two.customers().optional());
    assert_eq!(two.get(&app, &two.customer).await.0, 200);
    assert_eq!(two.get(&app, &two.neither).await.0, 401);
}

#[tokio::test]
async fn optional_inner_layer_neither_replaces_nor_hides_the_session_of_a_required_outer_one() {
    let two = Two::new().await;
    let app = page().route_layer(two.staff().optional()).layer(two.customers());
    for browser in [&two.customer, &two.both] {
        assert_eq!(two.sees(&app, browser).await, "ann");
    }
    let app = Router::new().route("/", any(must)).route_layer(two.staff().optional()).layer(two.customers());
    for browser in [&two.customer, &two.both] {
        assert_eq!(two.sees(&app, browser).await, "ann");
    }
}

#[tokio::test]
async fn required_inner_layer_determines_the_session() {
    let two = Two::new().await;
    for outer in [two.customers().optional(), two.customers()] {
        let app = page().route_layer(two.staff()).layer(outer);
        assert_eq!(two.sees(&app, &two.both).await, "root");
    }
    let app = page().route_layer(two.staff()).layer(two.customers().optional());
    assert_eq!(two.sees(&app, &two.clerk).await, "root");
    assert_eq!(two.get(&app, &two.customer).await.0, 401);
}

#[tokio::test]
async fn optional_layers_of_two_realms_are_ambiguous_for_every_client() {
    let two = Two::new().await;
    let app = page().route_layer(two.staff().optional()).layer(two.customers().optional());
    for browser in [&two.customer, &two.clerk, &two.both, &two.neither] {
        let (status, text, kind) = two.get(&app, browser).await;
        assert_eq!((status, kind), (500, Some(RejectionKind::AmbiguousLayer)));
        assert!(text.contains("Sessions::session_of"), "{text}");
    }
}

#[tokio::test]
async fn handler_can_name_the_realm() {
    let two = Two::new().await;
    let (shop, staff) = (two.world.one.sessions.clone(), two.staff.sessions.clone());
    let name = |sessions: &Sessions<Profile>, request: &http::Request<axum::body::Body>| {
        let session = sessions.session_of(request.extensions()).unwrap();
        session.map_or("anonymous", Session::subject).to_owned()
    };
    let handler = move |request: http::Request<axum::body::Body>| async move {
        format!("{} {}", name(&shop, &request), name(&staff, &request))
    };
    let app = Router::new()
        .route("/", any(handler))
        .route_layer(two.staff().optional())
        .layer(two.customers().optional());
    for (browser, seen) in [
        (&two.customer, "ann anonymous"),
        (&two.clerk, "anonymous root"),
        (&two.both, "ann root"),
        (&two.neither, "anonymous anonymous"),
    ] {
        assert_eq!(two.sees(&app, browser).await, seen);
    }
    let request = http::Request::new(());
    assert_eq!(
        two.staff.sessions.session_of(request.extensions()).unwrap_err().kind(),
        RejectionKind::MissingLayer
    );
}

#[tokio::test]
async fn layer_added_twice_is_one_and_required_if_either_is() {
    let two = Two::new().await;
    let app = page().route_layer(two.customers().optional()).layer(two.customers());
    assert_eq!(two.sees(&app, &two.customer).await, "ann");
    let app = page()
        .route_layer(two.customers().optional())
        .route_layer(two.staff().optional())
        .layer(two.customers());
    assert_eq!(two.sees(&app, &two.both).await, "ann");
}

#[tokio::test]
async fn visitor_of_a_realm_is_refused_inside_another_realms_layer() {
    let two = Two::new().await;
    let handler = async |session: Option<Session<Profile>>, _: Visitor<Profile>| who(session).await;
    let routes = || Router::new().route("/", any(handler)).with_state(two.staff.sessions.clone());
    let app = routes().layer(two.customers().optional());
    let (status, _, kind) = two.get(&app, &two.customer).await;
    assert_eq!((status, kind), (500, Some(RejectionKind::MissingLayer)));
    let app = routes().layer(two.staff().optional());
    assert_eq!(two.sees(&app, &two.clerk).await, "root");
    let outside = Router::new()
        .route("/", any(async |_: Visitor<Profile>| StatusCode::OK))
        .with_state(two.staff.sessions.clone());
    assert_eq!(two.get(&outside, &two.customer).await.0, 200);
}

#[tokio::test]
async fn wrong_claims_type_missing_layer_and_misplaced_rule_have_three_messages() {
    let two = Two::new().await;
    let texts = Sessions::<String>::builder(keys(0)).realm("texts").build().unwrap();
    let other = Router::new().route("/", any(async |_: Session<String>| "never")).layer(two.customers());
    let none = Router::new().route("/", any(must));
    let rule = page().route_layer(texts.require()).layer(two.customers());
    let mut said = Vec::new();
    for (app, expected) in [
        (other, RejectionKind::OtherClaims),
        (none, RejectionKind::MissingLayer),
        (rule, RejectionKind::RequireOutsideLayer),
    ] {
        let (status, text, kind) = two.get(&app, &two.customer).await;
        assert_eq!((status, kind), (500, Some(expected)));
        assert!(!said.contains(&text), "{text}");
        said.push(text);
    }
}
