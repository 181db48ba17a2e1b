//! Every statement that names a method or a path has a proof that sends it.
//!
//! It cannot be read from a test that it proves its sentence. It can be seen when it does not: a
//! statement about `GET base/?filter=` whose only proof posts to `/.search` says something else.

use std::collections::BTreeSet;

use super::rows::{self, Row};
use super::sent::{Proof, Proofs, Sent, proofs};
use super::sentence::{Demand, demands, leads_to};

/// Returns what the statements name and no proof of theirs sends.
///
/// A statement without any proof is another check's matter.
pub(crate) fn check() -> anyhow::Result<Vec<String>> {
    let proofs = proofs(&crate::repository::root())?;
    let mut findings = proofs.misnamed.clone();
    findings.extend(missing(&rows::checklist()?, &proofs));
    Ok(findings)
}

fn missing(rows: &[Row], proofs: &Proofs) -> Vec<String> {
    let mut findings = Vec::new();
    for row in rows {
        let Some(known) = proofs.by_id.get(&row.id) else { continue };
        for demand in demands(&row.statement) {
            if known.iter().any(|proof| sends(proof, &demand)) {
                continue;
            }
            let named = match &demand {
                Demand::Method(method) => method.clone(),
                Demand::Path(path) => path.clone(),
                Demand::Both(method, path) => format!("{method} {path}"),
            };
            let names: BTreeSet<&str> = known.iter().map(|proof| proof.name.as_str()).collect();
            let names: Vec<&str> = names.into_iter().collect();
            findings.push(format!(
                "{}: the statement names {named}, which no proof sends ({})",
                row.id,
                names.join("; ")
            ));
        }
    }
    findings
}

fn sends(proof: &Proof, demand: &Demand) -> bool {
    match (&proof.sent, demand) {
        (Sent::Requests(requests), demand) => {
            requests.iter().any(|(method, target)| match demand {
                Demand::Method(wanted) => method == wanted,
                Demand::Path(path) => leads_to(target, path),
                Demand::Both(wanted, path) => method == wanted && leads_to(target, path),
            })
        }
        (Sent::Source(methods, _), Demand::Method(wanted)) => methods.contains(wanted),
        (Sent::Source(_, texts), Demand::Path(path)) => {
            texts.iter().any(|text| leads_to(text, path))
        }
        (Sent::Source(methods, texts), Demand::Both(wanted, path)) => {
            methods.contains(wanted) && texts.iter().any(|text| leads_to(text, path))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sent::{conversations, tests as rust_tests};
    use super::*;

    fn row(id: &str, statement: &str) -> Row {
        let [id, level, source, priority, statement] =
            [id, "M", "", "P0", statement].map(str::to_owned);
        Row { id, level, source, priority, statement }
    }

    fn of_case(text: &str, row: &Row) -> Vec<String> {
        let mut proofs = Proofs::default();
        conversations(&mut proofs, "f.scim", text);
        missing(std::slice::from_ref(row), &proofs)
    }

    fn of_test(text: &str, row: &Row) -> Vec<String> {
        let mut proofs = Proofs::default();
        rust_tests(&mut proofs, "f.rs", text);
        missing(std::slice::from_ref(row), &proofs)
    }

    #[test]
    fn a_conversation_that_sends_something_else_is_no_proof() {
        let root = row("QRY-008", "Root query (`GET base/?filter=`) covers all types");
        let wrong = "== QRY-008 SCH-002  a search at the root\n> POST /.search\n{\"filter\": \"id pr\"}\n< 200\n> GET /Users?filter=id pr\n< 200\n";
        let findings = of_case(wrong, &root);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].starts_with("QRY-008: the statement names GET base/?filter="));
        assert!(findings[0].contains("f.scim: a search at the root"), "{findings:?}");
        assert_eq!(of_case(&format!("{wrong}> GET /?filter=id pr\n< 200\n"), &root), [""; 0]);
    }

    #[test]
    fn each_method_of_a_sentence_has_to_be_sent() {
        let both = row("RES-016", "`meta` from the client is ignored on POST/PUT");
        let one = "== RES-016  ignored\n> POST /Users\n{\"userName\": \"a\"}\n< 201\n";
        assert_eq!(of_case(one, &both).len(), 1);
        let two = format!("{one}\n== RES-016  by PUT\n> PUT /Users/{{id}}\n{{}}\n< 200\n");
        assert_eq!(of_case(&two, &both), [""; 0], "another case may send the rest");
        let other = "== RES-017  ignored\n> PUT /Users/{id}\n{}\n< 200\n";
        assert_eq!(of_case(&format!("{one}{other}"), &both).len(), 1, "that proves another");
    }

    #[test]
    fn operations_of_a_bulk_request_are_requests() {
        let nested = row("BLK-031", "Nested /Bulk, /Me in path, DELETE");
        let case = "== BLK-031  nested\n> POST /Bulk\n{\"Operations\": [\n  {\"method\": \"POST\", \"path\": \"/Bulk\"},\n  {\"method\": \"DELETE\", \"bulkId\": \"1\", \"path\": \"/Me\"}]}\n< 200\n";
        assert_eq!(of_case(case, &nested), [""; 0]);
        assert_eq!(of_case(&case.replace("/Me", "/Users"), &nested).len(), 1);
    }

    #[test]
    fn a_rust_test_is_searched_with_what_it_calls() {
        let create = row("CRE-014", "POST to /Users/{id} is not create");
        let helper =
            "fn refused(client: &Client) { client.post(&format!(\"/Users/{id}\"), &x); }\n";
        let test = "on_both!(cre_014_post_is_no_method, |server: &Server| {\n    refused(&server.client());\n});\n";
        assert_eq!(of_test(&format!("{helper}{test}"), &create), [""; 0]);
        assert_eq!(of_test(test, &create).len(), 1, "nothing is sent");
        let put = helper.replace(".post(", ".put(");
        assert_eq!(of_test(&format!("{put}{test}"), &create).len(), 1, "another method is sent");
        let endpoint = helper.replace("/{id}", "");
        assert_eq!(of_test(&format!("{endpoint}{test}"), &create).len(), 1, "to another path");
    }

    #[test]
    fn a_number_without_letters_is_reported() {
        let mut proofs = Proofs::default();
        rust_tests(&mut proofs, "f.rs", "fn cur_004_007_sealed() {}\nfn cur_004_of_200() {}\n");
        assert_eq!(proofs.misnamed.len(), 1, "{proofs:?}");
    }

    #[test]
    fn the_proofs_of_this_repository_send_what_their_statements_name() {
        let findings = check().unwrap();
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }
}
