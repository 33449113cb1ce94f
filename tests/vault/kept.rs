//! Where tokens are kept, and when they end.

use std::time::Duration;

use tower_sliding_sessions::{
    Clock as _,
    store::{
        SqliteStore,
        sqlx::{self, AssertSqlSafe, Connection as _, PgConnection, SqlitePool},
    },
    vault::{Lost, Provider, TokenSet, Vault, VaultError},
};

use crate::{
    provider::{Mode, Upstream},
    site::{self, DAY, Site},
};

#[tokio::test]
async fn tokens_of_a_session_end_with_it() {
    let site = Site::alone(|_| Provider::new("github"));
    let (session, other) = (site.open("ann").await, site.open("ann").await);
    let tokens = TokenSet::new("an access token without an end");
    site.vault.keep(&session, "github", &tokens).await.expect("kept");
    let used = site.vault.access_token(&session, "github").await.expect("a token");
    assert_eq!(used.access_token(), tokens.access_token());
    let missing = site.vault.access_token(&other, "github").await;
    assert!(matches!(missing, Err(VaultError::Missing)), "it belongs to one session: {missing:?}");
    let _cookies = session.sign_out().await.expect("signed out");
    for answer in [
        site.vault.access_token(&session, "github").await.map(drop),
        site.vault.keep(&session, "github", &tokens).await,
        site.vault.forget(&session, "github").await,
    ] {
        assert!(matches!(answer, Err(VaultError::Ended)), "{answer:?}");
    }
}

#[tokio::test]
async fn tokens_that_were_kept_at_sign_in_are_there_from_the_beginning() {
    use tower_sliding_sessions::{CookieJar, SetCookies};

    let site = Site::alone(|_| Provider::new("github"));
    let request = axum::http::Request::get("http://localhost/").body(()).expect("a request");
    let visitor = site.sessions.visitor(&request).expect("a visitor");
    let tokens = TokenSet::new("given at sign-in");
    let sign_in = site.vault.sign_in(visitor.sign_in("ann", ()), "github", &tokens).expect("they fit");
    let cookies: SetCookies = sign_in.await.expect("signed in");
    let mut response = axum::http::Response::new(());
    cookies.apply(response.headers_mut());
    let mut jar = CookieJar::default();
    jar.keep(&response);
    let session =
        site.session(jar.header().expect("cookies").to_str().expect("text")).await.expect("a session");
    let used = site.vault.access_token(&session, "github").await.expect("a token");
    assert_eq!(used.access_token(), "given at sign-in");
}

#[tokio::test]
async fn tokens_of_a_subject_outlive_sessions_until_they_are_forgotten_or_their_age_is_over() {
    let site = Site::alone(|_| Provider::new("facebook").with_subject(DAY));
    let session = site.open("ann").await;
    let tokens = TokenSet::new("a long-lived token");
    site.vault.keep(&session, "facebook", &tokens).await.expect("kept");
    let _cookies = session.sign_out().await.expect("signed out");
    let of = async |subject| site.vault.access_token_for_subject(subject, "facebook").await;
    assert_eq!(of("ann").await.expect("a token").access_token(), tokens.access_token());
    assert!(matches!(of("bob").await, Err(VaultError::Missing)));
    site.vault.forget_subject("ann", "facebook").await.expect("forgotten");
    assert!(matches!(of("ann").await, Err(VaultError::Missing)));
    site.vault.keep_for_subject("ann", "facebook", &tokens).await.expect("kept");
    site.clock.advance(DAY - Duration::from_millis(1));
    assert!(of("ann").await.is_ok());
    site.clock.advance(Duration::from_millis(1));
    assert!(matches!(of("ann").await, Err(VaultError::Missing)));
}

