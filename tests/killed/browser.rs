//! Chromium without a driver: it opens a URL, and the page does the rest.

use std::{
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// A profile on disk, for one browser after another.
pub(crate) struct Profile(tempfile::TempDir);

impl Profile {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// Starts a browser with this profile.
    pub(crate) fn open(&self, url: &str) -> Browser {
        let driver = std::env::var_os("TEST_CHROMEDRIVER");
        assert!(driver.is_some(), "no Chromium: run this test by tests/servers/chromium, which installs one");
        let program = Command::new("chromium")
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--remote-debugging-port=0",
            ])
            .arg(format!("--user-data-dir={}", self.0.path().join("profile").display()))
            .arg(url)
            .env("HOME", self.0.path())
            // A process group of its own, so that its helper processes are killed with it.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromium starts");
        Browser(program)
    }

    /// Waits until a cookie of this name is on disk. Chromium writes every 30 s.
    pub(crate) async fn holds(&self, cookie: &str) {
        let file = self.0.path().join("profile/Default/Cookies");
        for _ in 0..1200 {
            let written = std::fs::read(&file).unwrap_or_default();
            if written.windows(cookie.len()).any(|bytes| bytes == cookie.as_bytes()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no {cookie} on disk within 60 s");
    }
}

/// A running browser.
pub(crate) struct Browser(Child);

impl Browser {
    /// Kills it and its helper processes with SIGKILL.
    pub(crate) fn kill(&mut self) {
        let group = format!("-{}", self.0.id());
        let _status = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _status = self.0.wait();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.kill();
    }
}
