//! The conformance suite: it holds every backend to the specification on [`Store`](crate::Store).
//!
//! A backend runs the whole suite with one line of its tests, `conformance_tests!(fixture);`, where
//! `fixture` is an `async fn() -> Fixture` that creates a new database each time. Each file has the
//! checks of one subject; [`given`] builds the operations that they append.

#![allow(clippy::unwrap_used)]

mod answers;
mod fixture;
pub(crate) mod given;
mod history;
mod stories;

pub(crate) mod appends;
pub(crate) mod bodies;
pub(crate) mod callers_ids;
pub(crate) mod concurrency;
pub(crate) mod damage;
pub(crate) mod data_keys;
pub(crate) mod due;
pub(crate) mod fencing_and_leases;
pub(crate) mod filters;
pub(crate) mod health;
pub(crate) mod idempotency;
pub(crate) mod keys;
pub(crate) mod limits;
pub(crate) mod long_lists;
pub(crate) mod notifications;
pub(crate) mod pauses;
pub(crate) mod projections;
pub(crate) mod queries;
pub(crate) mod reads;
pub(crate) mod rebuild;
pub(crate) mod replays;
pub(crate) mod requests;
pub(crate) mod states;

pub(crate) use fixture::{Damage, Fixture, ManualClock, without_hanging};

