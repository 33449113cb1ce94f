//! Access tokens are renewed when they are asked for, by one request to the provider.

use std::time::Duration;

use tokio::task::JoinSet;
use tower_sliding_sessions::vault::{Lost, TokenSet, VaultError};

use crate::{
    provider::{LIFETIME, Mode, Upstream},
    site::{self, DAY, Site},
};

/// A hundred parallel uses of an expired token, on three instances, with a session and with a subject.
async fn hundred_uses_make_one_request(sites: &[Site; 3], upstream: &Upstream, with_subject: bool) {
    let [first, ..] = sites;
    let tokens = upstream.sign_in(first.now());
    let cookie = first.sessions.cookie_of("ann", ()).await.expect("signed in");
    let cookie = cookie.to_str().expect("text");
    let mut sessions = Vec::new();
    for site in sites {
        sessions.push(site.session(cookie).await.expect("a session"));
    }
    if with_subject {
        first.vault.keep_for_subject("ann", "github", &tokens).await.expect("kept");
    } else {
        first.vault.keep(&sessions[0], "github", &tokens).await.expect("kept");
    }
    for round in 1..=3 {
        first.clock.advance(LIFETIME);
        let mut uses = JoinSet::new();
        for number in 0..100 {
            let (site, session) = (sites[number % 3].clone(), sessions[number % 3].clone());
            uses.spawn(async move {
                match with_subject {
                    true => site.vault.access_token_for_subject("ann", "github").await,
                    false => site.vault.access_token(&session, "github").await,
                }
            });
        }
        let answers = uses.join_all().await;
        let used: Vec<TokenSet> = answers.into_iter().map(|answer| answer.expect("a token")).collect();
        assert!(used.iter().all(|tokens| tokens == &used[0]), "all use the same token");
        assert!(used[0].access_token() != tokens.access_token() && used[0].refresh_token().is_none());
        assert_eq!(upstream.requests(), round, "one request for all of them");
    }
    assert_eq!(sites.iter().map(Site::renewed).sum::<usize>(), 3);
    assert!(sites.iter().all(|site| site.failures().is_empty()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hundred_uses_on_three_instances_make_one_request_over_sqlite() {
    for with_subject in [false, true] {
        let (upstream, clock) = (Upstream::start(Mode::Rotates).await, site::clock());
        let provider = upstream.provider(clock.clone());
        let provider = if with_subject { provider.with_subject(DAY) } else { provider };
        let (sites, _folder) = site::sqlite(provider, &clock).await;
        hundred_uses_make_one_request(&sites, &upstream, with_subject).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hundred_uses_on_three_instances_make_one_request_over_postgres() {
    for with_subject in [false, true] {
        let (upstream, clock) = (Upstream::start(Mode::Rotates).await, site::clock());
        let provider = upstream.provider(clock.clone());
        let provider = if with_subject { provider.with_subject(DAY) } else { provider };
        let sites = site::postgres(provider, &clock).await;
        hundred_uses_make_one_request(&sites, &upstream, with_subject).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hundred_uses_on_three_instances_make_one_request_over_redis() {
    for with_subject in [false, true] {
        let (upstream, clock) = (Upstream::start(Mode::Rotates).await, site::clock());
        let provider = upstream.provider(clock.clone());
        let provider = if with_subject { provider.with_subject(DAY) } else { provider };
        let (sites, _prefix) = site::redis(provider, &clock).await;
        hundred_uses_make_one_request(&sites, &upstream, with_subject).await;
    }
}

#[tokio::test]
async fn fresh_token_is_used_as_it_is_and_renewed_within_the_margin() {
    let upstream = Upstream::start(Mode::Rotates).await;
    let site = Site::alone(|clock| upstream.provider(clock));
    let session = site.open("ann").await;
    let tokens = upstream.sign_in(site.now());
    site.vault.keep(&session, "github", &tokens).await.expect("kept");
    let used = site.vault.access_token(&session, "github").await.expect("a token");
    assert_eq!(used.access_token(), tokens.access_token());
    assert_eq!(upstream.requests(), 0);
    site.clock.advance(LIFETIME - Duration::from_secs(30));
    let used = site.vault.access_token(&session, "github").await.expect("a token");
    assert_ne!(used.access_token(), tokens.access_token());
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn short_lived_token_is_not_renewed_at_each_use() {
    let upstream = Upstream::start(Mode::Rotates).await;
    let site = Site::alone(|clock| upstream.provider(clock));
    let session = site.open("ann").await;
    let tokens = upstream.sign_in(site.now()).expires_at(site.now() + Duration::from_secs(30));
    site.vault.keep(&session, "github", &tokens).await.expect("kept");
    site.clock.advance(Duration::from_secs(10));
    site.vault.access_token(&session, "github").await.expect("a token");
    assert_eq!(upstream.requests(), 0, "half of the lifetime is the most that the margin is");
}

#[tokio::test]
async fn refresh_token_that_is_not_in_the_answer_is_kept() {
    let upstream = Upstream::start(Mode::Keeps).await;
    let site = Site::alone(|clock| upstream.provider(clock));
    let session = site.open("ann").await;
    let tokens = upstream.sign_in(site.now()).with_scope("repo");
    site.vault.keep(&session, "github", &tokens).await.expect("kept");
    for round in 1..=3 {
        site.clock.advance(LIFETIME);
        let used = site.vault.access_token(&session, "github").await.expect("a token");
        assert_eq!((upstream.requests(), used.scope()), (round, Some("repo")));
    }
}

#[tokio::test]
async fn outage_of_the_provider_is_no_loss() {
    let upstream = Upstream::start(Mode::Rotates).await;
    let site = Site::alone(|clock| upstream.provider(clock));
    let session = site.open("ann").await;
    let tokens = upstream.sign_in(site.now());
    site.vault.keep(&session, "github", &tokens).await.expect("kept");
    upstream.set_mode(Mode::Fails);
    site.clock.advance(LIFETIME - Duration::from_secs(30));
    let used = site.vault.access_token(&session, "github").await.expect("it is still valid");
    assert_eq!((used.access_token(), upstream.requests()), (tokens.access_token(), 1));
    site.clock.advance(Duration::from_secs(40));
    for _ in 0..20 {
        let error = site.vault.access_token(&session, "github").await.expect_err("it has expired");
        assert!(matches!(error, VaultError::Unavailable(_)), "{error:?}");
    }
    assert_eq!(upstream.requests(), 2, "the provider is asked once in 5 seconds");
    assert_eq!(site.failures(), ["unavailable"; 2]);
    upstream.set_mode(Mode::Rotates);
    site.clock.advance(Duration::from_secs(5));
    let used = site.vault.access_token(&session, "github").await.expect("a token");
    assert_ne!(used.access_token(), tokens.access_token());
}

#[tokio::test]
async fn refused_refresh_token_is_reported_once_and_the_provider_is_not_asked_again() {
    let upstream = Upstream::start(Mode::Refuses).await;
    let site = Site::alone(|clock| upstream.provider(clock));
    let session = site.open("ann").await;
    let tokens = upstream.sign_in(site.now());
    site.vault.keep(&session, "github", &tokens).await.expect("kept");
    site.clock.advance(LIFETIME - Duration::from_secs(30));
    for _ in 0..10 {
        let used = site.vault.access_token(&session, "github").await.expect("it is still valid");
        assert_eq!(used.access_token(), tokens.access_token());
    }
    site.clock.advance(Duration::from_secs(40));
    for _ in 0..10 {
        let error = site.vault.access_token(&session, "github").await.expect_err("it has expired");
        assert!(matches!(error, VaultError::SignInAgain(Lost::Refused)), "{error:?}");
    }
    assert_eq!((upstream.requests(), site.failures()), (1, vec!["refused"]));
    upstream.set_mode(Mode::Rotates);
    site.vault.keep(&session, "github", &upstream.sign_in(site.now())).await.expect("kept");
    site.vault.access_token(&session, "github").await.expect("the user signed in at the provider again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn token_that_the_provider_rejects_early_is_renewed_once_for_all() {
    let upstream = Upstream::start(Mode::Rotates).await;
    let site = Site::alone(|clock| upstream.provider(clock));
    let session = site.open("ann").await;
    let tokens = upstream.sign_in(site.now());
    site.vault.keep(&session, "github", &tokens).await.expect("kept");
    let at_once = site.vault.access_token_after(&session, "github", &tokens).await;
    assert!(
        matches!(at_once, Err(VaultError::Unavailable(_))),
        "the next one would be rejected, too: {at_once:?}"
    );
    site.clock.advance(Duration::from_secs(10));
    let mut uses = JoinSet::new();
    for _ in 0..20 {
        let (site, session, tokens) = (site.clone(), session.clone(), tokens.clone());
        uses.spawn(async move { site.vault.access_token_after(&session, "github", &tokens).await });
    }
    for used in uses.join_all().await {
        assert_ne!(used.expect("a token").access_token(), tokens.access_token());
    }
    assert_eq!(upstream.requests(), 1);
}
