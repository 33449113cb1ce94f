//! Throw-away servers with their own data, which can be stopped and started again.

use std::{
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use crate::port::free_port;

/// A store that a fleet shares.
pub(crate) trait Shared {
    /// The value of `DEMO_STORE`.
    fn url(&self) -> String;
    /// Makes the store unavailable.
    async fn stop(&mut self);
    /// Makes it available again, with its data.
    async fn resume(&mut self);
}

async fn until(what: &str, mut ready: impl FnMut() -> bool) {
    for _ in 0..300 {
        if ready() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} did not happen within 15 s");
}

pub(crate) struct Redis {
    server: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Redis {
    pub(crate) async fn start() -> Self {
        let (port, folder) = (free_port(), tempfile::tempdir().expect("a folder"));
        let redis = Self { server: Self::launch(port, folder.path()), port, folder };
        redis.ready().await;
        redis
    }

    fn launch(port: u16, folder: &Path) -> Child {
        let port = port.to_string();
        Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--dir"])
            .arg(folder)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server, which `tests/run` installs")
    }

    async fn ready(&self) {
        let ping = || {
            let ping = Command::new("redis-cli").args(["-p", &self.port.to_string(), "ping"]).output();
            ping.is_ok_and(|answer| answer.stdout.starts_with(b"PONG"))
        };
        until("Redis answering", ping).await;
    }
}

impl Shared for Redis {
    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    async fn stop(&mut self) {
        let pid = self.server.id().to_string();
        Command::new("kill").arg(pid).status().expect("it runs");
        self.server.wait().expect("it has ended");
    }

    async fn resume(&mut self) {
        self.server = Self::launch(self.port, self.folder.path());
        self.ready().await;
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _gone = self.server.kill();
        let _gone = self.server.wait();
    }
}

pub(crate) struct Postgres {
    programs: PathBuf,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) port: u16,
}

impl Postgres {
    pub(crate) async fn start() -> Self {
        Self::start_in(tempfile::tempdir().expect("a folder"))
    }

    pub(crate) fn start_in(folder: tempfile::TempDir) -> Self {
        let versions =
            std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL, which `tests/run` installs");
        let newest = versions.filter_map(|entry| Some(entry.ok()?.path())).max().expect("a version");
        let port = free_port();
        let postgres = Self { programs: newest.join("bin"), folder, port };
        // PostgreSQL refuses to run as root.
        Command::new("chmod").arg("777").arg(postgres.folder.path()).status().expect("chmod");
        postgres.run("initdb", &["--auth=trust", "--username=postgres", "--no-sync", "-D", "@"]);
        postgres.launch();
        postgres
    }

    pub(crate) fn launch(&self) {
        // Little of the write-ahead log is kept, so a small disk is enough.
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c max_wal_size=64MB -k {}",
            self.port,
            self.folder.path().display()
        );
        self.run("pg_ctl", &["start", "-w", "-D", "@", "-l", "@/log", "-o", &options]);
        self.end_with_the_tests();
    }

    /// `pg_ctl` detaches the server. So if the tests are killed, another process stops it, and removes its files.
    fn end_with_the_tests(&self) {
        const WATCH: &str = r#"
            server=$(head -n 1 "$2/data/postmaster.pid") || exit
            {
                while kill -0 "$1"; do kill -0 "$server" || exit; sleep 1; done
                kill -QUIT "$server"
                while kill -0 "$server"; do sleep 0.1; done
                rm -rf "$2"
            } &"#;
        let mut watch = Command::new("sh");
        watch.args(["-c", WATCH, "watch", &std::process::id().to_string()]).arg(self.folder.path());
        // What ends the tests must not end it.
        watch.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(watch.status().expect("sh").success());
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let is_done = self.output(program, arguments).status.success();
        let log = || std::fs::read_to_string(self.folder.path().join("data/log")).unwrap_or_default();
        assert!(is_done, "{program} failed: {}", log());
    }

    /// Runs a PostgreSQL program as a user who is not root. `@` stands for the data folder.
    fn output(&self, program: &str, arguments: &[&str]) -> Output {
        let data = self.folder.path().join("data");
        let arguments = arguments.iter().map(|argument| match argument.strip_prefix('@') {
            Some(rest) => format!("{}{rest}", data.display()),
            None => (*argument).to_owned(),
        });
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
        let mut command = if is_root { Command::new("setpriv") } else { Command::new("env") };
        if is_root {
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
        }
        let command = command.arg(self.programs.join(program)).args(arguments).current_dir("/");
        let output = command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::null()).output();
        output.expect("PostgreSQL's programs")
    }
}

impl Shared for Postgres {
    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    async fn stop(&mut self) {
        self.run("pg_ctl", &["stop", "-w", "-m", "fast", "-D", "@"]);
    }

    async fn resume(&mut self) {
        self.launch();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.folder.path().join("data/postmaster.pid").exists() {
            // It fails if the server was killed.
            self.output("pg_ctl", &["stop", "-m", "immediate", "-D", "@"]);
        }
        if Command::new("rm").arg("-rf").arg(self.folder.path().join("data")).status().is_err() {
            eprintln!("{} was left behind", self.folder.path().display());
        }
    }
}

pub(crate) struct Sqlite {
    folder: tempfile::TempDir,
}

impl Sqlite {
    pub(crate) async fn start() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("sessions.db")
    }
}

/// A file cannot be stopped, but it can be unreadable: no process may read or write it.
impl Shared for Sqlite {
    fn url(&self) -> String {
        format!("sqlite:{}", self.path().display())
    }

    async fn stop(&mut self) {
        lock(&self.path()).await;
    }

    async fn resume(&mut self) {
        unlock().await;
    }
}

/// The connection that locks the file while it is "stopped".
static HELD: tokio::sync::Mutex<Option<sqlx_held::Held>> = tokio::sync::Mutex::const_new(None);

async fn lock(path: &Path) {
    *HELD.lock().await = Some(sqlx_held::Held::new(path).await);
}

async fn unlock() {
    if let Some(held) = HELD.lock().await.take() {
        held.release().await;
    }
}

mod sqlx_held {
    use std::path::Path;

    use tower_sliding_sessions::store::sqlx::{Connection as _, Executor as _, SqliteConnection};

    /// An open exclusive transaction, so that all other connections wait.
    pub(crate) struct Held(SqliteConnection);

    impl Held {
        pub(crate) async fn new(path: &Path) -> Self {
            let url = format!("sqlite:{}", path.display());
            let mut connection = SqliteConnection::connect(&url).await.expect("the file");
            connection.execute("PRAGMA busy_timeout = 10000").await.expect("a pragma");
            connection.execute("BEGIN EXCLUSIVE").await.expect("a lock");
            Self(connection)
        }

        pub(crate) async fn release(mut self) {
            self.0.execute("ROLLBACK").await.expect("an open transaction");
        }
    }
}
