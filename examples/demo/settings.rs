//! The environment variables. An invalid value is an error at start that names its variable.

use std::{
    env::{self, VarError},
    error::Error,
    fmt,
    net::SocketAddr,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tower_sliding_sessions::{
    KeyFile, KeyFileError, KeySource, Keyring, Sessions, SessionsBuilder, protocol::Timing,
};

use super::{Profile, device, store};

pub(crate) struct Settings {
    pub(crate) addr: SocketAddr,
    store: String,
    keys: Keyring,
    key_file: Option<String>,
    preset: Preset,
    access_ttl: Option<Duration>,
    idle: Option<Duration>,
    absolute: Option<Duration>,
    renew_before: Option<Duration>,
    grace: Option<Duration>,
    write_window: Option<Duration>,
    rotation_interval: Option<Duration>,
    crash_window: Option<Duration>,
    late_body: Option<Duration>,
    same_site_strict: bool,
    trusted_origins: Vec<String>,
}

/// The lifetimes that no single setting overrides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preset {
    /// Seconds, so that the page shows renewals at once. The default.
    Quick,
    /// The crate's defaults.
    Defaults,
}

impl Preset {
    fn timing(self) -> Timing {
        let seconds = Duration::from_secs;
        match self {
            Self::Defaults => Timing::default(),
            Self::Quick => Timing::default()
                .access_ttl(seconds(5))
                .grace(seconds(1))
                .write_window(seconds(1))
                .rotation_interval(seconds(4))
                .crash_window(Duration::ZERO)
                .late_body(seconds(3)),
        }
    }
}

/// An invalid setting.
#[derive(Debug)]
pub(crate) struct SettingError {
    name: &'static str,
    problem: String,
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.problem)
    }
}

impl Error for SettingError {}

impl Settings {
    /// Reads `DEMO_ADDR`, `DEMO_KEY`, `DEMO_KEY_FILE` (a JWK Set, in place of `DEMO_KEY`), `DEMO_STORE`, `DEMO_PRESET`
    /// (`quick` or `defaults`), `DEMO_ACCESS_TTL`, `DEMO_IDLE`, `DEMO_ABSOLUTE`, `DEMO_RENEW_BEFORE`, `DEMO_GRACE`,
    /// `DEMO_WRITE_WINDOW`, `DEMO_ROTATION_INTERVAL`, `DEMO_CRASH_WINDOW`, `DEMO_LATE_BODY` (seconds, decimals
    /// allowed), `DEMO_SAME_SITE` and `DEMO_TRUSTED_ORIGINS`.
    pub(crate) fn from_env() -> Result<Self, SettingError> {
        Self::from(|name| env::var(name))
    }

