//! The part of Memcached's text protocol that the store needs. One call at a time uses a connection.

use std::{
    collections::HashMap,
    io::{self, ErrorKind},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use percent_encoding::percent_decode_str;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpStream, lookup_host},
    time::timeout,
};

/// How long to wait for an answer, or for a connection. After this time, the call fails.
const TIMEOUT: Duration = Duration::from_secs(1);
/// The maximum number of idle connections that are kept.
const KEPT: usize = 64;
/// The maximum length in bytes of a line, and of a value, in an answer.
const LONGEST: u64 = 2 * 1024 * 1024;

pub(super) struct Link {
    address: Box<str>,
    /// The first request on a new connection: a write whose value is the user and the password. `None` without a user.
    login: Option<Box<[u8]>>,
    idle: Mutex<Vec<BufReader<TcpStream>>>,
}

/// A value, and Memcached's version of the item. Each write changes this version.
pub(super) struct Item {
    pub(super) value: Vec<u8>,
    pub(super) version: u64,
}

/// The result of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    Yes,
    /// The item has another version, or is missing.
    No,
    /// Memcached has no room.
    Full,
}

/// The condition of a write.
#[derive(Clone, Copy)]
pub(super) enum When {
    /// Write if there is no item.
    New,
    /// Write if the item has this version.
    Version(u64),
}

impl Link {
    /// Creates a client without connections. `address` may begin with `user:password@`, where both are percent-encoded.
    pub(super) fn new(address: &str) -> Self {
        let (user_info, address) = address.rsplit_once('@').map_or((None, address), |(u, a)| (Some(u), a));
        let login = user_info.map(|user_info| {
            let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
            let mut value: Vec<u8> = percent_decode_str(user).collect();
            value.push(b' ');
            value.extend(percent_decode_str(password));
            let length = value.len();
            [format!("set login 0 0 {length}\r\n").as_bytes(), &value, b"\r\n"].concat().into()
        });
        Self { address: address.into(), login, idle: Mutex::default() }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    fn idle(&self) -> MutexGuard<'_, Vec<BufReader<TcpStream>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks that the address is valid, and that its host is known.
    pub(super) async fn find(&self) -> io::Result<()> {
        let found = timeout(TIMEOUT, lookup_host(&*self.address)).await?;
        found.map(drop).map_err(|source| {
            let wrong = WrongAddress { address: self.address.clone(), source };
            io::Error::other(wrong)
        })
    }

    /// Reads the items with these keys, in one round trip.
    pub(super) async fn get(&self, keys: &[&str]) -> io::Result<HashMap<String, Item>> {
        let request = format!("gets {}\r\n", keys.join(" "));
        // A second read does no harm. The first read may fail because the server was restarted after the connection was
        // opened.
        let connection = self.idle().pop();
        if let Some(connection) = connection
            && let Ok(items) = self.exchange(connection, request.as_bytes(), read_items).await
        {
            return Ok(items);
        }
        self.exchange(self.connect().await?, request.as_bytes(), read_items).await
    }

    /// Writes a value, in one round trip. `expires` is the expiry in seconds since the Unix epoch. 0 means that
    /// Memcached keeps the value for as long as there is room.
    pub(super) async fn set(&self, key: &str, value: &[u8], expires: u32, when: When) -> io::Result<Stored> {
        let length = value.len();
        let mut request = match when {
            When::New => format!("add {key} 0 {expires} {length}\r\n"),
            When::Version(version) => format!("cas {key} 0 {expires} {length} {version}\r\n"),
        }
        .into_bytes();
        request.extend_from_slice(value);
        request.extend_from_slice(b"\r\n");
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        self.exchange(connection, &request, read_stored).await
    }

    async fn connect(&self) -> io::Result<BufReader<TcpStream>> {
        let stream = timeout(TIMEOUT, TcpStream::connect(&*self.address)).await??;
        stream.set_nodelay(true)?;
        let mut connection = BufReader::new(stream);
        if let Some(login) = &self.login {
            timeout(TIMEOUT, async {
                connection.get_mut().write_all(login).await?;
                match read_line(&mut connection).await?.as_str() {
                    "STORED" => Ok(()),
                    line => Err(unexpected(line)),
                }
            })
            .await??;
        }
        Ok(connection)
    }

    /// Sends a request, and reads its answer. A connection with an unread answer is not used again. If the connection
    /// fails, the idle connections are closed, too.
    async fn exchange<T>(
        &self,
        mut connection: BufReader<TcpStream>,
        request: &[u8],
        read: impl AsyncFnOnce(&mut BufReader<TcpStream>) -> io::Result<T>,
    ) -> io::Result<T> {
        let others = Suspects(Some(self));
        let answer = timeout(TIMEOUT, async {
            connection.get_mut().write_all(request).await?;
            read(&mut connection).await
        })
        .await??;
        others.trust();
        let mut idle = self.idle();
        if idle.len() < KEPT {
            idle.push(connection);
        }
        Ok(answer)
    }
}

/// Closes the idle connections when dropped, unless [`trust`](Self::trust) was called because the server answered.
struct Suspects<'a>(Option<&'a Link>);

impl Suspects<'_> {
    fn trust(mut self) {
        self.0 = None;
    }
}

impl Drop for Suspects<'_> {
    fn drop(&mut self) {
        if let Some(link) = self.0 {
            link.idle().clear();
        }
    }
}

async fn read_line(connection: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    connection.take(LONGEST).read_line(&mut line).await?;
    match line.strip_suffix("\r\n") {
        Some(line) => Ok(line.to_owned()),
        None => Err(ErrorKind::UnexpectedEof.into()),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the address {address:?} is not a known host and a port")]
struct WrongAddress {
    address: Box<str>,
    source: io::Error,
}

fn unexpected(line: &str) -> io::Error {
    if line == "CLIENT_ERROR unauthenticated" {
        return io::Error::new(ErrorKind::PermissionDenied, "Memcached wants a user and a password");
    }
    if line.starts_with("CLIENT_ERROR") && line.contains("authentication") {
        return io::Error::new(ErrorKind::PermissionDenied, "Memcached refuses the user or the password");
    }
    io::Error::new(ErrorKind::InvalidData, format!("Memcached answers {line:?}"))
}

async fn read_items(connection: &mut BufReader<TcpStream>) -> io::Result<HashMap<String, Item>> {
    let mut items = HashMap::new();
    loop {
        let line = read_line(connection).await?;
        let words: Vec<_> = line.split(' ').collect();
        let [key, length, version] = match *words.as_slice() {
            ["END"] => return Ok(items),
            ["VALUE", key, _flags, length, version] => [key, length, version],
            _ => return Err(unexpected(&line)),
        };
        let (Ok(length), Ok(version)) = (length.parse::<u64>(), version.parse()) else {
            return Err(unexpected(&line));
        };
        let mut value = Vec::new();
        connection.take(length.min(LONGEST)).read_to_end(&mut value).await?;
        if value.len() as u64 != length || !read_line(connection).await?.is_empty() {
            return Err(unexpected("a value of another length"));
        }
        items.insert(key.to_owned(), Item { value, version });
    }
}

async fn read_stored(connection: &mut BufReader<TcpStream>) -> io::Result<Stored> {
    let line = read_line(connection).await?;
    match line.as_str() {
        "STORED" => Ok(Stored::Yes),
        "NOT_STORED" | "EXISTS" | "NOT_FOUND" => Ok(Stored::No),
        line if line.starts_with("SERVER_ERROR out of memory") => Ok(Stored::Full),
        line => Err(unexpected(line)),
    }
}
