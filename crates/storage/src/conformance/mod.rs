//! One suite per port: what every backend must keep, written once.
//!
//! A backend implements [`Backend`] (or, for the small registries, hands over a fresh instance) and names the suite in one
//! line: `crate::message_store_suite!(MyBackend::new().await);`.
//!
//! **Invariant:** a case speaks only through the ports, so it can run on any engine.

pub mod accounts;
pub mod broadcasts;
pub mod codes;
pub mod contacts;
pub mod conversations;
pub mod guests;
pub mod leases;
pub mod messages;
pub mod nodes;
pub mod outbox;
pub mod pushes;
pub mod receipts;
pub mod sessions;
mod world;

pub use world::World;

use async_trait::async_trait;
use skein_domain::port::{AccountStore, ContactStore, ConversationStore, MessageStore, Outbox, PushStore, ShardLeases};
use std::sync::Arc;

/// All ports on one store.
pub struct Ports {
    pub messages: Arc<dyn MessageStore>,
    pub outbox: Arc<dyn Outbox>,
    pub conversations: Arc<dyn ConversationStore>,
    pub accounts: Arc<dyn AccountStore>,
    pub contacts: Arc<dyn ContactStore>,
    pub pushes: Arc<dyn PushStore>,
    pub leases: Arc<dyn ShardLeases>,
}

impl Ports {
    pub fn of<S>(store: S) -> Self
    where
        S: MessageStore + Outbox + ConversationStore + AccountStore + ContactStore + PushStore + ShardLeases + Clone,
    {
        Self {
            messages: Arc::new(store.clone()),
            outbox: Arc::new(store.clone()),
            conversations: Arc::new(store.clone()),
            accounts: Arc::new(store.clone()),
            contacts: Arc::new(store.clone()),
            pushes: Arc::new(store.clone()),
            leases: Arc::new(store),
        }
    }
}

/// A place that keeps data. Opened a second time, after the first handle was dropped, it has what was acknowledged.
#[async_trait]
pub trait Backend: Send + Sync {
    async fn open(&self) -> Ports;
}

#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases {
    ($port:ident, $backend:expr, [$($case:ident),* $(,)?]) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let backend = $backend;
                $crate::conformance::$port::$case(&backend).await;
            }
        )*
    };
}

#[macro_export]
macro_rules! message_store_suite {
    ($backend:expr) => {
        $crate::conformance_cases!(
            messages,
            $backend,
            [
                seqs_are_dense_under_concurrency,
                order_of_calls_is_order_of_seq,
                a_known_key_answers_the_same,
                another_event_under_a_known_key_conflicts,
                after_names_a_stored_message,
                a_moved_policy_is_refused,
                time_never_goes_back,
                an_edit_changes_the_state_and_keeps_the_log,
                a_recall_blanks_the_body_everywhere,
                reactions_toggle,
                reactions_on_one_message_are_bounded,
                a_target_is_a_message,
                a_reply_is_to_a_message_that_exists,
                entries_and_newest_are_pages,
                history_pages_both_ways,
                hostile_texts_are_stored_literally,
                reopening_restores_everything,
            ]
        );
    };
}

#[macro_export]
macro_rules! conversation_store_suite {
    ($backend:expr) => {
        $crate::conformance_cases!(
            conversations,
            $backend,
            [
                a_direct_conversation_is_made_once,
                a_group_starts_with_its_members,
                a_group_is_made_whole_or_not_at_all,
                creations_are_bounded_per_day_and_kind,
                unread_is_counted_from_my_cursor,
                cursors_only_grow,
                a_removed_member_keeps_the_past,
                a_member_who_returns_starts_there,
                ownership_passes,
                titles_and_silence_take_effect,
                rooms_are_joined_without_an_entry,
                the_directory_pages_backwards,
                members_page_with_their_nicknames,
                settings_reach_my_other_devices,
                sync_finds_what_changed_and_only_that,
                the_user_log_holds_each_subject_once,
            ]
        );
    };
}

#[macro_export]
macro_rules! contact_store_suite {
    ($backend:expr) => {
        $crate::conformance_cases!(
            contacts,
            $backend,
            [
                an_accepted_request_makes_both_friends,
                a_pending_request_is_renewed,
                applying_to_an_applicant_accepts,
                answering_twice_is_answering_once,
                a_block_is_never_told,
                a_full_list_takes_no_more,
                deleting_ends_it_for_both,
                standings_come_in_the_order_asked_for,
                every_change_of_standing_moves_the_policy,
                remarks_are_per_side,
                lists_page,
            ]
        );
    };
}

