//! The most expensive changes that the limits allow: what they cost is counted, and they end.

use serde_json::{Value, json};

use super::*;
use crate::error::Error;
use crate::ids::ResourceId;
use crate::lenient::Repairs;
use crate::quirks::{Applied, Quirks};
use crate::resource::body;
use crate::schema::Registry;
use crate::service::MAX_LANE_UNITS;
use crate::work::{DEFAULT_UNITS, Halt, VISIT, Work, bytes, folding};

/// The attack has 900 values of 450 letters; so many of them are enough to count.
const VALUES: u64 = 45;
const SCALE: u64 = 900 / VALUES;

fn long() -> String {
    "Ä".repeat(450)
}

/// Applies so many operations of 48 terms each, none of which any value satisfies.
fn attack(operations: usize, work: &Work) -> Result<(), Error> {
    let registry = Registry::builtin().unwrap();
    let kind = registry.kind("User").unwrap();
    let ims: Vec<Value> =
        (0..VALUES).map(|n| json!({"value": format!("v{n}"), "display": long()})).collect();
    let before = json!({"schemas": [crate::schema::USER], "userName": "a", "ims": ims});
    let before = body(kind, Quirks::ALL, before).unwrap().attributes;
    let terms: Vec<String> = (10..58).map(|n| format!("display co \"{n}\"")).collect();
    let operation = json!({"op": "remove", "path": format!("ims[{}].display", terms.join(" or "))});
    let envelope = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": vec![operation; operations],
    });
    let mut applied = Applied::default();
    let mut repairs = Repairs { quirks: Quirks::ALL, applied: &mut applied };
    let request = PatchRequest::parse(kind, &mut repairs, &ResourceId::new("me"), envelope)?;
    let state = Before { attributes: &before, members: None };
    apply(kind, &mut repairs, state, &request.operations, work).map(drop)
}

#[test]
fn s2_one_operation_of_48_terms_folds_each_value_once() {
    let work = Work::unlimited();
    attack(1, &work).unwrap();
    let each = folding(&long()) + 48 * (2 * VISIT + bytes(&long()));
    let around = work.units_spent() - VALUES * each;
    assert!(around < VALUES * 8 * VISIT, "{around}");
}

#[test]
fn s2_one_operation_of_48_terms_leaves_the_lane_and_fits_a_request() {
    let work = Work::unlimited();
    attack(1, &work).unwrap();
    assert!(work.units_spent() > MAX_LANE_UNITS, "{}", work.units_spent());
    assert!(work.units_spent() * SCALE < DEFAULT_UNITS / 10, "{}", work.units_spent());
}

/// What comparing the values costs in each operation.
fn comparing() -> u64 {
    VALUES * (folding(&long()) + 48 * (2 * VISIT + bytes(&long())))
}

#[test]
fn s2_20_or_970_operations_of_48_terms_end_with_the_budget() {
    assert!(comparing() * SCALE * 20 > DEFAULT_UNITS, "{}", comparing());
    for operations in [20, 970] {
        let work = Work::new(3 * comparing());
        let refused = attack(operations, &work).unwrap_err();
        assert!(matches!(refused, Error::Halted(Halt::Spent)), "{refused}");
        // What could not be paid for was the last step, and was not done.
        assert!(work.units_spent() <= 3 * comparing() + folding(&long()), "{}", work.units_spent());
    }
    // Each operation is paid for again: a budget for three runs three.
    let three = Work::unlimited();
    attack(3, &three).unwrap();
    assert!(three.units_spent() >= 3 * comparing(), "{}", three.units_spent());
    assert!(attack(3, &Work::new(three.units_spent())).is_ok());
    assert!(attack(4, &Work::new(three.units_spent())).is_err());
}

#[test]
fn a_part_of_the_budget_ends_the_lane_and_not_the_request() {
    let one = Work::unlimited();
    attack(1, &one).unwrap();
    let work = Work::new(MAX_LANE_UNITS + one.units_spent());
    let lane = work.part(MAX_LANE_UNITS);
    let refused = attack(1, &lane).unwrap_err();
    assert!(matches!(refused, Error::Halted(Halt::Spent)), "{refused}");
    assert!(lane.is_part_spent());
    // The request has paid for what was done in the lane, but for the step that was not.
    let paid = work.units_spent();
    assert!(paid <= MAX_LANE_UNITS && paid > MAX_LANE_UNITS - folding(&long()), "{paid}");
    assert_eq!(work.check(), Ok(()));
    assert!(attack(1, &work).is_ok(), "the change is computed outside the lane");
    assert_eq!(work.units_spent(), paid + one.units_spent());
}
