//! The conformance suite can fail: a store with one flaw at a time must not pass, and a store with fewer
//! capabilities must pass.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a failed test is a panic")]

mod flawed_store;
#[path = "flawed_store/values.rs"]
mod flawed_values;
#[path = "support/records.rs"]
#[expect(dead_code, reason = "shared with the tests of stores")]
mod records;

use flawed_store::{Flaw, FlawedStore};
use flawed_values::{FlawedValues, ValueFlaw};
use tower_sliding_sessions::store::{MemoryStore, conformance};

fn store(flaw: Flaw) -> FlawedStore {
    FlawedStore::new(MemoryStore::new().expect("random bytes"), flaw)
}

/// Runs single cases against a store with `flaw`: each must fail. Each must pass without the flaw.
async fn found_by(flaw: Flaw, names: &[&'static str]) {
    for name in names {
        let with = tokio::spawn(conformance::run_case(name, store(flaw))).await;
        assert!(with.is_err_and(|error| error.is_panic()), "{name} does not find {flaw:?}");
        let without = tokio::spawn(conformance::run_case(name, store(Flaw::None))).await;
        assert!(without.is_ok(), "{name} fails without {flaw:?}");
    }
}

/// One test for each flaw. Time is paused, so a missing event costs no real time.
/// The random history is listed only where it meets the flaw hundreds of times.
macro_rules! flaws {
    ($($test:ident: $flaw:ident => $($case:ident),+;)*) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $test() {
                found_by(Flaw::$flaw, &[$(stringify!($case)),+]).await;
            }
        )*
    };
}

flaws! {
    rotating_without_the_condition: AdvanceIgnoresCondition =>
        rotation_requires_the_generation_it_names, rotation_waits_for_the_interval_in_the_record,
        random_history_matches_the_model;
    rotating_by_timing_outside_the_record: AdvanceIgnoresTiming =>
        rotation_waits_for_the_interval_in_the_record,
        rotation_uses_the_timing_written_last, random_history_matches_the_model;
    rotating_a_millisecond_late: AdvanceWaitsLonger => rotation_waits_for_the_interval_in_the_record,
        random_history_matches_the_model;
    rotating_without_a_new_version: AdvanceKeepsVersion => every_write_makes_a_new_version;
    checking_then_rotating: AdvanceIsNotAtomic => one_of_concurrent_rotations_applies;
    leaving_the_loser_without_a_record: LoserGetsNothing => rotation_requires_the_generation_it_names,
        one_of_concurrent_rotations_applies;

    replacing_any_version: ReplaceIgnoresVersion => replacement_of_another_version_is_a_conflict,
        every_write_makes_a_new_version, one_of_concurrent_replacements_applies;
    comparing_then_replacing: ReplaceIsNotAtomic => one_of_concurrent_replacements_applies;
    replacing_a_revoked_session: ReplaceRevives => session_revoked_in_between_is_not_replaced,
        revocation_is_final_and_the_record_is_kept;
    replacing_a_session_that_is_not_there: ReplaceOpens => missing_session_is_not_replaced;
    replacing_all_but_the_timing: ReplaceKeepsTiming => record_is_replaced_as_a_whole,
        rotation_uses_the_timing_written_last;
    replacing_all_but_the_deadlines: ReplaceKeepsDeadlines => record_is_replaced_as_a_whole,
        use_moves_the_idle_deadline_forward_only, deadlines_are_exact_to_the_millisecond;
    replacing_without_the_event: ReplaceLosesEvent => event_is_in_the_feed_only_if_its_record_was_replaced,
        claims_are_replaced_and_the_session_is_stale;
    event_of_a_failed_replacement: EventIsNotAtomic =>
        event_is_in_the_feed_only_if_its_record_was_replaced;
    leaving_a_conflict_without_a_record: ConflictSaysNothing => one_of_concurrent_replacements_applies,
        replacement_of_another_version_is_a_conflict;

    revocation_that_is_not_final: RevokeIsNotFinal => revocation_is_final_and_the_record_is_kept,
        nothing_applies_after_the_revocation_of_a_session, random_history_matches_the_model;
    forgetting_revoked_sessions: EndedAreForgotten => revocation_is_final_and_the_record_is_kept,
        revoked_session_is_kept_until_its_absolute_deadline;
    counting_a_second_revocation: RevokeCountsTwice =>
        repeated_revocation_is_no_error_and_only_the_first_counts;
    revoking_after_the_response: RevokeReturnsEarly =>
        repeated_revocation_is_no_error_and_only_the_first_counts,
        nothing_applies_after_the_revocation_of_a_session;
    revoking_one_session_too_many: RevokeBeforeIsInclusive => sessions_of_a_subject_are_revoked_together;

    ignoring_the_cap: CreateIgnoresCap => cap_can_refuse_a_session, cap_can_revoke_the_oldest_session;
    counting_then_creating: CapIsNotAtomic => concurrent_sign_ins_never_exceed_a_cap_that_refuses;
    storing_half_a_sign_in: CreateIsTorn => dropped_creation_is_atomic;
    reusing_the_ids_of_ended_sessions: CreateReusesIds => session_id_is_never_used_twice;

    ignoring_the_realm: RealmIsIgnored => realms_and_subjects_are_isolated,
        revocation_of_a_subject_spares_the_same_name_in_another_realm;
    subjects_in_lower_case: SubjectIsFolded => subject_can_be_any_text;
    joining_realm_and_subject: SubjectIsJoined => subject_can_be_any_text;
    reformatting_claims: ClaimsAreReformatted => claims_are_stored_byte_for_byte;
    generations_of_32_bits: GenerationsAreShort => large_generations_are_exact;
    deadlines_in_seconds: DeadlinesAreRounded => far_deadlines_are_exact,
        created_session_reads_back_unchanged;

    listing_the_newest_first: ListIsReversed => live_sessions_are_listed_oldest_first;
    listing_the_expired: ListIsLate => deadlines_are_exact_to_the_millisecond;

    keeping_the_run_id: RaiseDoesNothing => higher_run_id_ends_every_session,
        concurrent_raises_end_at_the_highest;
    accepting_a_lower_run_id: RunGoesBack =>
        lower_run_id_changes_nothing, concurrent_raises_end_at_the_highest;

    feed_without_revocations: FeedHasNoRevocations => revocation_reaches_the_feed;
    feed_without_stale_marks: FeedHasNoStaleMarks => stale_marks_revoke_nothing_and_reach_every_reader,
        claims_are_replaced_and_the_session_is_stale;
    feed_that_skips: FeedSkips => reading_from_any_position_loses_no_event_during_many_writes;
    feed_that_never_wakes: FeedNeverWakes => waiting_reader_is_woken,
        reader_gets_a_response_without_events;
    stale_marks_that_move_back: StaleMarksGoBack => late_change_of_claims_moves_no_stale_mark_back;
    feed_that_hides_gaps: FeedHidesGaps => unknown_position_is_an_error_or_a_gap;

    doing_more_than_declared: SaysItCanDoNothing => live_sessions_are_listed_oldest_first,
        feed_returns_the_events_since_a_time, stale_marks_revoke_nothing_and_reach_every_reader,
        revocation_of_a_subject_spares_the_same_name_in_another_realm, cap_can_refuse_a_session;
}

