//! No token of a provider is in the store, in a cookie, in a log, in an error or in a `Debug`.

use std::{
    fmt::Write as _,
    io,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use tower_sliding_sessions::{
    store::redis_client::{self as redis, Client},
    vault::{Provider, RefreshError, TokenSet},
};
use tracing_subscriber::fmt::MakeWriter;

use crate::{
    provider::{LIFETIME, Mode, Upstream},
    site::{self, DAY, Site},
};

/// The token as it is, in hex, and in base64 at each of the three places where it can begin in a longer text.
fn forms(token: &str) -> Vec<Vec<u8>> {
    let mut hex = String::new();
    token.bytes().for_each(|byte| write!(hex, "{byte:02x}").expect("a text"));
    let mut forms = vec![token.as_bytes().to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    for skipped in 0..3 {
        // Without the characters that depend on what is around it.
        let shifted = &token.as_bytes()[skipped..];
        let whole = &shifted[..shifted.len() / 3 * 3];
        forms.push(STANDARD_NO_PAD.encode(whole).into_bytes());
        forms.push(URL_SAFE_NO_PAD.encode(whole).into_bytes());
    }
    forms
}

#[track_caller]
fn assert_hides(what: &str, bytes: &[u8], tokens: &[String]) {
    assert!(!bytes.is_empty(), "{what} is empty");
    for token in tokens {
        for form in forms(token) {
            let found = bytes.windows(form.len()).any(|window| window == form);
            assert!(!found, "{what} has {token} as {}", String::from_utf8_lossy(&form));
        }
    }
}

/// Keeps tokens with a session and with a subject, renews them, and has the provider fail. Returns all tokens.
async fn use_everything(sites: &[Site; 3], upstream: &Upstream) -> Vec<String> {
    let [site, ..] = sites;
    let cookie = site.sessions.cookie_of("ann", ()).await.expect("signed in");
    let session = site.session(cookie.to_str().expect("text")).await.expect("a session");
    site.vault.keep(&session, "github", &upstream.sign_in(site.now())).await.expect("kept");
    let mut tokens = Vec::new();
    for mode in [Mode::Rotates, Mode::Fails, Mode::Refuses] {
        upstream.set_mode(mode);
        let answer = site.vault.access_token(&session, "github").await;
        assert_hides(
            "what the application prints",
            format!("{answer:?}{:?}", site.vault).as_bytes(),
            &upstream.issued(),
        );
        site.clock.advance(LIFETIME);
        let answer = site.vault.access_token(&session, "github").await;
        let mut text = format!("{answer:?}");
        if let Err(error) = answer {
            let mut next: Option<&dyn std::error::Error> = Some(&error);
            while let Some(error) = next {
                write!(text, "{error} {error:?}").expect("a text");
                next = error.source();
            }
        }
        assert_hides("an answer", text.as_bytes(), &upstream.issued());
        tokens = upstream.issued();
    }
    assert_hides("a cookie", cookie.as_bytes(), &tokens);
    let events = format!("{:?}", site.events.lock().expect("no panic"));
    assert!(events.contains("UpstreamRenewed") && events.contains("refused"), "{events}");
    assert_hides("an event", events.as_bytes(), &tokens);
    tokens
}

fn files(folder: &Path) -> Vec<u8> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries.flat_map(|entry| std::fs::read(entry.expect("an entry").path()).expect("a file")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_sqlite_have_no_token() {
    for with_subject in [false, true] {
        let (upstream, clock) = (Upstream::start(Mode::Rotates).await, site::clock());
        let provider = upstream.provider(clock.clone());
        let provider = if with_subject { provider.with_subject(DAY) } else { provider };
        let (sites, folder) = site::sqlite(provider, &clock).await;
        // Also what was there in between: the log of the database has every version.
        let tokens = use_everything(&sites, &upstream).await;
        assert!(tokens.len() >= 4);
        assert_hides("the database", &files(folder.path()), &tokens);
    }
}

/// Everything that is under the prefix.
async fn dump(prefix: &str) -> Vec<u8> {
    let client = Client::open(site::redis_url()).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("the server answers");
    let keys: Vec<String> =
        redis::cmd("KEYS").arg(format!("{prefix}*")).query_async(&mut connection).await.expect("keys");
    let mut all = keys.join("\n").into_bytes();
    for key in keys {
        let kind: String = redis::cmd("TYPE").arg(&key).query_async(&mut connection).await.expect("a type");
        let parts: Vec<Vec<u8>> = match kind.as_str() {
            "hash" => redis::cmd("HGETALL").arg(&key).query_async(&mut connection).await.expect("a hash"),
            "string" => vec![redis::cmd("GET").arg(&key).query_async(&mut connection).await.expect("a text")],
            _ => vec![redis::cmd("DUMP").arg(&key).query_async(&mut connection).await.expect("a dump")],
        };
        all.extend(parts.concat());
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_redis_have_no_token() {
    for with_subject in [false, true] {
        let (upstream, clock) = (Upstream::start(Mode::Rotates).await, site::clock());
        let provider = upstream.provider(clock.clone());
        let provider = if with_subject { provider.with_subject(DAY) } else { provider };
        let (sites, prefix) = site::redis(provider, &clock).await;
        let tokens = use_everything(&sites, &upstream).await;
        let dump = dump(&prefix).await;
        let place: &[u8] = if with_subject { b":value:" } else { b"vault:github" };
        assert!(dump.windows(place.len()).any(|window| window == place), "the sealed tokens are there");
        assert_hides("the server", &dump, &tokens);
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn error_of_the_application_that_quotes_the_tokens_is_logged_without_them() {
    let log = Log::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let quote = |tokens: TokenSet| {
        let url = format!(
            "GET https://graph.example/?fb_exchange_token={}&refresh={} failed",
            tokens.access_token(),
            tokens.refresh_token().unwrap_or_default()
        );
        async move { Err(RefreshError::failed(io::Error::other(url))) }
    };
    let site = Site::alone(|_| Provider::new("facebook").renew(quote));
    let session = site.open("ann").await;
    let secrets = ["secret-access-token-123".to_owned(), "secret-refresh-token-456".to_owned()];
    let tokens = TokenSet::new(&secrets[0]).with_refresh_token(&secrets[1]).expires_at(site.now());
    site.vault.keep(&session, "facebook", &tokens).await.expect("kept");
    site.clock.advance(Duration::from_secs(1));
    let error = site.vault.access_token(&session, "facebook").await.expect_err("it fails");
    let source = std::error::Error::source(&error).expect("the cause").to_string();
    assert!(source.contains("fb_exchange_token=***&refresh=*** failed"), "{source}");
    let log = log.0.lock().expect("no panic").clone();
    let text = String::from_utf8_lossy(&log);
    assert!(text.contains("upstream_token_failed") && text.contains("fb_exchange_token=***"), "{text}");
    assert_hides("the log", &log, &secrets);
    assert_hides("an event", format!("{:?}", site.events.lock().expect("no panic")).as_bytes(), &secrets);
}
