//! Keys are rotated, and values are moved to other owners.

use tower_sliding_sessions::{
    store::sqlx::{self, AssertSqlSafe, sqlite::SqlitePoolOptions},
    vault::{Provider, TokenSet, VaultError},
};

use crate::site::{self, DAY, NEW_SECRET, SECRET, Site, keys};

async fn key_is_rotated(with_subject: bool) {
    let provider = Provider::new("github");
    let provider = if with_subject { provider.with_subject(DAY) } else { provider };
    let site = Site::alone(|_| provider);
    let (used, unused) = (site.open("ann").await, site.open("bob").await);
    for session in [&used, &unused] {
        site.vault.keep(session, "github", &TokenSet::new(session.subject())).await.expect("kept");
    }
    site.sessions.set_keys(keys(NEW_SECRET).publish(keys(SECRET)).expect("two keys"));
    // It is sealed again with the new key.
    assert_eq!(site.vault.access_token(&used, "github").await.expect("it opens").access_token(), "ann");
    site.sessions.set_keys(keys(NEW_SECRET));
    assert_eq!(site.vault.access_token(&used, "github").await.expect("it opens").access_token(), "ann");
    let left = site.vault.access_token(&unused, "github").await;
    assert!(matches!(left, Err(VaultError::Unreadable)), "its key is gone: {left:?}");
    // An instance that has the key still can.
    site.sessions.set_keys(keys(NEW_SECRET).publish(keys(SECRET)).expect("two keys"));
    assert!(site.vault.access_token(&unused, "github").await.is_ok());
}

#[tokio::test]
async fn tokens_of_sessions_open_after_a_rotation_and_after_the_old_key_is_gone() {
    key_is_rotated(false).await;
}

#[tokio::test]
async fn tokens_of_subjects_open_after_a_rotation_and_after_the_old_key_is_gone() {
    key_is_rotated(true).await;
}

#[tokio::test]
async fn value_that_is_copied_over_another_in_the_database_opens_nothing() {
    for with_subject in [false, true] {
        let provider = Provider::new("github");
        let provider = if with_subject { provider.with_subject(DAY) } else { provider };
        let ([site, ..], folder) = site::sqlite(provider, &site::clock()).await;
        let (victim, attacker) = (site.open("victim").await, site.open("attacker").await);
        for session in [&victim, &attacker] {
            site.vault.keep(session, "github", &TokenSet::new(session.subject())).await.expect("kept");
        }
        let url = format!("sqlite://{}", folder.path().join("sessions.db").display());
        let database = SqlitePoolOptions::new().connect(&url).await.expect("it opens");
        let (table, column) = match with_subject {
            true => ("sliding_sessions_values", "value"),
            false => ("sliding_sessions", "attached"),
        };
        let read = AssertSqlSafe(format!("SELECT {column} FROM {table} ORDER BY {column}"));
        let values: Vec<Vec<u8>> =
            sqlx::query_scalar(read).fetch_all(&database).await.expect("they are read");
        let [one, two] = &values[..] else { panic!("{} values", values.len()) };
        // Each gets what the other had.
        let swap =
            AssertSqlSafe(format!("UPDATE {table} SET {column} = CASE {column} WHEN ?1 THEN ?2 ELSE ?1 END"));
        let swapped = sqlx::query(swap).bind(one).bind(two).execute(&database).await.expect("swapped");
        assert_eq!(swapped.rows_affected(), 2);
        site.events.lock().expect("no panic").clear();
        for session in [&victim, &attacker] {
            let moved = site.vault.access_token(session, "github").await;
            assert!(matches!(moved, Err(VaultError::Unreadable)), "{moved:?}");
        }
        assert_eq!(site.failures(), ["unreadable"; 2]);
    }
}
