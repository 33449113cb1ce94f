//! The conformance suite can fail: a store with one flaw at a time must not pass, and a store with fewer
//! capabilities must pass.
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test is a panic")]

mod flawed_store;
#[path = "support/records.rs"]
#[expect(dead_code, reason = "shared with the tests of stores")]
mod records;

use flawed_store::{Flaw, FlawedStore};
use tower_sliding_sessions::store::{MemoryStore, conformance};

fn store(flaw: Flaw) -> FlawedStore {
    FlawedStore::new(MemoryStore::new().expect("random bytes"), flaw)
}

/// Runs single cases against a store with `flaw`: each must fail. Each must pass without the flaw.
async fn found_by(flaw: Flaw, names: &[&str]) {
    for name in names {
        let with = tokio::spawn(conformance_case(name, flaw)).await;
        assert!(with.is_err_and(|error| error.is_panic()), "{name} does not find {flaw:?}");
        let without = tokio::spawn(conformance_case(name, Flaw::None)).await;
        assert!(without.is_ok(), "{name} fails without {flaw:?}");
    }
}

fn conformance_case(name: &str, flaw: Flaw) -> impl Future<Output = ()> + Send + use<> {
    let case = conformance::cases().into_iter().find(|case| case.name() == name);
    let case = case.unwrap_or_else(|| panic!("there is no case {name}"));
    async move { case.run(store(flaw)).await }
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
        a_rotation_wants_the_generation_it_names, a_rotation_waits_for_the_interval_of_its_own_record,
        a_random_history_agrees_with_the_model;
    rotating_by_timing_outside_the_record: AdvanceIgnoresTiming =>
        a_rotation_waits_for_the_interval_of_its_own_record,
        a_rotation_follows_the_timing_that_was_written_last, a_random_history_agrees_with_the_model;
    rotating_a_millisecond_late: AdvanceWaitsLonger => a_rotation_waits_for_the_interval_of_its_own_record,
        a_random_history_agrees_with_the_model;
    rotating_without_a_new_version: AdvanceKeepsVersion => every_write_makes_a_new_version;
    checking_then_rotating: AdvanceIsNotAtomic => of_racing_rotations_exactly_one_applies;
    leaving_the_loser_without_a_record: LoserGetsNothing => a_rotation_wants_the_generation_it_names,
        of_racing_rotations_exactly_one_applies;

    replacing_any_version: ReplaceIgnoresVersion => a_replacement_of_another_version_is_a_conflict,
        every_write_makes_a_new_version, of_racing_replacements_exactly_one_applies;
    comparing_then_replacing: ReplaceIsNotAtomic => of_racing_replacements_exactly_one_applies;
    replacing_a_revoked_session: ReplaceRevives => what_was_revoked_meanwhile_is_not_replaced,
        ending_a_session_is_final_and_its_record_is_kept;
    replacing_a_session_that_is_not_there: ReplaceOpens => a_missing_session_is_not_replaced;
    replacing_all_but_the_timing: ReplaceKeepsTiming => a_record_is_replaced_as_a_whole,
        a_rotation_follows_the_timing_that_was_written_last;
    replacing_all_but_the_deadlines: ReplaceKeepsDeadlines => a_record_is_replaced_as_a_whole,
        use_moves_the_idle_deadline_forward_only, deadlines_are_exact_to_the_millisecond;
    replacing_without_the_event: ReplaceLosesEvent => an_event_is_in_the_feed_if_its_record_was_replaced,
        claims_are_replaced_and_the_session_is_stale;
    event_of_a_failed_replacement: EventIsNotAtomic =>
        an_event_is_in_the_feed_if_its_record_was_replaced;
    leaving_a_conflict_without_a_record: ConflictSaysNothing => of_racing_replacements_exactly_one_applies,
        a_replacement_of_another_version_is_a_conflict;

    revocation_that_is_not_final: RevokeIsNotFinal => ending_a_session_is_final_and_its_record_is_kept,
        nothing_applies_once_ending_a_session_has_returned, a_random_history_agrees_with_the_model;
    forgetting_revoked_sessions: EndedAreForgotten => ending_a_session_is_final_and_its_record_is_kept,
        an_ended_session_is_remembered_until_its_absolute_deadline;
    counting_a_second_revocation: RevokeCountsTwice => ending_twice_is_no_error_and_only_the_first_counts;
    revoking_after_the_response: RevokeReturnsEarly => ending_twice_is_no_error_and_only_the_first_counts,
        nothing_applies_once_ending_a_session_has_returned;
    revoking_one_session_too_many: RevokeBeforeIsInclusive => a_subjects_sessions_end_together;

    ignoring_the_cap: CreateIgnoresCap => a_cap_can_refuse_one_more, a_cap_can_end_the_oldest;
    counting_then_creating: CapIsNotAtomic => racing_sign_ins_never_exceed_a_cap_that_refuses;
    storing_half_a_sign_in: CreateIsTorn => a_dropped_creation_is_whole_or_never_was;
    reusing_the_ids_of_ended_sessions: CreateReusesIds => an_id_is_never_used_twice;

    ignoring_the_realm: RealmIsIgnored => realms_and_subjects_have_nothing_in_common,
        ending_a_subjects_sessions_leaves_its_namesakes_alone;
    subjects_in_lower_case: SubjectIsFolded => subjects_may_be_called_anything;
    joining_realm_and_subject: SubjectIsJoined => subjects_may_be_called_anything;
    reformatting_claims: ClaimsAreReformatted => claims_come_back_byte_for_byte;
    generations_of_32_bits: GenerationsAreShort => large_generations_are_exact;
    deadlines_in_seconds: DeadlinesAreRounded => far_deadlines_are_exact,
        a_session_reads_back_as_it_was_created;

    listing_the_newest_first: ListIsReversed => the_live_sessions_are_listed_oldest_first;
    listing_the_expired: ListIsLate => deadlines_are_exact_to_the_millisecond;

    keeping_the_run_id: RaiseDoesNothing => a_higher_run_ends_every_session,
        racing_raises_end_at_the_highest;
    accepting_a_lower_run_id: RunGoesBack => a_lower_run_changes_nothing, racing_raises_end_at_the_highest;

    feed_without_revocations: FeedHasNoRevocations => an_end_reaches_the_feed;
    feed_without_stale_marks: FeedHasNoStaleMarks => stale_marks_revoke_nothing_and_reach_every_reader,
        claims_are_replaced_and_the_session_is_stale;
    feed_that_skips: FeedSkips => reading_on_from_any_place_loses_nothing_while_many_write;
    feed_that_never_wakes: FeedNeverWakes => a_reader_that_waits_is_woken,
        a_reader_is_answered_even_if_nothing_happens;
    stale_marks_that_move_back: StaleMarksGoBack => a_late_change_of_claims_moves_no_stale_mark_back;
    feed_that_hides_gaps: FeedHidesGaps => an_unknown_place_is_an_error_or_a_gap;

    doing_more_than_declared: SaysItCanDoNothing => the_live_sessions_are_listed_oldest_first,
        the_feed_gives_what_happened_since_a_time, stale_marks_revoke_nothing_and_reach_every_reader,
        ending_a_subjects_sessions_leaves_its_namesakes_alone, a_cap_can_refuse_one_more;
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
    assert!(message.contains("the_live_sessions_are_listed_oldest_first"), "{message}");
    assert!(!message.contains("an_id_is_never_used_twice"), "{message}");
}
