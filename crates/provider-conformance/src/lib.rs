//! The contract of [`Provider`], one function per clause.
//!
//! The author of a provider runs them all with [`provider_conformance!`]. They know no particular store:
//! its setup comes with the [`Subject`].
//!
//! Start with [`Subject`], then [`writing`].

#![expect(clippy::needless_pass_by_value, reason = "clauses write bodies as json!(…) in place")]

pub mod bench;
pub mod equivalence;
pub mod expensive;
pub mod fuzz;
pub mod isolation;
pub mod membership;
pub mod model;
pub mod paging;
pub mod print;
pub mod races;
pub mod random;
pub mod selection;
pub mod stream;
pub mod watched;
pub mod world;
pub mod writing;

use std::sync::Arc;

use headcount_core::change::ChangeFeed;
use headcount_core::ids::TenantId;
use headcount_core::provider::Provider;

/// A provider under test, empty, with two tenants.
pub struct Subject {
    /// The provider.
    pub provider: Arc<dyn Provider>,
    /// Its record of changes.
    pub feed: Arc<dyn ChangeFeed>,
    /// Two tenants that exist.
    pub tenants: [TenantId; 2],
    /// Dropped after the test, to clean up.
    pub guard: Box<dyn std::any::Any + Send + Sync>,
}

/// Makes one `#[test]` per clause in a module of the given name.
///
/// The expression returns a new [`Subject`] each time it is evaluated.
#[macro_export]
macro_rules! provider_conformance {
    ($name:ident, $subject:expr) => {
        mod $name {
            use super::*;

            $crate::provider_conformance!(@tests $subject, writing:
                insert_get_delete_round_trip unknown_ids_are_absent
                uniqueness_holds_across_case_rename_and_delete unique_keys_belong_to_a_kind
                update_keeps_stores_and_fails_without_trace versions_grow_by_exactly_one
                a_refused_delete_leaves_everything evt_011_evt_012_changes_are_recorded_if_and_only_if_they_happen
                batches_are_single_steps nothing_is_left_of_a_deleted_resource);
            $crate::provider_conformance!(@tests $subject, isolation:
                tenants_are_isolated_in_every_method);
            $crate::provider_conformance!(@tests $subject, paging:
                pages_are_stable_and_total_is_exact pages_are_right_while_resources_come_and_go
                keys_walk_over_deletions);
            $crate::provider_conformance!(@tests $subject, selection:
                operators_and_types_select_alike element_filters_match_one_value
                negation_is_the_exact_complement sorting_puts_missing_values_where_the_rfc_says
                extensions_are_searched alternatives_stay_together index_rows_follow_the_document);
            $crate::provider_conformance!(@tests $subject, membership:
                members_change_by_rows unknown_members_are_refused members_leave_with_their_user
                groups_are_computed member_filters_use_rows large_groups_are_read_in_parts
                members_are_selected_by_what_they_are members_have_the_names_of_now);
            $crate::provider_conformance!(@tests $subject, races:
                fifty_increments_are_fifty chr_018_one_of_many_creators_wins no_member_is_lost
                a_failing_neighbor_harms_no_other deleting_and_adding_meet_without_dangling);
            $crate::provider_conformance!(@tests $subject, expensive:
                expensive_changes_are_computed_outside_the_lock
                expensive_replacements_are_computed_outside_the_lock
                changes_over_many_members_are_computed_outside_the_lock
                expensive_changes_give_way_to_others expensive_operations_of_a_bulk_keep_their_turn
                a_bulk_ends_with_its_budget a_stopped_request_changes_nothing
                a_batch_ends_where_the_work_ends searches_end_with_their_budget);
            $crate::provider_conformance!(@tests $subject, equivalence:
                random_filters_select_what_the_evaluator_selects random_sorts_order_like_the_evaluator);
            $crate::provider_conformance!(@tests $subject, stream:
                random_operations_do_what_the_model_does);
        }
    };
    (@tests $subject:expr, $module:ident: $($clause:ident)*) => {
        $(
            #[test]
            fn $clause() {
                $crate::$module::$clause($subject);
            }
        )*
    };
}
