//! The list of cases, once: [`cases`] and [`store_conformance!`] are both made of it.

use super::{
    Case, SessionStore, advance::*, cancel::*, cap::*, claims::*, create::*, expiry::*, feed::*,
    isolation::*, list::*, model::*, race::*, replace::*, revoke::*, round_trip::*, run_id::*, usage::*,
    values::*,
};

/// Hands the list of cases to one of the rules below.
#[doc(hidden)]
#[macro_export]
macro_rules! __store_conformance {
    (@list $rule:ident $args:tt) => {
        $crate::store::conformance::__store_conformance! { @$rule $args
            together [
                created_session_reads_back_unchanged
                unknown_session_is_no_error_and_stays_unknown
                session_id_is_never_used_twice
                one_of_concurrent_creations_with_one_id_wins
                every_field_is_stored
                claims_are_stored_byte_for_byte
                large_generations_are_exact
                far_deadlines_are_exact
                realms_and_subjects_are_isolated
                revocation_of_a_subject_spares_the_same_name_in_another_realm
                subject_can_be_any_text
                rotation_is_provisional_and_counts_as_use
                rotation_requires_the_generation_it_names
                rotation_waits_for_the_interval_in_the_record
                rotation_uses_the_timing_written_last
                one_of_concurrent_rotations_applies
                rotations_during_confirmations_skip_no_generation
                record_is_replaced_as_a_whole
                every_write_makes_a_new_version
                replacement_of_another_version_is_a_conflict
                session_revoked_in_between_is_not_replaced
                missing_session_is_not_replaced
                one_of_concurrent_replacements_applies
                event_is_in_the_feed_only_if_its_record_was_replaced
                generation_is_confirmed_once_and_the_first_time_is_kept
                late_confirmation_moves_no_deadline_back
                one_of_concurrent_confirmations_is_kept
                use_moves_the_idle_deadline_forward_only
                use_never_moves_past_the_absolute_deadline
                fast_forward_never_goes_back_and_is_provisional
                highest_of_concurrent_fast_forwards_is_kept
                reauthentication_is_recorded_and_a_later_one_replaces_it
                claims_are_replaced_and_the_session_is_stale
                late_change_of_claims_moves_no_stale_mark_back
                stale_marks_revoke_nothing_and_reach_every_reader
                revocation_is_final_and_the_record_is_kept
                nothing_undoes_a_revocation_at_any_generation
                repeated_revocation_is_no_error_and_only_the_first_counts
                revocation_reaches_the_feed
                sessions_of_a_subject_are_revoked_together
                nothing_applies_after_the_revocation_of_a_session
                nothing_applies_after_the_revocation_of_a_subject
                revocation_of_a_subject_misses_no_session_while_others_begin
                concurrent_writes_to_one_record_lose_nothing
                cap_can_refuse_a_session
                cap_can_revoke_the_oldest_session
                concurrent_sign_ins_never_exceed_a_cap_that_refuses
                concurrent_sign_ins_never_exceed_a_cap_that_revokes_the_oldest
                live_sessions_are_listed_oldest_first
                feed_returns_the_events_since_a_time
                reading_from_any_position_loses_no_event_during_many_writes
                waiting_reader_is_woken
                cancelled_reader_loses_no_event
                unknown_position_is_an_error_or_a_gap
                value_reads_back_as_it_was_written
                value_of_another_version_is_a_conflict
                removed_value_is_missing_and_its_version_never_comes_back
                expired_value_is_missing_and_can_be_written_again
                values_with_other_names_are_isolated
                one_of_concurrent_writers_of_a_value_wins
                dropped_creation_is_atomic
                dropped_rotation_is_atomic
                dropped_change_of_claims_is_atomic
                dropped_revocation_is_atomic
            ]
            alone [
                run_id_stays_until_it_is_raised
                higher_run_id_ends_every_session
                lower_run_id_changes_nothing
                concurrent_raises_end_at_the_highest
                sign_in_during_a_raise_belongs_to_the_run_id_it_returns
                many_sessions_of_a_subject_are_revoked_in_one_event
                values_outlive_revocations_and_run_ids
                deadlines_are_exact_to_the_millisecond
                nothing_revives_an_expired_session
                revoked_session_is_kept_until_its_absolute_deadline
                expired_sessions_do_not_count_against_a_cap
                reader_gets_a_response_without_events
                random_history_matches_the_model
            ]
        }
    };
    (@table () together [$($name:ident)*] alone [$($alone:ident)*]) => {
        vec![
            $(Case { name: stringify!($name), alone: false, body: |world| Box::pin($name(world)) },)*
            $(Case { name: stringify!($alone), alone: true, body: |world| Box::pin($alone(world)) },)*
        ]
    };
    (@tests ($attrs:tt $make:expr) together [$($name:ident)*] alone [$($alone:ident)*]) => {
        $($crate::store::conformance::__store_conformance! { @test $attrs $make, $name })*
        $($crate::store::conformance::__store_conformance! { @test $attrs $make, $alone })*
    };
    (@test [$($attr:tt)*] $make:expr, $name:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        $($attr)*
        async fn $name() {
            $crate::store::conformance::run_case(stringify!($name), ($make)().await).await;
        }
    };
}

/// Makes a test of each case of the [conformance suite](crate::store::conformance), named like the
/// case.
///
/// Takes an async function, or an expression that is one, that makes the store; it is called once
/// for each test. Attributes before it are put on each test:
/// `store_conformance!(#[ignore = "needs a server"] make);`
///
/// The tests need `tokio` among the dependencies, with the features `macros` and `rt-multi-thread`.
/// Put the macro into a module of its own to run the suite against several stores in one file.
#[macro_export]
macro_rules! store_conformance {
    ($(#[$($attr:tt)*])* $make:expr $(,)?) => {
        $crate::store::conformance::__store_conformance! { @list tests ([$(#[$($attr)*])*] $make) }
    };
}

#[doc(hidden)]
pub use __store_conformance;
pub use store_conformance;

pub(super) fn cases<S: SessionStore>() -> Vec<Case<S>> {
    __store_conformance! { @list table () }
}