    /// The same, with variables from any source.
    pub(crate) fn from(variable: impl Fn(&str) -> Result<String, VarError>) -> Result<Self, SettingError> {
        let variable = &variable;
        Ok(Self {
            store: read(variable, "DEMO_STORE", |text| Ok(text.to_owned()))?
                .unwrap_or_else(|| "memory".to_owned()),
            addr: read(variable, "DEMO_ADDR", |text| {
                text.parse().map_err(|_| format!("{text:?} is not an address such as 127.0.0.1:3000"))
            })?
            .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 3000))),
            keys: match read(variable, "DEMO_KEY", keys)? {
                Some(keys) => keys,
                None => Keyring::random()
                    .map_err(|error| SettingError { name: "DEMO_KEY", problem: error.to_string() })?,
            },
            key_file: read(variable, "DEMO_KEY_FILE", |text| Ok(text.to_owned()))?,
            preset: read(variable, "DEMO_PRESET", preset)?.unwrap_or(Preset::Quick),
            access_ttl: read(variable, "DEMO_ACCESS_TTL", seconds)?,
            idle: read(variable, "DEMO_IDLE", seconds)?,
            absolute: read(variable, "DEMO_ABSOLUTE", seconds)?,
            renew_before: read(variable, "DEMO_RENEW_BEFORE", seconds)?,
            grace: read(variable, "DEMO_GRACE", seconds)?,
            write_window: read(variable, "DEMO_WRITE_WINDOW", seconds)?,
            rotation_interval: read(variable, "DEMO_ROTATION_INTERVAL", seconds)?,
            crash_window: read(variable, "DEMO_CRASH_WINDOW", seconds)?,
            late_body: read(variable, "DEMO_LATE_BODY", seconds)?,
            same_site_strict: read(variable, "DEMO_SAME_SITE", same_site)? == Some("strict"),
            trusted_origins: read(variable, "DEMO_TRUSTED_ORIGINS", origins)?.unwrap_or_default(),
        })
    }

    /// A builder with these settings. If the builder refuses them, the error is its message.
    pub(crate) async fn sessions(&self) -> Result<SessionsBuilder<Profile>, Box<dyn Error>> {
        let mut timing = self.preset.timing();
        let set = |to: &mut Duration, from: Option<Duration>| *to = from.unwrap_or(*to);
        set(&mut timing.access_ttl, self.access_ttl);
        set(&mut timing.idle_timeout, self.idle);
        set(&mut timing.absolute_timeout, self.absolute);
        set(&mut timing.grace, self.grace);
        set(&mut timing.write_window, self.write_window);
        set(&mut timing.rotation_interval, self.rotation_interval);
        set(&mut timing.crash_window, self.crash_window);
        set(&mut timing.late_body, self.late_body);
        timing.renew_before = self.renew_before;
        let keys = match &self.key_file {
            Some(path) => key_file(path)?,
            None => self.keys.clone().into(),
        };
        let builder = Sessions::builder(keys)
            .timing(|_| timing)
            .cookies(|cookies| if self.same_site_strict { cookies.same_site_strict() } else { cookies });
        let builder = self
            .trusted_origins
            .iter()
            .fold(builder, |builder, origin| builder.cookies(|cookies| cookies.trusted_origin(origin)));
        store::choose(device::bind(builder, timing.access_ttl), &self.store).await
    }
}

/// The keys of a file, which is followed.
fn key_file(path: &str) -> Result<KeySource, SettingError> {
    let problem = |error: KeyFileError| match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    let opened = KeyFile::open(path);
    opened.map(Into::into).map_err(|error| SettingError { name: "DEMO_KEY_FILE", problem: problem(error) })
}

/// A setting, if it is set.
fn read<T>(
    variable: impl Fn(&str) -> Result<String, VarError>,
    name: &'static str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, SettingError> {
    match variable(name) {
        Ok(text) => parse(&text).map(Some).map_err(|problem| SettingError { name, problem }),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(SettingError { name, problem: "not Unicode".to_owned() }),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| format!("{text:?} is not a number of seconds"))
}

fn preset(text: &str) -> Result<Preset, String> {
    match text {
        "quick" => Ok(Preset::Quick),
        "defaults" => Ok(Preset::Defaults),
        _ => Err(format!("{text:?} is neither quick nor defaults")),
    }
}

fn same_site(text: &str) -> Result<&'static str, String> {
    match text {
        "lax" => Ok("lax"),
        "strict" => Ok("strict"),
        _ => Err(format!("{text:?} is neither lax nor strict")),
    }
}

fn origins(text: &str) -> Result<Vec<String>, String> {
    Ok(text.split(',').map(str::trim).filter(|origin| !origin.is_empty()).map(str::to_owned).collect())
}

/// The first key signs, the others verify. An error says what is wrong with a key, and never shows the
/// key.
fn keys(text: &str) -> Result<Keyring, String> {
    let mut ring: Option<Keyring> = None;
    for (index, key) in text.split(',').enumerate() {
        let nth = |problem: String| format!("key {}: {problem}", index + 1);
        let secret = URL_SAFE_NO_PAD
            .decode(key.trim().trim_end_matches('='))
            .map_err(|_| nth("not base64url".to_owned()))?;
        let key = Keyring::hs256(secret).map_err(|error| nth(error.to_string()))?;
        ring = Some(match ring {
            None => key,
            Some(ring) => ring.publish(key).map_err(|error| nth(error.to_string()))?,
        });
    }
    ring.ok_or_else(|| "no key".to_owned())
}
