//! Administrators, and requests with the cookies of revoked sessions.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::time::sleep;
use tower_sliding_sessions::{CookieJar, store::StoreError};

use crate::{
    history::{From, Time, What},
    instance::INSTANCES,
    tokens::{Cookies, only},
    world::{REFRESH, Trip, World},
};

/// Cookies of a session that was revoked.
pub(crate) struct Gone {
    jars: Vec<CookieJar>,
    /// The place of the instance.
    acknowledged_by: usize,
    since: Time,
}

/// How long a revoked session is tried.
const REMEMBERED: Duration = Duration::from_secs(20);

impl World {
    pub(crate) fn add_gone(&self, jars: Vec<CookieJar>, acknowledged_by: usize) {
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        gone.push_back(Gone { jars, acknowledged_by, since: self.history.now() });
    }

    /// Tries the cookies of a revoked session on each instance. Only the one that acknowledged the revocation gets the
    /// refresh token alone, and asks the store: the others are to learn it from the feed.
    pub(crate) async fn try_at_once(&self, jar: &CookieJar, acknowledged_by: usize) {
        self.try_revoked(&only(jar, REFRESH), acknowledged_by).await;
        for place in 0..INSTANCES {
            self.try_revoked(jar, place).await;
        }
    }

    async fn try_revoked(&self, jar: &CookieJar, place: usize) {
        let trip = Trip::at_once(place);
        self.request(From::Revoked, jar, trip).await;
    }

    pub(crate) async fn try_revoked_sessions(self: Arc<Self>) {
        let mut chance = self.chance(1 << 20);
        while !self.is_over() {
            let tried = {
                let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
                let now = self.history.now();
                gone.retain(|gone| gone.since + REMEMBERED > now);
                // The last ones more often.
                let from = gone.len().saturating_sub(if chance.below(2) == 0 { 3 } else { usize::MAX });
                let index = from + chance.below(gone.len() - from);
                gone.get(index).map(|gone| (chance.pick(&gone.jars).clone(), gone.acknowledged_by))
            };
            if let Some((jar, place)) = tried {
                let (jar, place) = match chance.below(4) {
                    0 => (only(&jar, "__Host-access="), chance.below(INSTANCES)),
                    1 => (only(&jar, REFRESH), place),
                    _ => (jar, chance.below(INSTANCES)),
                };
                self.try_revoked(&jar, place).await;
            }
            sleep(Duration::from_millis(10 + chance.below(30) as u64)).await;
        }
    }

    pub(crate) async fn administrate(self: Arc<Self>) {
        let mut chance = self.chance(1 << 21);
        let mut next_stop = Duration::from_secs(12 + chance.below(10) as u64);
        while !self.is_over() {
            sleep(Duration::from_millis(700 + chance.below(2500) as u64)).await;
            let place = chance.below(INSTANCES);
            if self.history.now() > next_stop {
                next_stop = self.history.now() + Duration::from_secs(20 + chance.below(20) as u64);
                self.stop(place).await;
            } else if self.plan.can_list {
                self.revoke_all(2 * chance.below(self.plan.clients / 2), place).await;
            }
        }
    }

    async fn revoke_all(&self, user: usize, place: usize) {
        let (instance, invoked, jar) = (&self.instances[place], self.history.now(), self.jar(user).clone());
        let began_before = Cookies::of(&jar).token();
        let Some(running) = instance.running() else { return };
        let call = running.sessions.revoke_all(format!("user{user}"));
        let answer = instance.call(running.process, call).await;
        let acknowledged = matches!(answer, Some(Ok(_)));
        let what = What::RevokeAll { user, acknowledged };
        match answer {
            Some(Err(StoreError::Unsupported(_))) => {}
            Some(_) => self.history.add(running.process, invoked, what),
            None => self.history.add_unknown(running.process, invoked, what),
        }
        if acknowledged && began_before.is_some() {
            self.try_at_once(&jar, place).await;
            self.add_gone(vec![jar], place);
        }
    }

    /// The emergency stop.
    pub(crate) async fn stop(&self, place: usize) {
        let jars: Vec<_> = (0..self.plan.clients).map(|client| self.jar(client).clone()).collect();
        let (instance, invoked) = (&self.instances[place], self.history.now());
        let Some(running) = instance.running() else { return };
        let run = match instance.call(running.process, running.sessions.revoke_everything()).await {
            Some(answer) => {
                let run = answer.ok();
                self.history.add(running.process, invoked, What::Stop(run));
                run
            }
            None => {
                self.history.add_unknown(running.process, invoked, What::Stop(None));
                None
            }
        };
        if run.is_none() {
            return;
        }
        for jar in jars.into_iter().filter(|jar| Cookies::of(jar).token().is_some()).take(4) {
            self.try_at_once(&jar, place).await;
            self.add_gone(vec![jar], place);
        }
    }
}
