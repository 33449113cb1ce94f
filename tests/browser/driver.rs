//! Chromium, by the WebDriver commands that these tests need.

use std::{
    ffi::OsString,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};

use crate::client::{Client, Jar};

/// A browser. It is killed on drop, and its profile removed, unless another browser uses that.
pub(crate) struct Browser {
    program: Child,
    client: Client,
    session: String,
    _profile: Arc<tempfile::TempDir>,
}

/// The programs of a browser.
pub(crate) struct Programs {
    pub(crate) driver: OsString,
    /// The driver's own choice if there is none.
    pub(crate) browser: Option<OsString>,
}

impl Browser {
    pub(crate) async fn start() -> Self {
        Self::with_flags(&[]).await
    }

    pub(crate) async fn with_flags(flags: &[&str]) -> Self {
        let chromedriver = std::env::var_os("TEST_CHROMEDRIVER").unwrap_or_else(|| {
            panic!("TEST_CHROMEDRIVER is not set: run this by tests/servers/chromium, which sets it")
        });
        let profile = Arc::new(tempfile::tempdir().expect("a folder"));
        Self::launch(&Programs { driver: chromedriver, browser: None }, &profile, flags).await
    }

    /// Starts one with this profile, which no other one uses now.
    pub(crate) async fn launch(
        programs: &Programs,
        profile: &Arc<tempfile::TempDir>,
        flags: &[&str],
    ) -> Self {
        let mut program = Command::new(&programs.driver)
            .arg("--port=0")
            .env("HOME", profile.path())
            // A process group of its own, so that the browser can be killed with it.
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver");
        let address = listening(&mut program);
        let mut browser =
            Self { program, client: Client::to(address), session: String::new(), _profile: profile.clone() };
        let mut arguments: Vec<String> = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ]
        .map(str::to_owned)
        .to_vec();
        arguments.push(format!("--user-data-dir={}", browser._profile.path().join("profile").display()));
        arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
        // Debian's Chromium blocks third-party cookies, which would hide the effect of `SameSite=None`.
        let preferences = json!({"profile": {"cookie_controls_mode": 0, "block_third_party_cookies": false}});
        let mut options = json!({"args": arguments, "prefs": preferences});
        if let Some(browser) = &programs.browser {
            options["binary"] = browser.to_str().expect("a path").into();
        }
        let wanted = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}});
        let session = browser.send("POST", "/session", &wanted).await.expect("a session");
        browser.session = session["sessionId"].as_str().expect("its id").to_owned();
        browser
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let json = [("content-type", "application/json")];
        let answer = self.client.try_send(method, path, &Jar::default(), &body, &json).await;
        let answer = answer.map_err(|error| error.to_string())?;
        match &answer.json()["value"] {
            failure if !answer.status.is_success() => Err(failure["message"].to_string()),
            value => Ok(value.clone()),
        }
    }

    /// A command of this session. `DELETE` without a path closes the browser, as a user does.
    pub(crate) async fn command(&self, method: &str, path: &str, body: Value) -> Value {
        let full = format!("/session/{}{path}", self.session);
        let answer = self.send(method, &full, &body).await;
        answer.unwrap_or_else(|error| panic!("{method} {path} {body}: {error}"))
    }

    /// Navigates as by a typed URL, and waits until the page is loaded.
    pub(crate) async fn open(&self, url: &str) {
        self.command("POST", "/url", json!({"url": url})).await;
    }

    pub(crate) async fn reload(&self) {
        self.command("POST", "/refresh", json!({})).await;
    }

    pub(crate) async fn back(&self) {
        self.command("POST", "/back", json!({})).await;
    }

    pub(crate) async fn forward(&self) {
        self.command("POST", "/forward", json!({})).await;
    }

    pub(crate) async fn url(&self) -> String {
        self.command("GET", "/url", json!({})).await.as_str().expect("a URL").to_owned()
    }

    /// The visible text of the page.
    pub(crate) async fn text(&self) -> String {
        let text = self.run("return document.body.innerText").await;
        text.as_str().expect("a text").to_owned()
    }

    /// Clicks an element.
    pub(crate) async fn click(&self, css: &str) {
        let found = self.command("POST", "/element", json!({"using": "css selector", "value": css})).await;
        let id = found.as_object().and_then(|found| found.values().next()).and_then(Value::as_str);
        let path = format!("/element/{}/click", id.expect("an element"));
        self.command("POST", &path, json!({})).await;
    }

    /// Runs the body of an asynchronous function in the page, and returns its result.
    pub(crate) async fn run(&self, body: &str) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1];
             (async () => {{ {body} }})().then(done, error => done({{ failed: String(error) }}));"
        );
        let answer = self.command("POST", "/execute/async", json!({"script": script, "args": []})).await;
        assert_eq!(answer["failed"], Value::Null, "{body}");
        answer
    }

    /// Waits until an expression is true in the page.
    pub(crate) async fn until(&self, expression: &str) {
        let path = format!("/session/{}/execute/sync", self.session);
        let script = json!({"script": format!("return Boolean({expression})"), "args": []});
        for _ in 0..200 {
            // During a navigation there is no page to ask.
            if self.send("POST", &path, &script).await == Ok(Value::Bool(true)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let text = self.text().await;
        panic!("not within 10 s at {}: {expression}; the page says {text:?}", self.url().await);
    }

    /// The browser's cookies for the page's URL, by name.
    pub(crate) async fn cookies(&self) -> Vec<Value> {
        let mut cookies = self.command("GET", "/cookie", json!({})).await.as_array().expect("a list").clone();
        cookies.sort_by_key(|cookie| cookie["name"].to_string());
        cookies
    }

    pub(crate) async fn cookie(&self, name: &str) -> Option<String> {
        let cookies = self.cookies().await;
        let found = cookies.iter().find(|cookie| cookie["name"] == name)?;
        found["value"].as_str().map(str::to_owned)
    }

    /// The tab that commands apply to.
    pub(crate) async fn tab(&self) -> Value {
        self.command("GET", "/window", json!({})).await
    }

    /// Opens a tab, and applies commands to it.
    pub(crate) async fn new_tab(&self) -> Value {
        let tab = self.command("POST", "/window/new", json!({"type": "tab"})).await["handle"].clone();
        self.switch_to(&tab).await;
        tab
    }

    pub(crate) async fn switch_to(&self, tab: &Value) {
        self.command("POST", "/window", json!({"handle": tab})).await;
    }

    /// A command of the DevTools protocol.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.command("POST", "/goog/cdp/execute", json!({"cmd": command, "params": parameters})).await
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser is in chromedriver's group.
        let group = format!("-{}", self.program.id());
        let _gone = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _gone = self.program.wait();
    }
}

/// Reads the port from chromedriver's output.
fn listening(program: &mut Child) -> SocketAddr {
    let output = BufReader::new(program.stdout.take().expect("a pipe"));
    for line in output.lines().map_while(Result::ok) {
        let port = line.strip_suffix('.').and_then(|line| line.rsplit_once("successfully on port "));
        if let Some(port) = port.and_then(|(_, port)| port.parse().ok()) {
            return SocketAddr::from(([127, 0, 0, 1], port));
        }
    }
    panic!("chromedriver does not listen");
}
