//! A process of the demo, with short lifetimes.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use crate::driver::Browser;

pub(crate) struct Demo {
    process: Child,
    port: u16,
}

impl Demo {
    /// Access tokens of 2 s; grace period 1 s, write window 1 s, rotation interval 4 s.
    pub(crate) fn start() -> Self {
        Self::start_with([("DEMO_GRACE", "1"), ("DEMO_WRITE_WINDOW", "1"), ("DEMO_ROTATION_INTERVAL", "4")])
    }

    /// Access tokens of 2 s, and these settings.
    pub(crate) fn start_with(settings: [(&str, &str); 3]) -> Self {
        let test = std::env::current_exe().expect("a path");
        let folder = test.ancestors().nth(2).expect("the folder of the profile");
        let mut process = Command::new(folder.join("examples").join("demo"))
            .envs([
                ("DEMO_ADDR", "127.0.0.1:0"),
                ("DEMO_ACCESS_TTL", "2"),
                ("DEMO_RENEW_BEFORE", "0"),
                ("DEMO_CRASH_WINDOW", "0"),
            ])
            .envs(settings)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the demo, which `cargo build --example demo` builds");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let port = line.trim().rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        Self { process, port: port.expect("the address it listens on") }
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port)
    }

    /// Signs in on the page, and waits until the page shows it.
    pub(crate) async fn sign_in(&self, browser: &Browser) {
        browser.open(&self.at("/")).await;
        browser.until("document.querySelector('#signin:not([hidden])')").await;
        browser.click("#login button").await;
        browser.until(WELCOME).await;
    }
}

/// True on the page when it shows the signed-in user.
pub(crate) const WELCOME: &str = "document.querySelector('#name').innerText === 'Signed in as alice'";

impl Drop for Demo {
    fn drop(&mut self) {
        // The process may have ended already.
        let _gone = self.process.kill();
        let _gone = self.process.wait();
    }
}
