//! `DEMO_STORE`: where the sessions are kept.

use std::error::Error;

use tower_sliding_sessions::SessionsBuilder;

use super::Profile;

type Builder = SessionsBuilder<Profile>;

/// `memory`, `sqlite:PATH`, `postgres://…`, `redis://…` or `memcached://…`.
pub(crate) async fn choose(builder: Builder, store: &str) -> Result<Builder, Box<dyn Error>> {
    match store.split_once(':').map_or(store, |(scheme, _)| scheme) {
        "memory" => Ok(builder),
        "sqlite" => sqlite(builder, store).await,
        "postgres" | "postgresql" => postgres(builder, store).await,
        "redis" | "rediss" => redis(builder, store).await,
        "memcached" => memcached(builder, store),
        _ => Err("DEMO_STORE: neither memory, sqlite:PATH, postgres://, redis:// nor memcached://".into()),
    }
}

macro_rules! store {
    ($name:ident, $feature:literal, $store:ident :: $open:ident) => {
        #[cfg(feature = $feature)]
        async fn $name(builder: Builder, url: &str) -> Result<Builder, Box<dyn Error>> {
            let opened = tower_sliding_sessions::store::$store::$open(url).await;
            Ok(builder.store(opened.map_err(|error| format!("DEMO_STORE: {error}"))?))
        }

        #[cfg(not(feature = $feature))]
        async fn $name(_: Builder, _: &str) -> Result<Builder, Box<dyn Error>> {
            Err(concat!("DEMO_STORE: this build lacks the cargo feature `", $feature, "`").into())
        }
    };
}

store!(sqlite, "sqlite", SqliteStore::open);
store!(postgres, "postgres", PostgresStore::connect);
store!(redis, "redis", RedisStore::connect);

#[cfg(feature = "memcached")]
fn memcached(builder: Builder, url: &str) -> Result<Builder, Box<dyn Error>> {
    let address = url.trim_start_matches("memcached://").trim_end_matches('/');
    Ok(builder.store(tower_sliding_sessions::store::MemcachedStore::new(address)))
}

#[cfg(not(feature = "memcached"))]
fn memcached(_: Builder, _: &str) -> Result<Builder, Box<dyn Error>> {
    Err("DEMO_STORE: this build lacks the cargo feature `memcached`".into())
}
