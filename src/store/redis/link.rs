//! The connection that all operations share, and what becomes of it when the server is away.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, ErrorKind, FromRedisValue, Pipeline, RedisError, ServerErrorKind,
    aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection},
};

use crate::store::StoreError;

/// How long to wait for an answer, and for a connection, before it is given up.
const PATIENCE: Duration = Duration::from_secs(1);

/// One multiplexed connection, made when it is first needed.
///
/// The manager makes a new connection when the one it has breaks. It does not when the server just
/// stops answering (a machine that is gone, a firewall that forgot), or answers as a replica that
/// was the primary once; so then the manager itself is replaced.
pub(super) struct Link {
    client: Client,
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    /// How many managers there have been.
    turn: u64,
    manager: Option<ConnectionManager>,
}

impl Link {
    pub(super) fn new(client: Client) -> Arc<Self> {
        Arc::new(Self { client, slot: Mutex::default() })
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn manager(&self) -> Result<(u64, ConnectionManager), RedisError> {
        let mut slot = self.slot();
        let manager = match &slot.manager {
            Some(manager) => manager.clone(),
            None => {
                // One attempt for each time it is asked for; nobody waits for a long backoff.
                let config = ConnectionManagerConfig::new()
                    .set_connection_timeout(Some(PATIENCE))
                    .set_response_timeout(Some(PATIENCE))
                    .set_number_of_retries(1)
                    .set_min_delay(Duration::from_millis(10))
                    .set_max_delay(Duration::from_millis(50))
                    .set_pipeline_buffer_size(1024);
                let manager = ConnectionManager::new_lazy_with_config(self.client.clone(), config)?;
                slot.turn += 1;
                slot.manager.insert(manager).clone()
            }
        };
        Ok((slot.turn, manager))
    }

    /// Sends the commands in one go and waits for all the answers: one round trip. If there turns
    /// out to be no connection (any more), sends them once more over another: the manager remembers
    /// how its last attempt to connect went, and the server may be back since.
    ///
    /// They may then have been carried out twice.
    pub(super) async fn query<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, RedisError> {
        match self.query_once(pipeline).await {
            Err(error) if error.is_connection_dropped() => self.query_once(pipeline).await,
            answer => answer,
        }
    }

    /// Sends the commands in one go and waits for all the answers: one round trip.
    pub(super) async fn query_once<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, RedisError> {
        let (turn, mut manager) = self.manager()?;
        let answer = pipeline.query_async(&mut manager).await;
        if answer.as_ref().is_err_and(wants_another_connection) {
            let mut slot = self.slot();
            if slot.turn == turn {
                slot.manager = None;
            }
        }
        answer
    }

    /// A connection of one's own, for commands that wait.
    pub(super) async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE * 2));
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

/// Whether an error is one that the manager does not see to.
fn wants_another_connection(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Io => error.is_timeout(),
        ErrorKind::Server(kind) => kind == ServerErrorKind::ReadOnly,
        ErrorKind::Extension | ErrorKind::UnexpectedReturnType => false,
        // It could not even say hello: a failed attempt would be remembered.
        _ => true,
    }
}

/// Whether the server has no such script: it was restarted, or another one took its place.
pub(super) fn is_no_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// What an error of the client means to the engine.
pub(super) fn store_error(error: RedisError) -> StoreError {
    let code = |wanted: &str| {
        let errors = error.clone().into_server_errors();
        errors.is_some_and(|errors| errors.iter().any(|(_, error)| error.code() == wanted))
    };
    match error.kind() {
        // Somebody keeps something else under that key.
        ErrorKind::Extension if code("WRONGTYPE") => StoreError::corrupt(error),
        ErrorKind::Extension if code("OOM") => StoreError::Full,
        ErrorKind::UnexpectedReturnType => StoreError::corrupt(error),
        _ => StoreError::unavailable(error),
    }
}
