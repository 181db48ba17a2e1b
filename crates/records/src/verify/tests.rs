use super::*;
use crate::chain::digest;

fn at(position: i64) -> ChainPosition {
    ChainPosition::new(position)
}

fn row(seq: i64) -> AuditRow {
    let personal = format!("{{\"salt\":\"{seq}\"}}");
    AuditRow {
        seq: ChangeSeq::new(seq),
        tenant: 1,
        act: "created".to_owned(),
        resource: format!("r{seq}"),
        personal_digest: digest(&personal),
        personal: Some(personal),
        ..AuditRow::default()
    }
}

fn chain(length: i64) -> Vec<SequencedRow> {
    let mut link = Link::GENESIS;
    let sequenced = |number| {
        let (position, row) = (at(number), row(number + 10));
        link = link.next(position, &row);
        SequencedRow { position, hash: link.to_string(), place_mac: None, row }
    };
    (1..=length).map(sequenced).collect()
}

fn check(rows: &[SequencedRow], checkpoints: &[Checkpoint]) -> Vec<(i64, FindingKind)> {
    let mut verifier = Verifier::new(checkpoints);
    rows.iter().for_each(|row| verifier.take(row));
    let verdict = verifier.finish(&Unsequenced::default());
    verdict.findings.into_iter().map(|finding| (finding.at.number(), finding.kind)).collect()
}

fn checkpoint(rows: &[SequencedRow]) -> Checkpoint {
    let last = rows.last().unwrap();
    let hash = Link::parse(&last.hash).unwrap();
    Checkpoint {
        position: last.position,
        hash,
        at: headcount_core::clock::Timestamp::from_micros(0),
    }
}

#[test]
fn a_whole_chain_holds_and_has_its_end_reported() {
    let rows = chain(5);
    let mut verifier = Verifier::new(&[checkpoint(&rows), checkpoint(&rows[..2])]);
    rows.iter().for_each(|row| verifier.take(row));
    let verdict = verifier.finish(&Unsequenced { count: 3, ..Unsequenced::default() });
    assert_eq!(verdict.findings, []);
    assert_eq!((verdict.sequenced, verdict.unsequenced, verdict.checkpoints), (5, 3, 2));
    assert_eq!(verdict.last.unwrap().1.to_string(), rows[4].hash);
    assert_eq!(check(&[], &[]), []);
}

#[test]
fn each_kind_of_tampering_is_reported_where_it_is() {
    let rows = chain(6);
    let mut edited = rows.clone();
    edited[2].row.version = 9;
    assert_eq!(check(&edited, &[]), [(3, FindingKind::Altered)]);
    // Correcting the hash of the edited row breaks the next one.
    edited[2].hash = Link::parse(&rows[1].hash).unwrap().next(at(3), &edited[2].row).to_string();
    assert_eq!(check(&edited, &[]), [(4, FindingKind::Altered)]);
    let deleted = [&rows[..2], &rows[4..]].concat();
    assert_eq!(check(&deleted, &[]), [(3, FindingKind::Missing { last: at(4) })]);
    assert_eq!(check(&rows[1..], &[]), [(1, FindingKind::Missing { last: at(1) })]);
    let mut repeated = rows.clone();
    repeated.insert(3, rows[2].clone());
    assert_eq!(check(&repeated, &[]), [(3, FindingKind::Repeated)]);
    let mut swapped = rows.clone();
    (swapped[1].row, swapped[4].row) = (rows[4].row.clone(), rows[1].row.clone());
    assert_eq!(
        check(&swapped, &[]),
        [(2, FindingKind::Moved { to: at(5) }), (5, FindingKind::Moved { to: at(2) })]
    );
    let mut exchanged = rows.clone();
    exchanged.swap(1, 4);
    (exchanged[1].position, exchanged[4].position) = (at(2), at(5));
    assert!(check(&exchanged, &[]).contains(&(2, FindingKind::Moved { to: at(5) })));
    for bad in ["", "0", &"g".repeat(64)] {
        let mut unreadable = rows.clone();
        bad.clone_into(&mut unreadable[5].hash);
        assert_eq!(check(&unreadable, &[]), [(6, FindingKind::Altered)]);
    }
}