#[tokio::test]
async fn wrong_owner_unknown_provider_and_too_long_tokens_are_errors_of_their_own() {
    let site = Site::alone(|_| Provider::new("github"));
    let session = site.open("ann").await;
    let tokens = TokenSet::new("x".repeat(64 * 1024));
    assert!(matches!(site.vault.keep(&session, "github", &tokens).await, Err(VaultError::TooLong)));
    assert!(matches!(site.vault.access_token(&session, "gitlab").await, Err(VaultError::UnknownProvider)));
    let needs = site.vault.access_token_for_subject("ann", "github").await;
    assert!(matches!(needs, Err(VaultError::NeedsSession)));
    let subjects = Vault::new(&site.sessions, [Provider::new("facebook").with_subject(DAY)]);
    let request = axum::http::Request::get("http://localhost/").body(()).expect("a request");
    let visitor = site.sessions.visitor(&request).expect("a visitor");
    let needs = subjects.sign_in(visitor.sign_in("ann", ()), "facebook", &TokenSet::new("x")).map(drop);
    assert!(matches!(needs, Err(VaultError::NeedsSubject)));
    let tokens = TokenSet::new("x".repeat(60 * 1024));
    site.vault.keep(&session, "github", &tokens).await.expect("kept");
    assert_eq!(
        site.vault.access_token(&session, "github").await.expect("a token").access_token().len(),
        60 * 1024
    );
}

#[tokio::test]
async fn expired_token_without_a_way_to_renew_it_needs_a_new_sign_in() {
    let site = Site::alone(|_| Provider::new("github"));
    let session = site.open("ann").await;
    let tokens = TokenSet::new("short").expires_at(site.now() + Duration::from_secs(60));
    site.vault.keep(&session, "github", &tokens).await.expect("kept");
    site.clock.advance(Duration::from_secs(59));
    assert!(site.vault.access_token(&session, "github").await.is_ok());
    site.clock.advance(Duration::from_secs(1));
    let expired = site.vault.access_token(&session, "github").await;
    assert!(matches!(expired, Err(VaultError::SignInAgain(Lost::Expired))), "{expired:?}");
}

#[tokio::test]
async fn renewal_of_a_session_that_ends_meanwhile_brings_nothing_back() {
    let upstream = Upstream::start(Mode::Rotates).await;
    let site = Site::alone(|clock| upstream.provider(clock));
    let session = site.open("ann").await;
    let tokens = upstream.sign_in(site.now()).expires_at(site.now());
    site.vault.keep(&session, "github", &tokens).await.expect("kept");
    let used = tokio::spawn({
        let (site, session) = (site.clone(), session.clone());
        async move { site.vault.access_token(&session, "github").await }
    });
    while upstream.requests() == 0 {
        tokio::task::yield_now().await;
    }
    let _cookies = session.sign_out().await.expect("signed out");
    let used = used.await.expect("no panic");
    assert!(matches!(used, Err(VaultError::Ended)), "{used:?}");
}

#[tokio::test]
async fn tokens_of_subjects_are_deleted_after_their_age() {
    let (provider, clock) = (Provider::new("facebook").with_subject(DAY), site::clock());
    let now = clock.now();
    clock.set(now - 2 * DAY);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sessions.db");
    let sqlite = SqliteStore::open(path.to_str().expect("UTF-8")).await.expect("it opens");
    let (postgres, url, schema) = site::postgres_store().await;
    let mut admin = PgConnection::connect(&url).await.expect("the server answers");
    let file = SqlitePool::connect(&format!("sqlite://{}", path.display())).await.expect("it opens");
    let tokens = TokenSet::new("a long-lived token");
    for (at, name) in [(now - 2 * DAY, "old"), (now, "new")] {
        clock.set(at);
        for site in [
            Site::new(sqlite.clone(), &clock, provider.clone()),
            Site::patient(postgres.clone(), &clock, provider.clone(), Duration::from_secs(60)),
        ] {
            site.vault.keep_for_subject(name, "facebook", &tokens).await.expect("kept");
        }
    }
    sqlite.sweep(now).await.expect("swept");
    postgres.sweep(now).await.expect("swept");
    let count = "SELECT COUNT(*) FROM sliding_sessions_values";
    let left: i64 = sqlx::query_scalar(count).fetch_one(&file).await.expect("a number");
    assert_eq!(left, 1);
    let count = AssertSqlSafe(format!("SELECT COUNT(*) FROM {schema}.sliding_sessions_values"));
    let left: i64 = sqlx::query_scalar(count).fetch_one(&mut admin).await.expect("a number");
    assert_eq!(left, 1);
}
