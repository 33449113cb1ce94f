//! The connection that all operations share, and how it is replaced when the server fails.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind,
    Value,
    aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection},
    pipe,
};
use tokio::sync::OnceCell;

use super::{
    home::{Home, IsNode},
    scripts::{Call, Lua},
};
use crate::store::StoreError;

/// How long to wait for an answer, and for a new connection.
pub(super) const TIMEOUT: Duration = Duration::from_secs(1);
/// How often a call is repeated at most, after redirections and while its slot moves.
const REDIRECTIONS: u32 = 12;
/// How long a call waits while its slot moves, before the call is repeated.
const PAUSE: Duration = Duration::from_millis(25);

/// One multiplexed connection to the primary. The connection is opened when it is first needed.
///
/// If the connection breaks, the [`ConnectionManager`] opens a new one. The manager does not do this in two cases: the
/// server stops answering (the machine is gone, or a firewall dropped the connection), or the server answers that it is
/// no longer the primary. In these cases, `Link` replaces the manager, and looks for the primary again.
pub(super) struct Link {
    home: Home,
    turn: Mutex<Turn>,
    /// While the slot moves: the address of the node that takes over the slot, and a connection to this node.
    importing: Mutex<Option<(String, MultiplexedConnection)>>,
}

/// A connection, and its number. When the connection is given up, the next turn begins. If the connection cannot be
/// opened, all callers that wait for it get the error.
#[derive(Clone, Default)]
struct Turn {
    number: u64,
    redirected_to: Option<String>,
    connection: Arc<OnceCell<RedisResult<Connection>>>,
}

#[derive(Clone)]
struct Connection {
    client: Client,
    manager: ConnectionManager,
}

/// The connection of a reader of the feed, for commands that wait.
pub(super) struct Reader {
    turn: u64,
    pub(super) connection: MultiplexedConnection,
}

/// How to handle an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remedy {
    /// Send the whole script. The server does not know the script, because the server was restarted, or another server
    /// took its place.
    SendWhole,
    /// Repeat the command, which the server may have executed. The connection broke, and the manager opens a new one.
    Repeat,
    /// Repeat the command over a new connection, which may reach another server. The server of this connection refuses
    /// commands for now. The server did not execute the command.
    ReconnectAndRepeat,
    /// Give the connection up, because it does not work. There is no time to repeat the command over a new connection.
    Reconnect,
    /// Ask the node that takes over the slot. The slot moves, and this node has the keys.
    Ask,
    /// Repeat the command after a pause. The server did not execute it. The slot moves, and its keys are on both nodes.
    Wait,
    None,
}

impl Link {
    pub(super) fn new(home: Home) -> Arc<Self> {
        choose_tls_backend();
        Arc::new(Self { home, turn: Mutex::default(), importing: Mutex::default() })
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) const fn home(&self) -> &Home {
        &self.home
    }

    async fn connection(&self) -> RedisResult<(u64, Connection)> {
        let Turn { number, redirected_to, connection } = self.turn().clone();
        let connection = connection.get_or_init(|| self.make(redirected_to.as_deref())).await.clone();
        if connection.is_err() {
            self.leave(number, None);
        }
        connection.map(|connection| (number, connection))
    }

