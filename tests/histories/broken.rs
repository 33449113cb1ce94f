//! The checker can fail: each broken store is caught by the rule that is named for it. Time is simulated, so a run
//! with one seed is repeated as it was.

mod caching;
mod store;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tower_sliding_sessions::store::{MemoryStore, SessionStore};

use self::{
    caching::Caching,
    store::{Break, BrokenStore},
};
use crate::{
    checker::{Report, Rule, check},
    faults::{NoServer, Planned},
    flawed_store::{Flaw, FlawedStore},
    history::Fault,
    instance::{INSTANCES, Open, build, build_unrecorded},
    recording::Recording,
    simulated,
    world::{Plan, World},
};

fn memory() -> MemoryStore {
    MemoryStore::new().expect("random bytes")
}

/// The store that all instances share.
fn shared<S: SessionStore + Clone>(store: S) -> Open {
    Arc::new(move |_, setup| {
        let store = store.clone();
        Box::pin(async move { Ok(build(store, setup)) })
    })
}

/// The rules that were broken, and the report about them.
async fn broken_rules(open: Open, faults: Vec<Planned>) -> (BTreeSet<Rule>, String) {
    let plan = Plan { seed: 14, time: Duration::from_secs(60), clients: 8, can_list: true, faults };
    let links = (0..INSTANCES).map(|_| None).collect();
    let history = World::run(plan, simulated(), open, links, NoServer).await;
    let violations = check(&history, &simulated());
    let report = Report { history: &history, violations: &violations, how_to_repeat: "this test" };
    (violations.iter().map(|violation| violation.rule).collect(), report.to_string())
}

async fn is_caught(open: Open, faults: Vec<Planned>, by: Rule) {
    let (found, report) = broken_rules(open, faults).await;
    assert!(found.contains(&by), "{by:?} finds nothing: {report}");
}

/// One instance after the other loses its store.
fn cuts() -> Vec<Planned> {
    let cut = |place| {
        let at = Duration::from_secs(3 + 6 * place as u64);
        Planned { at, lasts: Duration::from_secs(5), fault: Fault::Cut, place }
    };
    (0..INSTANCES).map(cut).collect()
}

#[tokio::test(start_paused = true)]
async fn store_without_a_flaw_breaks_no_rule() {
    let (found, report) = broken_rules(shared(BrokenStore::new(memory(), Break::Nothing)), cuts()).await;
    assert!(found.is_empty(), "{report}");
}

macro_rules! broken_stores {
    ($($test:ident: $store:expr => $rule:ident;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $test() {
            is_caught(shared($store), Vec::new(), Rule::$rule).await;
        }
    )*};
}

broken_stores! {
    losing_revocations: BrokenStore::new(memory(), Break::LosesRevocations) => AcknowledgedRevocationIsReadBack;
    answering_before_the_revocation_is_written: BrokenStore::new(memory(), Break::RevokesLate) =>
        AcknowledgedRevocationIsReadBack;
    revocation_that_is_not_final: FlawedStore::new(memory(), Flaw::RevokeIsNotFinal) =>
        AcknowledgedRevocationIsReadBack;
    making_two_successors: BrokenStore::new(memory(), Break::MakesTwoSuccessors) => OneSuccessorPerGeneration;
    forgetting_a_rotation: BrokenStore::new(memory(), Break::ForgetsRotations) => AcknowledgedRotationIsKept;
    accepting_a_superseded_token: BrokenStore::new(memory(), Break::AcceptsSuperseded) => SupersededTokenIsRefused;
    never_delivering_the_feed: FlawedStore::new(memory(), Flaw::FeedHasNoRevocations) => RevokedSessionIsNotServed;
    serving_an_old_run_id: BrokenStore::new(memory(), Break::ServesOldRunId) => AcknowledgedRunIdIsKept;
    forgetting_a_session: BrokenStore::new(memory(), Break::ForgetsSessions) => LegitimateClientStaysSignedIn;
    opening_no_session_at_the_end: BrokenStore::new(memory(), Break::OpensNoMore) => InstancesRecover;
}

/// The instance then mints by what it knew before the outage.
#[tokio::test(start_paused = true)]
async fn answering_from_a_cache_during_an_outage() {
    let store = memory();
    let open: Open = Arc::new(move |_, setup| {
        let inner = Recording { inner: store.clone(), recorder: setup.recorder.clone() };
        Box::pin(async move { Ok(build_unrecorded(Caching::new(inner), setup)) })
    });
    is_caught(open, cuts(), Rule::NoMintWithoutTheStore).await;
}
