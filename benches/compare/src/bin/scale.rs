//! The memory of a session, and the cost of a request for different numbers of sessions.

#[path = "../cpu.rs"]
mod cpu;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    fs,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicIsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, routing::get};
use http::{HeaderValue, Request, Uri, header};
use tower::Service as _;
use tower_sliding_sessions::{
    Clock as _, Keyring, ManualClock, Session, SessionId, Sessions, SystemClock, Timestamp,
    store::{MemoryStore, SessionRecord, SessionStore as _, Subject},
};

/// A session that begins now, from its serialised form: without claims, and with the default timing.
fn record(now: Timestamp) -> SessionRecord {
    let id = SessionId::random().expect("random bytes").encode();
    let [now, idle, absolute] = [0, 7200, 86_400].map(|secs| (now + Duration::from_secs(secs)).as_millis());
    let family = format!(
        r#"{{"generation":0,"confirmed_at":{now},"offered_at":{now},"created_at":{now},"idle_timeout":{{"secs":7200,
        "nanos":0}},"idle_deadline":{idle},"absolute_deadline":{absolute},"revoked":false}}"#
    );
    let json = format!(r#"{{"format":1,"record":{{"id":"{id}","family":{family},"claims":"null"}}}}"#);
    SessionRecord::from_bytes(json.as_bytes()).expect("a record")
}

/// Counts the bytes that were allocated and not freed.
struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as isize, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn resident() -> isize {
    let pages = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<isize>().ok()).unwrap_or_default() * 4096
}

/// A name of 36 bytes, as a UUID has.
fn subject(number: usize) -> Subject {
    Subject { realm: "sessions".into(), name: format!("{number:08}-3b7a-4c57-9a35-0d6f6f5d2f10").into() }
}

fn request(cookies: &HeaderValue) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = Uri::from_static("/me");
    request.headers_mut().insert(header::COOKIE, cookies.clone());
    request
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    println!("| live sessions | bytes each, asked for | bytes each, resident | warm, ns | renewal, ns |");
    println!("|---|---|---|---|---|");
    for sessions in [1000, 100_000, 1_000_000] {
        at(sessions, 0).await;
    }
    at(100_000, 100_000).await;
}

async fn at(live: usize, revoked: usize) {
    const TIMES: usize = 2000;
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let (asked, pages) = (LIVE.load(Ordering::Relaxed), resident());
    let store = MemoryStore::with_capacity(2_000_000).expect("random bytes");
    for number in 0..live {
        let record = record(clock.now());
        store.create(&subject(number), &record, None).await.expect("there is room");
    }
    let each = |before: isize, after: isize| (after - before) / live as isize;
    let (asked, pages) = (each(asked, LIVE.load(Ordering::Relaxed)), each(pages, resident()));

    let secret = b"u7Xq2LmV9sKd4RzB1wYpTf6NhJc8GaEo";
    let builder = Sessions::<()>::builder(Keyring::hs256(secret).expect("a valid secret"));
    let sessions = builder.store(store).clock(clock.clone()).build().expect("valid settings");
    let me = get(async |session: Session<()>| {
        black_box(session.subject().len());
        "hello"
    });
    let mut app: Router = Router::new().route("/me", me).layer(sessions.layer());
    for number in 0..revoked {
        let subject = format!("revoked-{number}");
        sessions.cookie_of(&subject, ()).await.expect("signed in");
        sessions.revoke_all(&subject).await.expect("revoked");
        // The feed follower must keep up.
        if number % 1000 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let ours = sessions.cookie_of("a", ()).await.expect("signed in");
    tokio::task::yield_now().await;

    let mut warm = Vec::new();
    for _ in 0..21 {
        let start = cpu::now();
        for _ in 0..TIMES {
            let response = app.call(request(&ours)).await.expect("infallible");
            assert_eq!(response.status(), 200);
        }
        warm.push(((cpu::now() - start) / TIMES as f64) as u64);
    }
    let mut renewals = Vec::new();
    for round in 0..11 {
        let mut cookies = Vec::new();
        for number in 0..500 {
            cookies.push(sessions.cookie_of(&format!("{round}-{number}"), ()).await.expect("signed in"));
        }
        clock.advance(Duration::from_secs(6 * 60));
        let start = cpu::now();
        for cookies in &cookies {
            let response = app.call(request(cookies)).await.expect("infallible");
            assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
        }
        renewals.push(((cpu::now() - start) / 500.0) as u64);
    }
    warm.sort_unstable();
    renewals.sort_unstable();
    let revocations = if revoked > 0 { format!(", {revoked} revocations") } else { String::new() };
    println!("| {live}{revocations} | {asked} | {pages} | {} | {} |", warm[10], renewals[5]);
}