    async fn make(&self, redirected_to: Option<&str>) -> RedisResult<Connection> {
        let client = self.home.find(redirected_to).await?;
        // At most two attempts for each new connection, 10 to 20 ms apart, so that no caller waits for a long backoff.
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(TIMEOUT))
            .set_response_timeout(Some(TIMEOUT))
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(10))
            .set_max_delay(Duration::from_millis(50))
            .set_pipeline_buffer_size(1024);
        let manager = ConnectionManager::new_lazy_with_config(client.clone(), config)?;
        Ok(Connection { client, manager })
    }

    /// Gives up the connection of this turn, unless another caller did.
    fn leave(&self, number: u64, redirected_to: Option<String>) {
        let mut turn = self.turn();
        if turn.number == number {
            *turn = Turn { number: number + 1, redirected_to, ..Turn::default() };
        }
    }

    /// Gives up the connection of this turn after an error, if the error may not occur over a new connection.
    fn leave_after(&self, number: u64, error: &RedisError) {
        let leave = match remedy(error) {
            Remedy::Reconnect | Remedy::ReconnectAndRepeat => true,
            // The manager would connect to the same address, but the primary may have another address now.
            Remedy::Repeat => !self.home.is_fixed(),
            _ => false,
        };
        if leave {
            let to = Some(error).filter(|error| is_moved(error));
            self.leave(number, to.and_then(RedisError::redirect_node).map(|(to, _)| to.to_owned()));
        }
    }

    /// Runs a script, in one round trip. If the connection breaks before the answer arrives, the server may execute the
    /// script twice. So a script must recognise a call that it has already executed.
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

    /// Sends a command. After an error, repeats the command once if a new connection may help. After redirections and
    /// while the slot moves, repeats the command up to [`REDIRECTIONS`] times.
    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        let (mut repeated, mut redirections) = (false, 0);
        loop {
            let (turn, Connection { mut manager, .. }) = self.connection().await?;
            let mut error = match command.query_async(&mut manager).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if remedy(&error) == Remedy::Ask
                && let Some((node, _)) = error.redirect_node()
            {
                error = match self.ask(node, command).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => error,
                };
            }
            self.leave_after(turn, &error);
            let is_redirection = is_moved(&error) && !self.home.is_fixed();
            let repeat = match remedy(&error) {
                Remedy::Wait | Remedy::Ask => {
                    tokio::time::sleep(PAUSE).await;
                    true
                }
                Remedy::Repeat | Remedy::ReconnectAndRepeat if is_redirection => true,
                Remedy::Repeat | Remedy::ReconnectAndRepeat => !std::mem::replace(&mut repeated, true),
                _ => false,
            };
            redirections += 1;
            if !repeat || redirections > REDIRECTIONS {
                return Err(error);
            }
        }
    }

    /// Sends a command to the node that takes over its slot.
    async fn ask<T: FromRedisValue>(&self, node: &str, command: &Cmd) -> RedisResult<T> {
        let open = self.importing().take().filter(|(address, _)| address == node);
        let mut connection = match open {
            Some((_, connection)) => connection,
            None => connect(&self.home.at(node)?).await?,
        };
        let mut pipeline = pipe();
        // Without `ignore_errors`, the client puts both answers into one error, which has neither code nor detail.
        pipeline.cmd("ASKING").add_command(command.clone()).ignore_errors();
        let answers: Vec<RedisResult<Value>> = pipeline.query_async(&mut connection).await?;
        *self.importing() = Some((node.to_owned(), connection));
        let answer = answers.into_iter().collect::<RedisResult<Vec<_>>>()?.pop();
        Ok(T::from_redis_value(answer.unwrap_or(Value::Nil))?)
    }

    /// Converts an error of the client to a store error. Outside of a cluster, a redirection is a configuration error.
    pub(super) fn store_error(&self, error: RedisError) -> StoreError {
        if is_moved(&error) && !self.home.is_cluster() {
            return StoreError::configuration(IsNode);
        }
        store_error(error)
    }

    fn importing(&self) -> MutexGuard<'_, Option<(String, MultiplexedConnection)>> {
        self.importing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn connect(&self) -> RedisResult<Reader> {
        let (turn, Connection { client, .. }) = self.connection().await?;
        let connection = connect(&client).await.inspect_err(|error| self.leave_after(turn, error))?;
        Ok(Reader { turn, connection })
    }

    /// Whether a reader's connection leads to the server that is currently taken for the primary.
    pub(super) fn is_current(&self, reader: &Reader) -> bool {
        self.home.is_fixed() || self.turn().number == reader.turn
    }

    /// Handles an error of a reader's connection: gives up the shared connection of the same turn, if a new connection
    /// may help.
    pub(super) fn failed(&self, reader: &Reader, error: &StoreError) {
        if let Some(error) = redis_error(error) {
            self.leave_after(reader.turn, error);
        }
    }
}