#[tokio::test(start_paused = true)]
async fn each_flaw_in_the_values_is_found() {
    let store = |flaw| FlawedValues::new(MemoryStore::new().expect("random bytes"), flaw);
    for (flaw, name) in [
        (ValueFlaw::IgnoresVersion, "value_of_another_version_is_a_conflict"),
        (ValueFlaw::IgnoresVersion, "removed_value_is_missing_and_its_version_never_comes_back"),
        (ValueFlaw::IsNotAtomic, "one_of_concurrent_writers_of_a_value_wins"),
        (ValueFlaw::NeverExpires, "expired_value_is_missing_and_can_be_written_again"),
        (ValueFlaw::ConflictSaysNothing, "value_of_another_version_is_a_conflict"),
        (ValueFlaw::ConflictSaysNothing, "one_of_concurrent_writers_of_a_value_wins"),
        (ValueFlaw::CutsBytes, "value_reads_back_as_it_was_written"),
        (ValueFlaw::RemovesNothing, "removed_value_is_missing_and_its_version_never_comes_back"),
        (ValueFlaw::ForgetsWithRun, "values_outlive_revocations_and_run_ids"),
        (ValueFlaw::SaysItKeepsNone, "values_with_other_names_are_isolated"),
    ] {
        let with = tokio::spawn(conformance::run_case(name, store(flaw))).await;
        assert!(with.is_err_and(|error| error.is_panic()), "{name} does not find {flaw:?}");
        let without = tokio::spawn(conformance::run_case(name, store(ValueFlaw::None))).await;
        assert!(without.is_ok(), "{name} fails without {flaw:?}");
    }
}

/// It has neither a feed nor listing, and declares that.
mod store_with_fewer_capabilities_passes {
    use super::{Flaw, FlawedStore, store};

    async fn modest() -> FlawedStore {
        store(Flaw::Modest)
    }

    tower_sliding_sessions::store_conformance!(modest);
}

#[tokio::test(start_paused = true)]
async fn whole_suite_names_the_cases_that_failed() {
    let whole = tokio::spawn(conformance::run(async || store(Flaw::ListIsReversed))).await;
    let panic = whole.expect_err("the store does not conform").into_panic();
    let message = panic.downcast_ref::<String>().expect("a message");
    assert!(message.contains("live_sessions_are_listed_oldest_first"), "{message}");
    assert!(!message.contains("session_id_is_never_used_twice"), "{message}");
}