#[macro_export]
macro_rules! account_store_suite {
    ($backend:expr) => {
        $crate::conformance_cases!(
            accounts,
            $backend,
            [
                an_address_has_one_account,
                sessions_are_limited_per_class,
                an_ended_or_expired_session_is_not_live,
                a_new_password_ends_the_other_sessions,
                a_disabled_user_has_no_sessions,
                nicknames_are_found_by_prefix,
                a_changed_profile_reaches_friends,
                audits_are_kept_newest_first,
                session_ids_are_never_used_again,
            ]
        );
    };
}

#[macro_export]
macro_rules! outbox_suite {
    ($backend:expr) => {
        $crate::conformance_cases!(
            outbox,
            $backend,
            [
                records_come_in_order_of_revision,
                pages_of_any_size_make_up_the_whole,
                a_superseded_item_is_left_out,
                the_position_never_goes_back,
                the_position_survives_a_restart,
                committed_wakes_who_waits,
            ]
        );
    };
}

#[macro_export]
macro_rules! shard_leases_suite {
    ($backend:expr) => {
        $crate::conformance_cases!(
            leases,
            $backend,
            [
                one_tenant_has_a_shard_until_its_lease_runs_out,
                a_released_shard_is_free_at_once,
                a_process_succeeds_a_dead_one_of_its_name,
                a_position_of_an_earlier_owner_is_refused,
                what_was_published_is_durable_with_the_next_claim,
            ]
        );
    };
}

#[macro_export]
macro_rules! push_store_suite {
    ($backend:expr) => {
        $crate::conformance_cases!(
            pushes,
            $backend,
            [
                an_app_is_made_once_and_is_nobody_to_log_in_or_talk_to,
                a_revoked_key_stays_revoked,
                a_live_room_is_bound_to_one_chat_room,
                tags_are_replaced,
                a_notice_conversation_is_made_once,
                a_key_answers_the_first_push_for_a_day,
                waiting_pushes_come_due_in_order,
                waiting_pushes_are_bounded_per_app,
            ]
        );
    };
}

#[macro_export]
macro_rules! guest_registry_suite {
    ($make:expr) => {
        $crate::conformance_cases!(
            guests,
            $make,
            [
                the_newest_connection_of_a_key_wins,
                only_its_own_generation_is_removed_and_only_at_its_node,
                a_forgotten_guest_is_registered_anew_unless_superseded,
                guests_are_found_by_key_and_by_mid,
                empty_rooms_and_silent_nodes_leave_no_counts,
            ]
        );
    };
}

#[macro_export]
macro_rules! receipt_store_suite {
    ($make:expr) => {
        $crate::conformance_cases!(receipts, $make, [a_receipt_adds_up, a_receipt_is_kept_ten_minutes_after_its_last_change]);
    };
}

#[macro_export]
macro_rules! session_registry_suite {
    ($make:expr) => {
        $crate::conformance_cases!(
            sessions,
            $make,
            [
                the_newest_generation_wins,
                only_its_own_generation_is_removed,
                a_lease_runs_out_unless_renewed,
                routes_are_found_by_user_session_and_node,
            ]
        );
    };
}

#[macro_export]
macro_rules! node_registry_suite {
    ($make:expr) => {
        $crate::conformance_cases!(nodes, $make, [a_node_lives_as_long_as_its_lease, a_ticket_is_taken_once_and_only_at_its_node]);
    };
}

#[macro_export]
macro_rules! broadcast_queue_suite {
    ($make:expr) => {
        $crate::conformance_cases!(
            broadcasts,
            $make,
            [
                an_urgent_one_overtakes_and_within_a_priority_the_first_is_the_next,
                so_many_run_at_a_time_and_urgent_ones_find_room_beyond_normal_ones,
                each_node_gets_its_own_when_it_is_the_next,
                who_is_not_renewed_is_forgotten_and_holds_nobody_up,
                what_was_forgotten_is_put_back_at_its_place,
                a_full_queue_is_busy,
            ]
        );
    };
}

#[macro_export]
macro_rules! code_store_suite {
    ($make:expr) => {
        $crate::conformance_cases!(
            codes,
            $make,
            [
                a_right_code_works_once,
                a_new_code_voids_the_old,
                a_code_is_bound_to_its_purpose_and_time,
                checks_are_counted_across_codes,
                codes_per_hour_are_limited_across_purposes,
            ]
        );
    };
}