/// Makes each check a test, which gets a new fixture from `$make`, an `async fn() -> Fixture`.
macro_rules! conformance_tests {
    ($make:ident) => {
        $crate::testing::conformance::conformance_tests! { $make:
            appends {
                every_kind_of_fact_is_read_back_as_it_was_appended,
                an_operation_of_several_records_returns_its_first_and_last_position,
                invariant_6_refused_operations_leave_nothing_and_take_no_position,
                invariant_6_a_batch_of_refused_operations_changes_nothing,
                an_operation_sees_those_before_it_in_its_batch,
                entities_of_another_organization_cannot_be_changed,
                an_append_without_operations_changes_nothing,
                a_probing_commit_changes_nothing,
                a_batch_of_2_000_operations_is_appended,
                an_event_with_3_000_deliveries_is_routed_and_concluded,
            }
            reads {
                the_log_is_read_in_pages,
                shards_are_independent_logs,
                each_shard_has_a_position_key_of_its_own_that_never_changes,
                operations_are_found_by_their_ids_and_no_others_are,
            }
            idempotency {
                the_same_key_and_content_answer_with_the_first_event,
                the_same_key_with_other_content_is_refused,
                organizations_may_use_the_same_key,
                a_key_used_twice_in_one_batch_is_used_once,
                a_refused_operation_does_not_use_its_key_up,
                keys_are_compared_byte_by_byte,
                hundreds_of_keys_in_one_batch_are_decided_one_by_one,
                keys_are_still_known_after_a_rebuild,
            }
            requests {
                the_same_request_does_nothing_and_names_what_the_first_made,
                another_request_with_the_same_id_is_refused,
                organizations_may_use_the_same_id,
                an_id_used_twice_in_one_batch_makes_one_thing,
                a_repetition_is_no_conflict_although_the_entity_has_changed,
                a_refused_request_leaves_its_id_unused,
                invariant_7_requests_are_still_known_after_a_rebuild,
                after_a_day_an_id_may_be_used_for_something_else,
            }
            callers_ids {
                what_exists_is_not_created_again_nor_for_another_organization,
                what_was_deleted_is_not_created_again,
                a_refused_creation_does_not_use_the_id_up,
                the_same_ids_on_another_shard_are_other_things,
                one_of_many_creations_with_the_same_id_wins,
            }
            limits {
                no_more_are_made_than_a_limit_allows,
                what_others_have_does_not_count,
                of_many_at_the_same_moment_exactly_the_limit_are_made,
                what_is_only_validated_is_decided_alike_and_leaves_nothing,
            }
            concurrency {
                invariant_6_readers_see_no_gap_while_many_append_and_some_are_refused,
                one_of_many_changes_of_the_same_version_wins,
                one_of_many_events_with_the_same_key_is_accepted,
                one_of_many_requests_with_the_same_id_makes_something,
                changes_that_expect_any_version_all_succeed,
                due_deliveries_are_of_the_snapshot_that_the_page_names,
                a_dropped_append_is_found_if_and_only_if_it_happened,
                what_other_processes_append_in_between_is_seen,
            }
            fencing_and_leases {
                invariant_5_an_earlier_owner_cannot_append,
                invariant_5_no_record_of_an_owner_comes_after_its_successors_first,
                invariant_5_a_future_epoch_is_no_valid_fence,
                a_lease_that_is_held_is_not_given_to_another,
                one_of_many_processes_acquires_a_lease,
                an_expired_lease_passes_to_another_and_cannot_be_renewed,
                an_expired_lease_that_nobody_took_is_renewed,
                a_renewed_lease_lasts_by_its_new_time_to_live,
                a_lease_that_was_given_back_is_free_and_its_epoch_is_not_used_again,
                invariant_2_the_checkpoint_moves_step_by_step_and_nothing_is_acted_on_twice,
                a_heartbeat_returns_who_is_alive_and_who_holds_which_shard,
                a_member_without_heartbeats_is_left_out_and_its_lease_expires,
            }
            data_keys {
                the_first_master_key_is_current_until_it_is_replaced,
                a_replaced_master_key_never_comes_back,
                one_of_many_replacements_of_the_master_key_succeeds,
                an_organization_has_one_data_key_which_is_read_back_as_it_was_created,
                one_of_many_creations_of_a_data_key_succeeds_and_all_return_that_key,
                a_data_key_is_not_created_under_a_master_key_that_is_not_current,
                data_keys_are_paged_by_their_organizations_without_those_under_one_master_key,
                many_data_keys_are_rewrapped_in_one_call_and_counted,
                a_data_key_that_changed_meanwhile_is_not_rewrapped,
                once_a_master_key_is_replaced_no_new_data_key_is_under_it,
                each_data_key_is_rewrapped_by_one_of_two_processes,
                an_erased_data_key_is_gone_for_ever,
                an_organization_without_a_data_key_can_be_erased,
                a_rebuild_leaves_keys_alone,
                data_keys_belong_to_their_shard,
            }
            bodies {
                only_the_organizations_bodies_are_erased_page_by_page,
                bodies_of_every_size_are_read_back_byte_for_byte,
                an_attempts_body_and_an_events_body_are_told_apart,
                only_requested_bodies_that_exist_are_returned,
                bodies_of_refused_and_duplicate_operations_are_not_kept,
                an_expired_body_is_gone_before_it_is_deleted,
                expired_bodies_are_deleted_a_limited_number_at_a_time,
                a_rebuild_leaves_bodies_alone,
            }
            projections {
                an_endpoints_row_follows_each_of_its_facts,
                an_accepted_event_and_its_delivery_have_rows_with_their_trace,
                a_delivery_retries_until_it_fails_and_each_attempt_has_a_row,
                a_delivery_keeps_the_traces_of_the_requests_for_its_attempts,
                a_manual_retry_is_due_beside_the_schedule_and_can_deliver,
                a_cancelled_delivery_waits_for_nothing,
                a_test_is_an_event_and_a_delivery_of_its_own,
                a_batch_may_change_what_it_has_created,
                attempts_are_counted_by_hour_outcome_and_duration_and_tests_are_not,
            }
            health {
                an_endpoint_fails_from_the_first_failure_after_its_last_success_on,
                a_tests_failure_does_not_count_and_its_success_does,
                enabling_begins_anew_and_disabling_does_not,
                an_organizations_attempts_are_summed_over_hours,
            }
            pauses {
                the_last_pause_of_an_endpoint_counts_until_something_ends_it,
                pauses_belong_to_their_organization,
                an_expired_delivery_has_failed_and_waits_for_nothing,
            }
            due {
                missed_events_are_read_in_the_order_of_the_log,
                due_deliveries_come_by_time_and_then_by_id_page_by_page,
                a_retry_waits_on_the_steady_clock_and_not_for_the_shown_time,
                requested_attempts_are_due_before_scheduled_ones,
                the_steady_clock_never_goes_back_and_its_age_is_the_databases,
            }
            queries {
                lists_come_newest_first_page_by_page_without_loss_or_repetition,
                a_deleted_endpoint_is_not_listed_but_can_be_read,
                an_organization_sees_nothing_of_another,
                deliveries_are_read_by_id_and_missing_ones_are_left_out,
                an_empty_database_answers_every_query,
            }
            filters {
                events_are_filtered_by_type_and_time,
                deliveries_are_filtered_by_each_of_their_columns_and_any_two,
                attempts_are_filtered_by_each_of_their_columns_and_any_two,
                endpoints_are_searched_by_literal_text,
                endpoints_are_filtered_by_state_and_text_together,
                lists_are_filtered_by_several_values_of_a_column,
            }
            states {
                endpoints_are_listed_by_effective_states_page_by_page,
                deliveries_are_listed_by_effective_states_page_by_page,
            }
            long_lists {
                a_list_of_events_examines_a_limited_number_and_returns_how_far_it_came,
                a_list_of_deliveries_examines_a_limited_number_and_returns_how_far_it_came,
                a_list_of_attempts_examines_a_limited_number_and_returns_how_far_it_came,
                the_audit_trail_is_searched_in_parts,
                rows_far_outside_the_interval_are_not_examined,
                rows_of_another_organizations_endpoint_are_not_examined,
            }
            replays {
                a_replays_row_follows_each_of_its_facts,
                replays_are_listed_newest_first_and_running_ones_by_their_ids,
                invariant_4_a_step_is_appended_as_a_whole_or_not_at_all,
                each_scope_finds_its_events_page_by_page,
                a_replay_is_limited_by_times_events_and_types,
            }
            keys {
                a_key_is_found_by_its_token_even_after_it_ended,
                a_key_that_expects_version_0_is_created_once,
                an_organizations_keys_are_listed_newest_first,
                keys_are_found_by_id_and_by_creator,
                the_last_use_of_a_key_never_goes_back,
                the_audit_trail_has_what_people_did_and_can_be_filtered,
                keys_are_rebuilt_as_they_were,
            }
            notifications {
                a_channel_is_what_its_records_say,
                channels_are_listed_without_deleted_ones,
                a_notification_is_what_its_records_say,
                a_notification_that_expects_version_0_is_raised_once,
                notifications_are_listed_newest_first_and_by_channel,
                waiting_notifications_are_found_by_channel_in_the_order_of_their_due_times,
                exhaustion_notifications_are_found_while_they_wait_and_for_a_while_after,
                an_incident_is_open_until_its_service_was_notified_of_its_end,
                sent_mail_is_counted_by_organization_for_a_while,
                channels_and_notifications_are_rebuilt_as_they_were,
            }
            rebuild {
                invariant_7_a_long_random_history_is_rebuilt_as_it_was,
                a_random_history_gives_the_same_answers_as_in_memory,
                invariant_7_a_check_finds_differences_from_the_log_and_changes_nothing,
                invariant_7_another_form_of_a_document_is_no_difference,
                invariant_7_a_rebuild_replaces_documents_that_cannot_be_read,
                a_document_of_a_newer_version_is_neither_read_nor_rebuilt,
                an_empty_shard_is_checked_and_rebuilt,
                progress_grows_to_the_last_position,
                an_interrupted_rebuild_or_check_changes_nothing,
                nothing_that_is_appended_during_a_rebuild_is_lost,
                a_rebuild_leaves_the_log_the_lease_and_the_checkpoint_alone,
                a_rebuild_changes_its_shard_only,
            }
            damage {
                a_missing_record_is_named_and_no_reader_goes_past_it,
                a_missing_end_of_the_log_is_named,
                a_log_without_records_is_named,
                a_version_that_does_not_follow_is_named,
                a_version_of_an_event_that_does_not_follow_is_named,
                a_record_of_another_organization_than_its_stream_is_named,
                the_routing_of_another_organizations_event_is_named,
                a_record_in_another_stream_is_named,
                a_kind_that_is_not_that_of_the_data_is_named,
                an_actor_that_is_not_that_of_the_metadata_is_named,
                a_checkpoint_beyond_the_log_is_refused,
                a_negative_checkpoint_is_refused,
                a_last_position_before_the_last_record_is_refused,
                a_last_position_beyond_the_last_record_is_refused,
                a_last_position_that_nothing_follows_is_refused,
                a_negative_epoch_is_refused,
                an_epoch_that_nothing_follows_is_refused,
                a_steady_time_that_is_none_is_refused,
                a_steady_time_noted_before_1970_is_refused,
                a_steady_time_before_that_of_a_record_is_named,
                a_missing_row_of_a_shard_is_refused,
                nothing_is_appended_beyond_a_damaged_checkpoint,
                a_document_of_a_negative_version_is_a_difference,
                a_check_shows_nothing_that_a_terminal_obeys,
                a_damaged_data_key_is_an_error_of_its_organization_alone,
            }
        }
    };
    ($make:ident: $($idea:ident { $($check:ident,)* })*) => {
        $(mod $idea {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $check() {
                let check = async {
                    $crate::testing::conformance::$idea::$check(super::$make().await).await;
                };
                $crate::testing::conformance::without_hanging(check).await;
            })*
        })*
    };
}
pub(crate) use conformance_tests;
