//! The application's user directory, and what its claims hook answers at each renewal.

use std::{
    collections::HashMap,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
};

use tower_sliding_sessions::{Reload, SessionsBuilder};

use crate::support::{Gate, Profile, World};

/// The hook's answer for a user.
#[derive(Clone, Debug, Default)]
pub(crate) enum Says {
    #[default]
    Keep,
    Role(String),
    End(&'static str),
    /// It fails.
    Fail,
    /// It never answers.
    Hang,
    /// It panics.
    Crash,
    /// It waits, and then keeps the claims.
    Wait(Gate),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Directory(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    says: HashMap<String, Says>,
    asked: Vec<(String, Option<Profile>)>,
}

type Answer = Pin<Box<dyn Future<Output = io::Result<Reload<Profile>>> + Send>>;

impl Directory {
    pub(crate) fn say(&self, subject: &str, says: Says) {
        self.0.lock().unwrap().says.insert(subject.to_owned(), says);
    }

    pub(crate) fn role(&self, subject: &str, role: &str) {
        self.say(subject, Says::Role(role.to_owned()));
    }

    /// The users it was asked about since the last call of this, with their claims.
    pub(crate) fn asked(&self) -> Vec<(String, Option<Profile>)> {
        std::mem::take(&mut self.0.lock().unwrap().asked)
    }

    fn answer(&self, subject: &str, claims: Option<Profile>) -> Answer {
        let mut state = self.0.lock().unwrap();
        state.asked.push((subject.to_owned(), claims));
        let says = state.says.get(subject).cloned().unwrap_or_default();
        Box::pin(async move {
            match says {
                Says::Keep => Ok(Reload::Keep),
                Says::Role(role) => Ok(Reload::Replace(Profile { role })),
                Says::End(reason) => Ok(Reload::revoke(reason)),
                Says::Fail => Err(io::Error::other("the directory is unavailable")),
                Says::Hang => std::future::pending().await,
                Says::Crash => panic!("simulated panic"),
                Says::Wait(gate) => {
                    gate.pass().await;
                    Ok(Reload::Keep)
                }
            }
        })
    }

    pub(crate) fn of(&self, builder: SessionsBuilder<Profile>) -> SessionsBuilder<Profile> {
        let directory = self.clone();
        builder.reload_claims(move |subject, claims| directory.answer(&subject, claims))
    }

    /// A world whose instances use this directory.
    pub(crate) fn world(&self) -> World {
        let directory = self.clone();
        World::tuned(move |builder| directory.of(builder))
    }
}
