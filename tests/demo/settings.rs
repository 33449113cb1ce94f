//! The demo's environment variables: valid and invalid values.

use std::env::VarError;

use crate::demo::{App, settings::Settings};

/// The demo's error at start, if any.
async fn problem(name: &str, value: &str) -> Option<String> {
    let variable = |asked: &str| match asked {
        _ if asked == name => Ok(value.to_owned()),
        "DEMO_PRESET" => Ok("defaults".to_owned()),
        _ => Err(VarError::NotPresent),
    };
    let settings = match Settings::from(variable) {
        Ok(settings) => settings,
        Err(error) => return Some(error.to_string()),
    };
    match settings.sessions().await {
        Ok(builder) => App::new(builder).err().map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    }
}

#[tokio::test]
async fn invalid_value_is_an_error_at_start_that_names_its_variable() {
    for (name, value) in [
        ("DEMO_ADDR", "localhost"),
        ("DEMO_KEY", "c2hvcnQ"),
        ("DEMO_KEY", "not base64url"),
        ("DEMO_STORE", "memory:x"),
        ("DEMO_STORE", "sqlite"),
        ("DEMO_STORE", "sqlite:"),
        ("DEMO_STORE", "memcached:nowhere"),
        ("DEMO_STORE", "redis:x"),
        ("DEMO_STORE", ""),
        ("DEMO_PRESET", "slow"),
        ("DEMO_ACCESS_TTL", "five"),
        ("DEMO_IDLE", "-1"),
        ("DEMO_SAME_SITE", "none"),
    ] {
        let said = problem(name, value).await;
        assert!(said.as_ref().is_some_and(|said| said.contains(name)), "{name}={value}: {said:?}");
    }
}

#[tokio::test]
async fn setting_that_the_builder_refuses_is_an_error_with_its_message() {
    for (name, value, message) in [
        (
            "DEMO_ROTATION_INTERVAL",
            "150",
            "150s, but must be longer than write_window (60s) + 2 * grace (45s)",
        ),
        (
            "DEMO_IDLE",
            "60",
            "60s, but must be at least access_ttl (300s) + rotation_interval (240s) + write_window (60s)",
        ),
        ("DEMO_ABSOLUTE", "3600", "3600s, but must be at least idle_timeout"),
        ("DEMO_GRACE", "0", "grace"),
        ("DEMO_RENEW_BEFORE", "300", "300s, but must be shorter than access_ttl (300s)"),
        ("DEMO_TRUSTED_ORIGINS", "https://*.example", "https://*.example"),
    ] {
        let said = problem(name, value).await;
        assert!(said.as_ref().is_some_and(|said| said.contains(message)), "{name}={value}: {said:?}");
    }
}

#[tokio::test]
async fn error_message_shows_no_key() {
    for key in ["MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI", "c2hvcnQga2V5IHNlY3JldA"] {
        let said = problem("DEMO_KEY", key).await.unwrap_or_default();
        assert!(!said.contains(key) && !said.contains("short key") && !said.contains("1234567"), "{said}");
    }
}

#[tokio::test]
async fn default_preset_has_lifetimes_of_seconds_and_single_settings_override_it() {
    let timing = async |set: &[(&str, &str)]| {
        let variable = |asked: &str| {
            let found = set.iter().find(|(name, _)| *name == asked);
            found.map(|(_, value)| (*value).to_owned()).ok_or(VarError::NotPresent)
        };
        let builder = Settings::from(variable).expect("valid settings").sessions().await.expect("a store");
        let timing = *App::new(builder).expect("a valid policy").sessions.policy().timing();
        (timing.access_ttl.as_secs(), timing.rotation_interval.as_secs(), timing.crash_window.as_secs())
    };
    assert_eq!(timing(&[]).await, (5, 4, 0));
    assert_eq!(timing(&[("DEMO_PRESET", "quick"), ("DEMO_ACCESS_TTL", "9")]).await, (9, 4, 0));
    assert_eq!(timing(&[("DEMO_PRESET", "defaults"), ("DEMO_ACCESS_TTL", "9")]).await, (9, 240, 35));
}
