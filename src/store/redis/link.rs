//! The connection that all operations share, and what becomes of it when the server fails.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind,
    aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection},
};

use super::scripts::{Call, Lua};
use crate::store::StoreError;

/// How long to wait for an answer, and for a connection, before it is given up.
pub(super) const TIMEOUT: Duration = Duration::from_secs(1);

/// One multiplexed connection, made when it is first needed.
///
/// The manager makes a new connection when the one it has breaks. It does not when the server just
/// stops answering (a machine that is gone, a firewall that forgot), or answers as one that is not
/// the primary any more; so then the manager itself is replaced.
pub(super) struct Link {
    client: Client,
    connection: Mutex<Connection>,
}

#[derive(Default)]
struct Connection {
    /// How many managers there have been.
    turn: u64,
    manager: Option<ConnectionManager>,
}

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remedy {
    /// The server has no such script: it was restarted, or another one took its place.
    SendWhole,
    /// The connection broke, and the manager makes another. The command may have been carried out.
    Repeat,
    /// The server of this connection refuses commands for now. A new connection may reach another server. The command was
    /// not carried out.
    ReconnectAndRepeat,
    /// This connection does not work, and there is no time to try another.
    Reconnect,
    None,
}

impl Link {
    pub(super) fn new(client: Client) -> Arc<Self> {
        Arc::new(Self { client, connection: Mutex::default() })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn manager(&self) -> Result<(u64, ConnectionManager), RedisError> {
        let mut connection = self.connection();
        let manager = match &connection.manager {
            Some(manager) => manager.clone(),
            None => {
                // One attempt for each time it is asked for; no caller waits for a long backoff.
                let config = ConnectionManagerConfig::new()
                    .set_connection_timeout(Some(TIMEOUT))
                    .set_response_timeout(Some(TIMEOUT))
                    .set_number_of_retries(1)
                    .set_min_delay(Duration::from_millis(10))
                    .set_max_delay(Duration::from_millis(50))
                    .set_pipeline_buffer_size(1024);
                let manager = ConnectionManager::new_lazy_with_config(self.client.clone(), config)?;
                connection.turn += 1;
                connection.manager.insert(manager).clone()
            }
        };
        Ok((connection.turn, manager))
    }

    /// Closes the connection of this turn, unless another caller did.
    fn leave(&self, turn: u64) {
        let mut connection = self.connection();
        if connection.turn == turn {
            connection.manager = None;
        }
    }

    /// Runs a script: one round trip. It may be carried out twice, if the answer to the first time is
    /// lost with the connection. So a script must recognise a call that it has carried out.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        script: &Lua,
        keys: &[&str],
        args: &[String],
    ) -> Result<T, RedisError> {
        let answer = self.query(&script.command(Call::ByHash, keys, args)).await;
        match answer {
            Err(error) if is_no_script(&error) => self.query(&script.command(Call::Whole, keys, args)).await,
            answer => answer,
        }
    }

    /// Sends a command, over another connection once more if that may help.
    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        let mut repeated = false;
        loop {
            let (turn, mut manager) = self.manager()?;
            let error = match command.query_async(&mut manager).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let remedy = remedy(&error);
            if matches!(remedy, Remedy::Reconnect | Remedy::ReconnectAndRepeat) {
                self.leave(turn);
            }
            let repeat = matches!(remedy, Remedy::Repeat | Remedy::ReconnectAndRepeat);
            if !repeat || std::mem::replace(&mut repeated, true) {
                return Err(error);
            }
        }
    }

    /// A connection for commands that wait.
    pub(super) async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(TIMEOUT))
            .set_response_timeout(Some(TIMEOUT * 2));
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

/// Whether the server has no such script.
pub(super) fn is_no_script(error: &RedisError) -> bool {
    remedy(error) == Remedy::SendWhole
}

/// Whether the same, over another connection, may succeed.
pub(super) fn another_may_serve(error: &StoreError) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<RedisError>());
    source.is_some_and(|error| matches!(remedy(error), Remedy::Repeat | Remedy::ReconnectAndRepeat))
}

fn remedy(error: &RedisError) -> Remedy {
    match error.kind() {
        ErrorKind::Io if error.is_timeout() => Remedy::Reconnect,
        ErrorKind::Io if error.is_connection_dropped() => Remedy::Repeat,
        ErrorKind::Io => Remedy::Reconnect,
        ErrorKind::Server(kind) => match kind {
            ServerErrorKind::NoScript => Remedy::SendWhole,
            ServerErrorKind::ReadOnly
            | ServerErrorKind::BusyLoading
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::TryAgain
            | ServerErrorKind::Moved
            | ServerErrorKind::Ask => Remedy::ReconnectAndRepeat,
            _ => Remedy::None,
        },
        // The user, or its password, is another by now.
        ErrorKind::Extension if matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "UNBLOCKED")) => {
            Remedy::ReconnectAndRepeat
        }
        ErrorKind::Extension | ErrorKind::UnexpectedReturnType => Remedy::None,
        // The connection failed at its handshake. The manager would keep the failed attempt.
        _ => Remedy::Reconnect,
    }
}

/// The store error for an error of the client.
pub(super) fn store_error(error: RedisError) -> StoreError {
    match error.kind() {
        ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig | ErrorKind::RESP3NotSupported => {
            StoreError::configuration(error)
        }
        ErrorKind::Server(ServerErrorKind::NoPerm) => StoreError::configuration(error),
        // The message of Redis 7.0 and later if the user has no right to a command inside a script.
        ErrorKind::Server(ServerErrorKind::ResponseError)
            if error.detail().is_some_and(|detail| {
                detail.contains("user executing the script can't") || detail.contains("ACL failure in script")
            }) =>
        {
            StoreError::configuration(error)
        }
        ErrorKind::Server(ServerErrorKind::ExecAbort) | ErrorKind::UnexpectedReturnType => {
            StoreError::corrupt(error)
        }
        ErrorKind::Extension => match error.code() {
            Some("NOAUTH" | "WRONGPASS") => StoreError::configuration(error),
            // Something else is under that key.
            Some("WRONGTYPE") => StoreError::corrupt(error),
            Some("OOM") => StoreError::Full,
            _ => StoreError::unavailable(error),
        },
        _ => StoreError::unavailable(error),
    }
}

#[cfg(test)]
mod tests {
    use redis::make_extension_error;

    use super::*;

    fn server(kind: ServerErrorKind) -> RedisError {
        RedisError::from((ErrorKind::Server(kind), "an error"))
    }

    #[test]
    fn errors_of_a_server_that_does_not_serve_lead_to_another_connection() {
        use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, NoPerm, ReadOnly, ResponseError};
        for kind in [ReadOnly, BusyLoading, MasterDown, ClusterDown] {
            assert_eq!(remedy(&server(kind)), Remedy::ReconnectAndRepeat, "{kind:?}");
        }
        for code in ["NOAUTH", "WRONGPASS", "UNBLOCKED"] {
            let error = make_extension_error(code.into(), None);
            assert_eq!(remedy(&error), Remedy::ReconnectAndRepeat, "{code}");
        }
        for kind in [NoPerm, ResponseError] {
            assert_eq!(remedy(&server(kind)), Remedy::None, "{kind:?}");
        }
        assert_eq!(remedy(&make_extension_error("OOM".into(), None)), Remedy::None);
    }
}
