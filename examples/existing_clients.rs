//! My application has a `PgPool` and a Redis client already. How do the session stores use them?
//!
//! ```sh
//! export DATABASE_URL=postgres://user:password@127.0.0.1/database REDIS_URL=redis://127.0.0.1/
//! cargo run --example existing_clients --features postgres,redis
//! SESSIONS=redis cargo run --example existing_clients --features postgres,redis
//! ```
//!
//! `PostgresStore::new` takes the pool, and `RedisStore::new` the client. Depend on the versions of sqlx and redis
//! that this crate depends on, or take them from `store::sqlx` and `store::redis_client`, as here. TLS is a
//! feature of theirs.

use std::error::Error;

use axum::{
    Router,
    extract::{FromRef, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tower_sliding_sessions::{
    BuildError, Keyring, Rejection, Session, Sessions, SessionsBuilder, SetCookies, Visitor,
    store::{
        PostgresStore, RedisStore, StoreError,
        redis_client::{self as redis, AsyncTypedCommands as _, IntoConnectionInfo as _},
        sqlx::{self, PgPool, postgres::PgPoolOptions},
    },
};

const TRY: &str = "\
curl -i -c jar -d ann 127.0.0.1:3000/login
curl -b jar 127.0.0.1:3000/  # start it again with SESSIONS=redis, and sign in again
curl -i -b jar -c jar -d '' 127.0.0.1:3000/logout";

/// The clients that the application already has.
#[derive(Clone)]
pub(crate) struct Clients {
    pub(crate) pool: PgPool,
    pub(crate) redis: redis::Client,
}

impl Clients {
    pub(crate) async fn connect(database: &str, redis: &str) -> Result<Self, Box<dyn Error>> {
        let pool = PgPoolOptions::new()
            // Otherwise each operation of the store costs a second round trip.
            .test_before_acquire(false)
            .connect(database)
            .await?;
        // The layer waits for Redis, so its packets should not be delayed.
        let tcp = redis::io::tcp::TcpSettings::default().set_nodelay(true);
        let redis = redis::Client::open(redis.into_connection_info()?.set_tcp_settings(tcp))?;
        sqlx::query("CREATE TABLE IF NOT EXISTS people (name TEXT PRIMARY KEY)").execute(&pool).await?;
        sqlx::query("INSERT INTO people VALUES ('ann') ON CONFLICT DO NOTHING").execute(&pool).await?;
        Ok(Self { pool, redis })
    }

    /// The tables of the store are created in the schema of the application, and begin with `sliding_sessions`.
    pub(crate) async fn sessions_in_postgres(&self) -> Result<SessionsBuilder, Box<dyn Error>> {
        let store = PostgresStore::new(self.pool.clone());
        store.migrate().await?;
        Ok(Sessions::builder(keys()?).store(store))
    }

    /// The store makes connections of its own by this client. Its keys begin with the prefix.
    pub(crate) fn sessions_in_redis(&self, prefix: &str) -> Result<SessionsBuilder, Box<dyn Error>> {
        Ok(Sessions::builder(keys()?).store(RedisStore::new(self.redis.clone()).with_prefix(prefix)))
    }
}

/// Read them from the environment, so that sessions survive a restart.
fn keys() -> Result<Keyring, Box<dyn Error>> {
    Ok(Keyring::hs256(b"a key of this example: 32 bytes or more")?)
}

#[derive(Clone)]
struct App {
    clients: Clients,
    sessions: Sessions,
}

impl FromRef<App> for Sessions {
    fn from_ref(app: &App) -> Self {
        app.sessions.clone()
    }
}

/// The application's own queries use the same pool.
async fn login(visitor: Visitor, State(app): State<App>, name: String) -> Result<Response, Rejection> {
    let known = sqlx::query_scalar::<_, bool>("SELECT EXISTS (SELECT FROM people WHERE name = $1)")
        .bind(&name)
        .fetch_one(&app.clients.pool)
        .await
        .map_err(StoreError::unavailable)?;
    if !known {
        return Ok((StatusCode::UNAUTHORIZED, "There is no such user.\n").into_response());
    }
    // Check a password here.
    Ok(visitor.sign_in(name, ()).await?.into_response())
}

/// And its own keys in Redis are written by the same client.
async fn page(session: Session, State(app): State<App>) -> Result<String, Rejection> {
    let views = async {
        let mut redis = app.clients.redis.get_multiplexed_async_connection().await?;
        redis.incr(format!("views:{}", session.subject()), 1).await
    };
    let views = views.await.map_err(StoreError::unavailable)?;
    Ok(format!("Hello {}, this is page view {views}.\n", session.subject()))
}

async fn logout(visitor: Visitor) -> Result<SetCookies, Rejection> {
    Ok(visitor.sign_out().await?)
}

pub(crate) fn app(clients: Clients, builder: SessionsBuilder) -> Result<Router, BuildError> {
    let sessions = builder.build()?;
    Ok(Router::new()
        .route("/", get(page))
        .route_layer(sessions.layer())
        .route("/login", post(login))
        .route("/logout", post(logout))
        .with_state(App { clients, sessions }))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let clients = Clients::connect(&std::env::var("DATABASE_URL")?, &std::env::var("REDIS_URL")?).await?;
    let builder = match std::env::var("SESSIONS").as_deref() {
        Ok("redis") => clients.sessions_in_redis("example")?,
        _ => clients.sessions_in_postgres().await?,
    };
    let app = app(clients, builder)?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("{TRY}");
    axum::serve(listener, app).await?;
    Ok(())
}