/// Chooses a backend of rustls if the application chose none. Otherwise rustls panics if two backends are compiled in.
fn choose_tls_backend() {
    #[cfg(feature = "redis_tls")]
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error means that another thread has already chosen a backend.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    }
}

async fn connect(client: &Client) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(TIMEOUT))
        .set_response_timeout(Some(TIMEOUT * 2));
    client.get_multiplexed_async_connection_with_config(&config).await
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

/// Whether the server does not know the script.
pub(super) fn is_no_script(error: &RedisError) -> bool {
    remedy(error) == Remedy::SendWhole
}

/// Whether the same command may succeed over another connection.
pub(super) fn another_may_serve(error: &StoreError) -> bool {
    let error = redis_error(error);
    error.is_some_and(|error| matches!(remedy(error), Remedy::Repeat | Remedy::ReconnectAndRepeat))
}

fn is_moved(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::Moved)
}

fn redis_error(error: &StoreError) -> Option<&RedisError> {
    std::error::Error::source(error)?.downcast_ref()
}

/// Whether a script was refused because it would create a key in a slot that moves to another node.
fn is_of_moving_slot(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.contains("non local key in a cluster node"))
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
            | ServerErrorKind::Moved => Remedy::ReconnectAndRepeat,
            ServerErrorKind::Ask => Remedy::Ask,
            ServerErrorKind::TryAgain => Remedy::Wait,
            ServerErrorKind::ResponseError if is_of_moving_slot(error) => Remedy::Wait,
            _ => Remedy::None,
        },
        // The user or the password was changed (`NOAUTH`, `WRONGPASS`), the server became a replica while a reader
        // waited for events (`UNBLOCKED`), or no replica follows the server, which may be a former primary
        // (`NOREPLICAS`).
        ErrorKind::Extension
            if matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "UNBLOCKED" | "NOREPLICAS")) =>
        {
            Remedy::ReconnectAndRepeat
        }
        ErrorKind::Extension | ErrorKind::UnexpectedReturnType => Remedy::None,
        // The handshake of the connection failed. The manager would keep the failed connection.
        _ => Remedy::Reconnect,
    }
}

/// Whether a certificate was not accepted, or the server or the client does not use TLS.
fn is_refused_by_tls(error: &RedisError) -> bool {
    let source = std::error::Error::source(error);
    // The client wraps the `io::Error` in an `Arc`.
    let source = source.and_then(|source| source.downcast_ref::<Arc<dyn std::error::Error + Send + Sync>>());
    let error = source.and_then(|source| source.downcast_ref::<std::io::Error>());
    error.is_some_and(|error| error.kind() == std::io::ErrorKind::InvalidData)
}

/// Converts an error of the client to a store error.
pub(super) fn store_error(error: RedisError) -> StoreError {
    match error.kind() {
        ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig | ErrorKind::RESP3NotSupported => {
            StoreError::configuration(error)
        }
        ErrorKind::Server(ServerErrorKind::NoPerm) => StoreError::configuration(error),
        ErrorKind::Io if is_refused_by_tls(&error) => StoreError::configuration(error),
        // Redis 7.0 and later send one of these messages if the user has no right to a command inside a script.
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
            // The key has a value of another type.
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
        for code in ["NOAUTH", "WRONGPASS", "UNBLOCKED", "NOREPLICAS"] {
            let error = make_extension_error(code.into(), None);
            assert_eq!(remedy(&error), Remedy::ReconnectAndRepeat, "{code}");
        }
        for kind in [NoPerm, ResponseError] {
            assert_eq!(remedy(&server(kind)), Remedy::None, "{kind:?}");
        }
        assert_eq!(remedy(&make_extension_error("OOM".into(), None)), Remedy::None);
    }
}
