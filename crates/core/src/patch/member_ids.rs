//! Repairs the ids of members in the values and filters of a PATCH.

use super::{PatchRequest, PatchTarget, Verb};
use crate::clock::IdSource;
use crate::filter::{Filter, Operand, ResolvedFilter};
use crate::lenient::Repairs;

impl PatchRequest {
    /// Corrects ids of members in another spelling, and drops added ones that this server cannot have made.
    pub(crate) fn repair_members(&mut self, ids: &dyn IdSource, repairs: &mut Repairs<'_>) {
        for operation in &mut self.operations {
            match &mut operation.target {
                PatchTarget::Members => {
                    let Some(value) = operation.value.take() else { continue };
                    let mut value = repairs.members(value);
                    repairs.ids_in(ids, &mut value);
                    if operation.verb == Verb::Add {
                        repairs.without_impossible(ids, &mut value);
                    }
                    operation.value = Some(value);
                }
                PatchTarget::SelectedMembers(filter) => repair_operands(ids, filter, repairs),
                PatchTarget::Attribute(_)
                | PatchTarget::Elements(_)
                | PatchTarget::Container(_)
                | PatchTarget::Schemas => {}
            }
        }
    }
}

fn repair_operands(ids: &dyn IdSource, filter: &mut ResolvedFilter, repairs: &mut Repairs<'_>) {
    match filter {
        Filter::And(terms) | Filter::Or(terms) => {
            terms.iter_mut().for_each(|term| repair_operands(ids, term, repairs));
        }
        Filter::Not(inner) | Filter::Element(_, inner) => repair_operands(ids, inner, repairs),
        Filter::Compare(at, _, Operand(id)) if &*at.leaf().name == "value" => repairs.id(ids, id),
        Filter::Compare(..) | Filter::Present(_) => {}
    }
}
