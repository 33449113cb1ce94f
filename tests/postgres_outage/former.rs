//! A former primary that still takes writes. It does not know what the new primary knows.

use std::{error::Error as _, time::Duration};

use tokio::{
    net::TcpListener,
    task::JoinSet,
    time::{Instant, timeout},
};
use tower_sliding_sessions::store::{
    PostgresStore, Revoke, SessionKey, SessionStore as _, StoreError,
    sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, query_scalar},
};

use crate::{
    Server, given, now, open_when_back,
    proxy::{Proxy, port_of},
    switch_over::standby,
};

/// Ends all connections but this one.
const END: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";

/// What tells the timeline of a standby.
const CONTROL_DATA: &str = "FUNCTION pg_control_system(), pg_control_checkpoint(), pg_control_recovery()";

/// The server's URL with these ports of this machine.
fn at(ports: &[u16]) -> String {
    let primary = given("TEST_POSTGRES_URL");
    let hosts: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    primary.replacen(&format!("127.0.0.1:{}", port_of(&primary)), &hosts.join(","), 1)
}

/// The same, for a user without any rights but those on the tables.
fn plain_at(ports: &[u16]) -> String {
    let url = at(ports);
    let (_, hosts) = url.split_once('@').expect("a user");
    format!("postgres://plain:plain@{hosts}")
}

async fn admin_at(port: u16) -> PgConnection {
    PgConnection::connect(&at(&[port])).await.expect("the server answers")
}

async fn create_plain_user(admin: &mut PgConnection) {
    // By the superuser, and again if an earlier test has created it.
    let create = "DO $$ BEGIN CREATE ROLE plain LOGIN PASSWORD 'plain'; \
        EXCEPTION WHEN duplicate_object THEN NULL; END $$";
    admin.execute(create).await.expect("it is created");
    let grant = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO plain";
    admin.execute(grant).await.expect("it is granted");
    // As by default. Another test revokes it.
    let grant = format!("GRANT EXECUTE ON {CONTROL_DATA} TO PUBLIC");
    admin.execute(AssertSqlSafe(grant)).await.expect("it is granted");
}

/// Whether the session is revoked. None if the store does not answer.
async fn is_revoked(store: &PostgresStore, key: &SessionKey) -> Option<bool> {
    store.get(key).await.ok().map(|snapshot| snapshot.record.expect("it is there").is_revoked())
}