#[test]
fn a_checkpoint_finds_what_the_chain_cannot() {
    let rows = chain(6);
    let kept = checkpoint(&rows);
    assert_eq!(check(&rows[..4], &[]), []);
    assert_eq!(check(&rows[..4], &[kept]), [(6, FindingKind::Cut)]);
    assert_eq!(check(&[], &[kept]), [(6, FindingKind::Cut)]);
    let mut link = Link::GENESIS;
    let mut rewritten = rows.clone();
    rewritten[0].row.version = 9;
    for row in &mut rewritten {
        link = link.next(row.position, &row.row);
        row.hash = link.to_string();
    }
    assert_eq!(check(&rewritten, &[]), []);
    assert_eq!(check(&rewritten, &[kept]), [(6, FindingKind::Rewritten)]);
    let gone = [&rows[..2], &rows[3..]].concat();
    let at_gone = checkpoint(&rows[..3]);
    let found = [(3, FindingKind::Missing { last: at(3) }), (3, FindingKind::Rewritten)];
    assert_eq!(check(&gone, &[at_gone]), found);
}

#[test]
fn names_may_go_only_with_a_record_of_it() {
    let mut rows = chain(4);
    rows[1].row.personal = Some("{}".to_owned());
    assert_eq!(check(&rows, &[]), [(2, FindingKind::Names)]);
    rows[1].row.personal = None;
    assert_eq!(check(&rows, &[]), [(2, FindingKind::NamesGone)]);
    let erased = AuditRow {
        tenant: 1,
        act: "erased".to_owned(),
        resource: "r12".to_owned(),
        ..AuditRow::default()
    };
    let link = Link::parse(&rows[3].hash).unwrap().next(at(5), &erased);
    let erasure =
        SequencedRow { position: at(5), hash: link.to_string(), place_mac: None, row: erased };
    assert_eq!(check(&[&rows[..], std::slice::from_ref(&erasure)].concat(), &[]), []);
    // It covers what was before it, of the same tenant.
    let mut later = vec![erasure];
    later[0].position = at(1);
    later[0].hash = Link::GENESIS.next(at(1), &later[0].row).to_string();
    let mut nameless = row(12);
    nameless.personal = None;
    let link = Link::parse(&later[0].hash).unwrap().next(at(2), &nameless);
    later.push(SequencedRow {
        position: at(2),
        hash: link.to_string(),
        place_mac: None,
        row: nameless,
    });
    assert_eq!(check(&later, &[]), [(2, FindingKind::NamesGone)]);
    let mut verifier = Verifier::new(&[]);
    later.iter().for_each(|row| verifier.take(row));
    let unsequenced = Unsequenced {
        count: 2,
        erased: vec![(1, "r12".to_owned())],
        displaced: vec![ChangeSeq::new(7)],
        ..Unsequenced::default()
    };
    let found = verifier.finish(&unsequenced).findings;
    assert_eq!(
        found,
        [Finding { at: Location::Row(ChangeSeq::new(7)), kind: FindingKind::Displaced }]
    );
}

#[test]
fn a_chain_that_is_wrong_everywhere_does_not_fill_the_memory() {
    let rows: Vec<_> = (1..=2_000)
        .map(|position| SequencedRow {
            position: at(position),
            hash: String::new(),
            place_mac: None,
            row: AuditRow::default(),
        })
        .collect();
    let mut verifier = Verifier::new(&[]);
    rows.iter().for_each(|row| verifier.take(row));
    let verdict = verifier.finish(&Unsequenced::default());
    assert_eq!((verdict.findings.len(), verdict.more), (1_000, 1_000));
}
