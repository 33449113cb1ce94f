//! Requests per second over loopback, and the latency of each.
//!
//! The server has one thread, and the client another, which does as little as possible: it writes the
//! same bytes repeatedly, and counts the bytes of the responses.

pub mod client;
mod server;

pub use self::{
    client::{Load, pooled, run},
    server::Server,
};

use crate::{
    own,
    work::{Profile, SUBJECT, cookies},
};

/// Bare axum and this crate alternately.
pub fn over_loopback(rounds: usize) -> Vec<Load> {
    type App = (&'static str, axum::Router, String);
    let server = Server::new();
    let signed_in = |keys| {
        let sessions: tower_sliding_sessions::Sessions<Profile> = own::sessions(keys, 8192);
        let ours = server.block_on(own::cookie_of(&sessions, SUBJECT));
        let app = server.within(|| own::app(&sessions));
        (app, ours)
    };
    let (hs256, of_hs256) = signed_in(own::hs256());
    let (ed25519, of_ed25519) = signed_in(own::ed25519());
    let apps: [App; 4] = [
        ("bare axum", own::bare(), of_hs256.clone()),
        ("insert-only layer", own::insert_only(), of_hs256.clone()),
        ("this crate, HS256", hs256, of_hs256),
        ("this crate, Ed25519", ed25519, of_ed25519),
    ];
    let served = apps.map(|(name, app, ours)| (name, server.serve(app), client::get(&cookies(&ours))));
    let mut loads = Vec::new();
    for connections in [1, 64] {
        let mut found = vec![Vec::new(); served.len()];
        for round in 0..=rounds {
            for turn in 0..served.len() {
                let index = (turn + round) % served.len();
                let (name, address, request) = &served[index];
                let requests = if connections == 1 { 3000 } else { 20_000 };
                let load = run(name, *address, connections, vec![request.clone(); requests]);
                // The first round is a warm-up.
                if round > 0 {
                    found[index].push(load);
                }
            }
        }
        loads.extend(found.into_iter().map(pooled));
    }
    loads
}