/// Promotes the standby, and revokes the session there.
async fn revoke_on_promoted(port: u16, key: &SessionKey) {
    let new = PostgresStore::connect(&at(&[port])).await.expect("the standby has the tables");
    assert_eq!(is_revoked(&new, key).await, None, "it is a standby");
    Server::does("promote");
    while new.revoke(&Revoke::Session(key.clone()), now()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn until_revoked(store: &PostgresStore, key: &SessionKey) {
    let began = Instant::now();
    while is_revoked(store, key).await != Some(true) {
        assert!(began.elapsed() < Duration::from_secs(10), "the new primary was not found");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The causes of an error, as the operator sees them.
fn causes(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

#[track_caller]
fn assert_names(error: &StoreError, former: u16, timelines: [u32; 2]) {
    let [old, new] = timelines;
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    let text = causes(error);
    let host =
        format!("the host \"127.0.0.1:{former}\" is not used: it is a former primary (its timeline is {old}");
    assert!(text.contains(&host), "{text}");
    assert!(text.contains(&format!("was seen at timeline {new}")), "{text}");
}

/// Every call fails soon, and goes on failing. The errors say why.
async fn assert_not_used(store: &PostgresStore, key: &SessionKey, former: u16, timelines: [u32; 2]) {
    let began = Instant::now();
    loop {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "the former primary is used, or the error does not say why"
        );
        match store.get(key).await {
            Err(error) if causes(&error).contains("is not used") => {
                assert_names(&error, former, timelines);
                break;
            }
            // Until the store has noticed that its connections are broken.
            Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
    // The primary is looked for several times a second.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(2) {
        let error = store.get(key).await.expect_err("the former primary is used");
        assert_names(&error, former, timelines);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Sets whether new transactions on the server are read-only.
async fn set_read_only(port: u16, value: &'static str) {
    let mut admin = admin_at(port).await;
    let set = format!("ALTER SYSTEM SET default_transaction_read_only = {value}");
    // ALTER SYSTEM is no write to the database.
    admin.execute(AssertSqlSafe(set)).await.expect("it is a superuser");
    admin.execute("SELECT pg_reload_conf()").await.expect("it is a superuser");
    let setting = "SELECT current_setting('default_transaction_read_only')";
    while query_scalar::<_, String>(setting).fetch_one(&mut admin).await.expect("it answers") != value {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn former_primary_that_hangs_does_not_delay_the_new_one() {
    let (_server, direct) = Server::take().await;
    let former = port_of(&given("TEST_POSTGRES_URL"));
    let (key, _) = open_when_back(&direct).await;
    let (port, _restore) = standby().await;
    let proxy = Proxy::to(former).await;
    let store = PostgresStore::connect(&at(&[proxy.port(), port])).await.expect("the primary answers");
    assert_eq!(is_revoked(&store, &key).await, Some(false));
    revoke_on_promoted(port, &key).await;
    // It accepts connections, and never answers.
    let hung = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    proxy.move_to(hung.local_addr().expect("an address").port());
    admin_at(former).await.execute(END).await.expect("it is a superuser");
    let began = Instant::now();
    // Each call with a deadline, as the layer has one.
    while timeout(Duration::from_millis(500), is_revoked(&store, &key)).await != Ok(Some(true)) {
        // Less than a server that hangs is waited for.
        assert!(began.elapsed() < Duration::from_secs(2), "the new primary was not found");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connection_that_was_being_made_to_a_former_primary_is_not_used() {
    let (_server, direct) = Server::take().await;
    let former = port_of(&given("TEST_POSTGRES_URL"));
    let (key, _) = open_when_back(&direct).await;
    let (port, _restore) = standby().await;
    let (proxy, new) = (Proxy::to(former).await, Proxy::to(port).await);
    let both = at(&[proxy.port(), new.port()]);
    let store = PostgresStore::connect(&both).await.expect("the primary answers");
    assert_eq!(is_revoked(&store, &key).await, Some(false));
    revoke_on_promoted(port, &key).await;

    // The pool has one connection. One of several calls at once needs another one, which does not come yet.
    proxy.hold_next();
    let mut calls = JoinSet::new();
    while !proxy.holds_one() {
        for _ in 0..10 {
            let (store, key) = (store.clone(), key.clone());
            calls.spawn(async move { is_revoked(&store, &key).await });
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    while calls.len() > 1 {
        calls.join_next().await;
    }
    let mut admin = admin_at(former).await;
    admin.execute(END).await.expect("it is a superuser");
    until_revoked(&store, &key).await;
    assert!(calls.try_join_next().is_none(), "the call waits for its connection");

    proxy.release();
    let held = calls.join_next().await.expect("it is there").expect("no panic");
    assert_eq!(held, Some(true), "the former primary was asked");
    // Every connection of the pool.
    let calls: JoinSet<_> = (0..50)
        .map(|_| (store.clone(), key.clone()))
        .map(|(store, key)| async move { is_revoked(&store, &key).await })
        .collect();
    assert!(calls.join_all().await.iter().all(|is_revoked| *is_revoked == Some(true)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn former_primary_is_not_used_while_the_primary_is_down() {
    let (_server, direct) = Server::take().await;
    let former = port_of(&given("TEST_POSTGRES_URL"));
    let mut admin = admin_at(former).await;
    create_plain_user(&mut admin).await;
    let (key, _) = open_when_back(&direct).await;
    let (port, _restore) = standby().await;
    let both = plain_at(&[former, port]);
    let connect = async || {
        let store = PostgresStore::lazy(&both).expect("a URL");
        store.check().await.map(|()| store)
    };
    let store = connect().await.expect("the primary answers");
    assert_eq!(is_revoked(&store, &key).await, Some(false));
    revoke_on_promoted(port, &key).await;

    // The new primary is read-only when the store looks for it.
    set_read_only(port, "on").await;
    admin.execute(END).await.expect("it is a superuser");
    assert_not_used(&store, &key, former, [1, 2]).await;
    assert_names(&connect().await.expect_err("no server can be used"), former, [1, 2]);
    let unusable = store.unusable_hosts().await;
    let [(host, error)] = &*unusable else { panic!("{unusable:?}") };
    assert_eq!(*host, format!("127.0.0.1:{former}"));
    assert_names(error, former, [1, 2]);
    set_read_only(port, "off").await;
    until_revoked(&store, &key).await;
    connect().await.expect("the new primary answers");

    // It is down. Only the store has seen it.
    Server::does("stop_standby");
    assert_not_used(&store, &key, former, [1, 2]).await;
    Server::does("start_standby");
    until_revoked(&store, &key).await;

    // It is a standby.
    Server::does("demote");
    assert_not_used(&store, &key, former, [1, 2]).await;
    assert_names(&connect().await.expect_err("no server can be used"), former, [1, 2]);
    Server::does("promote");
    until_revoked(&store, &key).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn former_primary_that_returns_between_two_looks_is_not_used() {
    let (_server, direct) = Server::take().await;
    let former = port_of(&given("TEST_POSTGRES_URL"));
    let (key, _) = open_when_back(&direct).await;
    let (port, _restore) = standby().await;
    let proxy = Proxy::to(former).await;
    let store = PostgresStore::connect(&at(&[proxy.port(), port])).await.expect("the primary answers");
    revoke_on_promoted(port, &key).await;
    set_read_only(port, "on").await;

    // Nothing listens at port 1.
    proxy.move_to(1);
    admin_at(former).await.execute(END).await.expect("it is a superuser");
    assert_not_used(&store, &key, proxy.port(), [1, 2]).await;
    proxy.move_to(former);
    assert_not_used(&store, &key, proxy.port(), [1, 2]).await;
    set_read_only(port, "off").await;
    until_revoked(&store, &key).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn former_primary_is_used_again_when_the_cluster_has_gone_back_to_it() {
    let (_server, direct) = Server::take().await;
    let former = port_of(&given("TEST_POSTGRES_URL"));
    let (key, _) = open_when_back(&direct).await;
    let (port, _restore) = standby().await;
    let store = PostgresStore::connect(&at(&[former, port])).await.expect("the primary answers");
    revoke_on_promoted(port, &key).await;
    admin_at(former).await.execute(END).await.expect("it is a superuser");
    until_revoked(&store, &key).await;
    Server::does("stop_standby");
    assert_not_used(&store, &key, former, [1, 2]).await;

    // The other server is a new copy of the former primary now, which never got the revocation.
    let (_same, _restore) = standby().await;
    let began = Instant::now();
    while is_revoked(&store, &key).await != Some(false) {
        assert!(began.elapsed() < Duration::from_secs(10), "the former primary is not used again");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn user_who_may_not_read_the_control_data_still_finds_the_primary() {
    let (_server, _) = Server::take().await;
    let primary = port_of(&given("TEST_POSTGRES_URL"));
    let mut admin = admin_at(primary).await;
    create_plain_user(&mut admin).await;
    let revoke = format!("REVOKE EXECUTE ON {CONTROL_DATA} FROM PUBLIC");
    admin.execute(AssertSqlSafe(revoke)).await.expect("it is a superuser");
    let (port, _restore) = standby().await;
    for ports in [[primary, port], [port, primary]] {
        let store = PostgresStore::lazy(&plain_at(&ports)).expect("a URL");
        let checked = timeout(Duration::from_secs(10), store.check()).await;
        checked.expect("in time").expect("the primary answers");
        assert!(store.unusable_hosts().await.is_empty());
        open_when_back(&store).await;
    }
}
