//! Measures this crate and its alternatives with the same work, in one process and one run, and reports
//! each target as met or missed.
//!
//! ```sh
//! cargo run --release -- parts peers load          # what needs no server
//! cargo run --release -- parts peers load --quick  # fewer rounds, for a first look
//! cargo run --release -- parts peers --aws-lc      # the JWT crate by AWS-LC rather than RustCrypto
//! ../../tests/servers/postgres ../../tests/servers/redis \
//!     cargo run --release --features stores -- stores
//! cargo run --release --bin scale                  # from a thousand to a million sessions
//! ```

// The crate's own files, compiled here again, to measure private parts separately.
#[path = "../../../src/cookie/mod.rs"]
#[expect(dead_code, unused_imports, reason = "only a part of it is measured")]
mod cookie;
#[path = "../../../src/id.rs"]
#[expect(dead_code, reason = "only a part of it is measured")]
mod id;
#[path = "../../../src/protocol/mod.rs"]
#[expect(dead_code, unused_imports, reason = "only a part of it is measured")]
mod protocol;
#[path = "../../../src/time.rs"]
#[expect(dead_code, reason = "only a part of it is measured")]
mod time;
#[path = "../../../src/token/mod.rs"]
#[expect(dead_code, unused_imports, reason = "only a part of it is measured")]
mod token;

mod chart;
mod cpu;
mod load;
mod own;
mod parts;
mod peers;
mod peers_sessions;
mod peers_webgates;
mod report;
mod rounds;
#[cfg(feature = "stores")]
mod stores;
mod work;

use std::{env, fs, rc::Rc};

use self::report::Report;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let wants = |what: &str| arguments.iter().any(|given| given == what);
    let quick = arguments.iter().any(|given| given == "--quick");
    let rounds = if quick { 10 } else { 40 };
    // The process-wide choice for the JWT crate. This crate's HS256 uses RustCrypto as well.
    let backend = match arguments.iter().any(|given| given == "--aws-lc") {
        true => &jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER,
        false => &jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER,
    };
    backend.install_default().expect("no provider is installed yet");

    let runtime =
        Rc::new(tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"));
    let mut report = Report::default();
    if wants("parts") {
        let contenders = parts::all().into_iter().chain(parts::encoders());
        report.parts(&rounds::run(&mut contenders.collect::<Vec<_>>(), rounds));
    }
    if wants("peers") {
        let mut contenders = own::all(&runtime);
        contenders.extend(peers::all(&runtime));
        contenders.push(peers_webgates::contender(&runtime));
        contenders.extend(peers_sessions::all(&runtime));
        if let Some(only) = arguments.iter().find_map(|given| given.strip_prefix("--only=")) {
            contenders.retain(|contender| contender.name.contains(only));
            return report::nanoseconds(&rounds::run(&mut contenders, rounds), None);
        }
        let medians = rounds::run(&mut contenders, rounds);
        report.peers(&medians);
        let mut contenders = parts::encoders();
        contenders.extend(own::renewals(&runtime));
        report.renewals(&rounds::run(&mut contenders, rounds));
        if let Some(path) = arguments.iter().find_map(|given| given.strip_prefix("--chart=")) {
            fs::write(path, chart::bars(&medians)).expect("the chart is written");
        }
    }
    if wants("load") {
        report.load(&load::over_loopback(if quick { 10 } else { 20 }));
    }
    #[cfg(feature = "stores")]
    if wants("stores") {
        report.stores(&stores::over_http());
    }
    report.conclude();
}
