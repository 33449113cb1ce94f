//! `DEMO_STORE`: the session store.

use std::error::Error;

use tower_sliding_sessions::SessionsBuilder;

use super::Profile;

type Builder = SessionsBuilder<Profile>;

/// `memory`, `sqlite:PATH`, `postgres://…`, `redis://…` or `memcached://…`.
pub(crate) async fn choose(builder: Builder, store: &str) -> Result<Builder, Box<dyn Error>> {
    match store.split_once(':') {
        None if store == "memory" => Ok(builder),
        Some(("sqlite", _)) => sqlite(builder, store).await,
        Some(("postgres" | "postgresql", _)) => postgres(builder, store).await,
        Some(("redis" | "rediss", _)) => redis(builder, store).await,
        Some(("memcached", address)) => memcached(builder, address.trim_matches('/')).await,
        _ => Err("DEMO_STORE: neither memory, sqlite:PATH, postgres://, redis:// nor memcached://".into()),
    }
}

macro_rules! store {
    ($name:ident, $feature:literal, $store:ident :: $open:ident) => {
        #[cfg(feature = $feature)]
        async fn $name(builder: Builder, url: &str) -> Result<Builder, Box<dyn Error>> {
            let opened = tower_sliding_sessions::store::$store::$open(url).await;
            Ok(builder.store(opened.map_err(|error| whole(&error))?))
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

/// An error with its sources.
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "redis", feature = "memcached"))]
fn whole(error: &dyn Error) -> String {
    let (mut text, mut cause) = ("DEMO_STORE".to_owned(), Some(error));
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(feature = "memcached")]
async fn memcached(builder: Builder, address: &str) -> Result<Builder, Box<dyn Error>> {
    use tower_sliding_sessions::store::MemcachedStore;

    let store = MemcachedStore::connect(address).await.map_err(|error| whole(&error))?;
    Ok(builder.store(store))
}

#[cfg(not(feature = "memcached"))]
async fn memcached(_: Builder, _: &str) -> Result<Builder, Box<dyn Error>> {
    Err("DEMO_STORE: this build lacks the cargo feature `memcached`".into())
}
