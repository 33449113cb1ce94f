//! Servers that a test may stop.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tower_sliding_sessions::store::redis_client::{
    self as redis, Client, Cmd, FromRedisValue, aio::MultiplexedConnection,
};

use crate::{freeze, port::free_port};

/// A Redis server with its own folder, both removed on drop.
pub(crate) struct Server {
    child: Child,
    is_running: bool,
    pub(crate) port: u16,
    pub(crate) folder: PathBuf,
    options: Vec<String>,
}

impl Server {
    pub(crate) async fn start(options: &[&str]) -> Self {
        let (port, folder) = place();
        let mut all =
            vec!["--bind", "127.0.0.1", "--save", ""].into_iter().map(str::to_owned).collect::<Vec<_>>();
        all.extend(["--port".to_owned(), port.to_string(), "--dir".to_owned(), folder.display().to_string()]);
        all.extend(options.iter().map(|option| (*option).to_owned()));
        Self::start_at(port, folder, all).await
    }

    /// A Sentinel with this configuration.
    pub(crate) async fn start_sentinel(configuration: &str) -> Self {
        let (port, folder) = place();
        let file = folder.join("sentinel.conf").display().to_string();
        let common = format!("port {port}\nbind 127.0.0.1\ndir {}\n", folder.display());
        std::fs::write(&file, common + configuration).expect("a file");
        Self::start_at(port, folder, vec![file, "--sentinel".to_owned()]).await
    }

    async fn start_at(port: u16, folder: PathBuf, options: Vec<String>) -> Self {
        let server = Self { child: spawn(&options), is_running: true, port, folder, options };
        server.ready().await;
        server
    }

    /// The value of a line of `INFO`.
    pub(crate) async fn info(&self, section: &str, name: &str) -> String {
        let info: String = self.ask(&format!("INFO {section}")).await;
        let line = info.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
        line.unwrap_or_default().trim().to_owned()
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub(crate) async fn connection(&self) -> redis::RedisResult<MultiplexedConnection> {
        Client::open(self.url())?.get_multiplexed_async_connection().await
    }

    /// The response to a command, which must succeed.
    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &str) -> T {
        self.try_ask(command).await.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    pub(crate) async fn try_ask<T: FromRedisValue>(&self, command: &str) -> redis::RedisResult<T> {
        let mut cmd = Cmd::new();
        command.split(' ').for_each(|word| {
            cmd.arg(word);
        });
        cmd.query_async(&mut self.connection().await?).await
    }

    pub(crate) fn is_running(&self) -> bool {
        self.is_running
    }

    async fn ready(&self) {
        for _ in 0..200 {
            if let Ok(mut connection) = self.connection().await
                && redis::cmd("PING").exec_async(&mut connection).await.is_ok()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("redis-server does not answer");
    }

    pub(crate) fn freeze(&self) {
        freeze::freeze(&self.child);
    }

    pub(crate) fn thaw(&self) {
        freeze::thaw(&self.child);
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it has ended");
        self.is_running = false;
    }

    pub(crate) async fn restart(&mut self) {
        self.restart_with(&[]).await;
    }

    /// With further options, for this time.
    pub(crate) async fn restart_with(&mut self, options: &[&str]) {
        let further = options.iter().map(|option| (*option).to_owned());
        self.child = spawn(&self.options.iter().cloned().chain(further).collect::<Vec<_>>());
        self.is_running = true;
        self.ready().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A port and a folder of its own.
fn place() -> (u16, PathBuf) {
    let port = free_port();
    let folder = std::env::temp_dir().join(format!("redis-store-{}-{port}", std::process::id()));
    std::fs::create_dir(&folder).expect("a folder");
    (port, folder)
}

fn spawn(options: &[String]) -> Child {
    Command::new("redis-server")
        .args(options)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed (tests/servers/redis)")
}
