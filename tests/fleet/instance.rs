//! A process of the demo.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use crate::{client::Client, port::free_port};

/// All instances share a key, as they must.
const KEY: &str = "M3EyKzd3UW1WMXhLOXJUMHBMc1l6Qm5INWNKOHVHZkU";

pub(crate) struct Instance {
    process: Child,
    settings: Vec<(String, String)>,
    pub(crate) address: SocketAddr,
}

impl Instance {
    /// Starts an instance on a free port, with the crate's own lifetimes where `settings` names none.
    pub(crate) fn start(store: &str, settings: &[(&str, &str)]) -> Self {
        let mut settings: Vec<_> =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        settings.push(("DEMO_PRESET".to_owned(), "defaults".to_owned()));
        settings.push(("DEMO_STORE".to_owned(), store.to_owned()));
        settings.push(("DEMO_KEY".to_owned(), KEY.to_owned()));
        let (process, address) = launch(&settings, &format!("127.0.0.1:{}", free_port()));
        Self { process, settings, address }
    }

    pub(crate) fn client(&self) -> Client {
        Client::to(self.address)
    }

    /// `kill -9`, and another process in its place.
    pub(crate) fn kill_and_replace(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it has ended");
        (self.process, self.address) = launch(&self.settings, &self.address.to_string());
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // The process may have ended already.
        let _gone = self.process.kill();
        let _gone = self.process.wait();
    }
}

fn launch(settings: &[(String, String)], address: &str) -> (Child, SocketAddr) {
    let mut process = Command::new(demo())
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .env("DEMO_ADDR", address)
        .stdout(Stdio::piped())
        .stderr(if std::env::var_os("FLEET_LOG").is_some() { Stdio::inherit() } else { Stdio::null() })
        .spawn()
        .expect("the demo, which `cargo test` builds with the other examples");
    let mut line = String::new();
    BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    let address = line.trim().strip_prefix("listening on http://");
    (process, address.and_then(|address| address.parse().ok()).expect("the address it listens on"))
}

/// The demo's binary: Cargo puts examples next to the tests.
fn demo() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let folder = test.ancestors().nth(2).expect("the folder of the profile");
    folder.join("examples").join("demo")
}
