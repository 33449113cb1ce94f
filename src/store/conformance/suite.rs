//! The list of cases, once: [`cases`] and [`store_conformance!`] are both made of it.

use super::{
    Case, SessionStore, advance::*, cancel::*, cap::*, claims::*, create::*, expiry::*, feed::*,
    isolation::*, list::*, model::*, race::*, replace::*, revoke::*, round_trip::*, run_id::*, usage::*,
};

/// Hands the list of cases to one of the rules below.
#[doc(hidden)]
#[macro_export]
macro_rules! __store_conformance {
    (@list $rule:ident $args:tt) => {
        $crate::store::conformance::__store_conformance! { @$rule $args
            together [
                a_session_reads_back_as_it_was_created
                an_unknown_session_is_no_error_and_stays_unknown
                an_id_is_never_used_twice
                of_racing_creations_with_one_id_exactly_one_wins
                every_field_survives
                claims_come_back_byte_for_byte
                large_generations_are_exact
                far_deadlines_are_exact
                realms_and_subjects_have_nothing_in_common
                ending_a_subjects_sessions_leaves_its_namesakes_alone
                subjects_may_be_called_anything
                a_rotation_is_provisional_and_counts_as_use
                a_rotation_wants_the_generation_it_names
                a_rotation_waits_for_the_interval_of_its_own_record
                a_rotation_follows_the_timing_that_was_written_last
                of_racing_rotations_exactly_one_applies
                rotations_racing_confirmations_never_skip_a_generation
                a_record_is_replaced_as_a_whole
                every_write_makes_a_new_version
                a_replacement_of_another_version_is_a_conflict
                what_was_revoked_meanwhile_is_not_replaced
                a_missing_session_is_not_replaced
                of_racing_replacements_exactly_one_applies
                an_event_is_in_the_feed_if_its_record_was_replaced
                a_generation_is_confirmed_once_and_the_first_time_counts
                a_late_confirmation_moves_no_deadline_back
                of_racing_confirmations_one_counts
                use_moves_the_idle_deadline_forward_only
                use_never_moves_past_the_absolute_deadline
                catching_up_goes_forward_only_and_is_provisional_then
                of_racing_catch_ups_the_furthest_stands
                a_proof_is_recorded_and_a_later_one_replaces_it
                claims_are_replaced_and_the_session_is_stale
                a_late_change_of_claims_moves_no_stale_mark_back
                stale_marks_revoke_nothing_and_reach_every_reader
                ending_a_session_is_final_and_its_record_is_kept
                nothing_undoes_an_end_at_any_generation
                ending_twice_is_no_error_and_only_the_first_counts
                an_end_reaches_the_feed
                a_subjects_sessions_end_together
                nothing_applies_once_ending_a_session_has_returned
                nothing_applies_once_ending_a_subjects_sessions_has_returned
                ending_a_subjects_sessions_misses_none_while_others_begin
                racing_writes_to_one_record_lose_nothing
                a_cap_can_refuse_one_more
                a_cap_can_end_the_oldest
                racing_sign_ins_never_exceed_a_cap_that_refuses
                racing_sign_ins_never_exceed_a_cap_that_ends_the_oldest
                the_live_sessions_are_listed_oldest_first
                the_feed_gives_what_happened_since_a_time
                reading_on_from_any_place_loses_nothing_while_many_write
                a_reader_that_waits_is_woken
                a_reader_that_stops_waiting_loses_nothing
                an_unknown_place_is_an_error_or_a_gap
                a_dropped_creation_is_whole_or_never_was
                a_dropped_rotation_is_whole_or_never_was
                dropped_claims_are_whole_or_never_were
                a_dropped_end_is_whole_or_never_was
            ]
            alone [
                the_run_stays_until_it_is_raised
                a_higher_run_ends_every_session
                a_lower_run_changes_nothing
                racing_raises_end_at_the_highest
                a_sign_in_during_a_raise_belongs_to_the_run_it_is_told
                many_sessions_of_a_subject_end_in_one_event
                deadlines_are_exact_to_the_millisecond
                nothing_revives_an_expired_session
                an_ended_session_is_remembered_until_its_absolute_deadline
                expired_sessions_do_not_count_against_a_cap
                a_reader_is_answered_even_if_nothing_happens
                a_random_history_agrees_with_the_model
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
            $crate::store::conformance::run_case(stringify!($name), $make).await;
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
