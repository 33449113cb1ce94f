//! Roles, scopes and step-up, with the challenges of RFC 6750 and RFC 9470.

use std::time::Duration;

use axum::routing::get;

use crate::support::{Issuer, Service};

#[tokio::test]
async fn guards_admit_by_role_scope_and_authentication() {
    let issuer = Issuer::new();
    let tokens = issuer.sign_in().await;
    let billing = issuer.billing(&tokens, "scope=invoices:read+x").await;
    let service = Service::new(&issuer, |builder| builder).routed(|app, verifier, layer| {
        let guarded = |path: &'static str, require| {
            axum::Router::new().route(path, get(async || "in")).route_layer(require)
        };
        app.merge(guarded("/admin", verifier.require().claims(|profile| profile.role == "admin")))
            .merge(guarded("/read", verifier.require().scope("invoices:read")))
            .merge(guarded("/write", verifier.require().scope("invoices:write")))
            .merge(guarded("/prefix", verifier.require().scope("invoices")))
            .merge(guarded("/otp", verifier.require().method("otp")))
            .merge(guarded("/pwd", verifier.require().method("pwd")))
            .merge(guarded("/recent", verifier.require().authenticated_within(Duration::from_secs(60))))
            .route_layer(layer)
    });
    issuer.pass(61);
    let forbidden = (403, r#"Bearer error="insufficient_scope""#.to_owned());
    let step_up = (403, r#"Bearer error="insufficient_user_authentication""#.to_owned());
    let fine = (200, String::new());
    for (path, token, wanted) in [
        ("/admin", &tokens.access, &fine),
        ("/admin", &billing, &forbidden),
        ("/read", &billing, &fine),
        ("/read", &tokens.access, &forbidden),
        ("/write", &billing, &forbidden),
        ("/prefix", &billing, &forbidden),
        ("/otp", &tokens.access, &step_up),
        ("/otp", &billing, &step_up),
        ("/pwd", &billing, &fine),
        ("/recent", &tokens.access, &step_up),
        ("/recent", &billing, &step_up),
    ] {
        let answer = service.get_path(path, token).await;
        let got = (answer.status.as_u16(), answer.header("www-authenticate").to_owned());
        assert_eq!(got, *wanted, "{path}");
    }
    let problem = service.get_path("/recent", &billing).await.body;
    assert!(problem.contains(r#""code":"reauthentication_required""#), "{problem}");
}

#[tokio::test]
async fn guard_outside_the_layer_of_its_verifier_answers_500() {
    let issuer = Issuer::new();
    let tokens = issuer.sign_in().await;
    let other = Service::new(&issuer, |builder| builder);
    let service = Service::new(&issuer, |builder| builder).routed(|app, _, layer| {
        app.route("/x", get(async || "in"))
            .route_layer(other.verifier.require().scope("a"))
            .route_layer(layer)
    });
    assert_eq!(service.get_path("/x", &tokens.access).await.status.as_u16(), 500);
}
