//! From the text of a file to cases.

use super::{Case, Exchange, NewToken};

/// Reads the cases of a file. `file` is its name, for messages.
///
/// # Panics
///
/// When a line is none that the form has, naming it.
pub fn parse(file: &str, text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut part = Part::Options;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let place = format!("{file}:{number}");
        if line.starts_with('#') && !matches!(part, Part::Body) {
            continue;
        }
        if let Some(head) = line.strip_prefix("== ") {
            cases.push(begin(head, &place));
            part = Part::Options;
            continue;
        }
        let Some(case) = cases.last_mut() else {
            assert!(line.trim().is_empty(), "{place}: a file begins with a case: == ID  title");
            continue;
        };
        if let Some(request) = line.strip_prefix("> ") {
            let (method, target) = request.split_once(' ').unwrap_or((request, "/"));
            case.exchanges.push(Exchange {
                line: number,
                method: method.to_owned(),
                target: target.trim().to_owned(),
                ..Exchange::default()
            });
            part = Part::Headers;
            continue;
        }
        if let Some(answer) = line.strip_prefix("< ") {
            let exchange = case.exchanges.last_mut();
            expectation(exchange.unwrap_or_else(|| panic!("{place}: no request")), answer, &place);
            part = Part::Checks;
            continue;
        }
        match part {
            Part::Options => option(case, line, &place),
            Part::Headers | Part::Body => {
                let Some(exchange) = case.exchanges.last_mut() else { continue };
                match header(line).filter(|_| matches!(part, Part::Headers)) {
                    Some((name, value)) => exchange.headers.push((name, value)),
                    None => {
                        part = Part::Body;
                        exchange.body.push_str(line);
                        exchange.body.push('\n');
                    }
                }
            }
            Part::Checks => {
                let Some(exchange) = case.exchanges.last_mut() else { continue };
                check(exchange, line, &place);
            }
        }
    }
    for case in &cases {
        let last = case.exchanges.last();
        assert!(
            last.is_some_and(|last| !last.status.is_empty()),
            "{}: the case ends without an answer",
            case.place
        );
        let silent = case.exchanges.iter().find(|exchange| exchange.status.is_empty());
        assert!(silent.is_none(), "{file}: a request without an answer: {silent:?}");
    }
    cases
}

/// Where the example schemas are, below the root.
const SCHEMAS: &str = "deploy/examples/schemas";

enum Part {
    Options,
    Headers,
    Body,
    Checks,
}

fn begin(head: &str, place: &str) -> Case {
    let is_id = |word: &&str| {
        let mut parts = word.split('-');
        let (group, number) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let upper = |text: &str| text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
        (2..=3).contains(&group.len())
            && upper(group)
            && number.len() == 3
            && number.chars().all(|c| c.is_ascii_digit())
            && parts.next().is_none()
    };
    let words: Vec<&str> = head.split_whitespace().collect();
    let ids: Vec<String> =
        words.iter().take_while(|word| is_id(word)).map(|id| (*id).to_owned()).collect();
    let title = words.get(ids.len()..).unwrap_or_default().join(" ");
    assert!(!title.is_empty(), "{place}: a case has a title");
    Case { ids, title, place: place.to_owned(), ..Case::default() }
}

fn option(case: &mut Case, line: &str, place: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        [] => {}
        ["quirks", list] => case.quirks = Some((*list).to_owned()),
        ["schemas"] => case.schemas = Some(SCHEMAS.to_owned()),
        ["directly"] => case.directly = true,
        ["config", setting] => {
            let (key, value) =
                setting.split_once('=').unwrap_or_else(|| panic!("{place}: config key=value"));
            case.config.push((key.to_owned(), value.to_owned()));
        }
        ["token", name, flags @ ..] => {
            let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
            case.tokens.push(((*name).to_owned(), NewToken::Same(flags)));
        }
        ["tenant", name] => case.tokens.push(((*name).to_owned(), NewToken::Other)),
        _ => panic!("{place}: no such option: {line}"),
    }
}

/// Reads `Name: value`; names of headers begin with a capital, JSON does not.
fn header(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let word = name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    word.then(|| (name.to_owned(), value.trim().to_owned()))
}

fn expectation(exchange: &mut Exchange, answer: &str, place: &str) {
    for word in answer.split_whitespace() {
        if let Some((name, from)) = word.strip_prefix('$').and_then(|rest| rest.split_once('=')) {
            exchange.saves.push((name.to_owned(), from.to_owned()));
        } else if word.starts_with(|c: char| c.is_ascii_digit()) {
            exchange.status = word
                .split('/')
                .map(|code| code.parse().unwrap_or_else(|_| panic!("{place}: no status: {word}")))
                .collect();
        } else {
            exchange.scim_type = Some(word.to_owned());
        }
    }
    assert!(!exchange.status.is_empty(), "{place}: an answer has a status");
}

fn check(exchange: &mut Exchange, line: &str, place: &str) {
    let line = line.trim();
    if line.is_empty() {
        return;
    }
    if let Some((name, value)) = header(line) {
        exchange.checks.push((name, value));
        return;
    }
    assert!(line.starts_with('/'), "{place}: a check is a header or a pointer: {line}");
    // A pointer may select by a value with spaces inside its brackets.
    let mut depth = 0_usize;
    let end = line.char_indices().find(|(_, c)| {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        *c == ' ' && depth == 0
    });
    let (pointer, wanted) = match end {
        Some((at, _)) => line.split_at(at),
        None => (line, "<present>"),
    };
    exchange.checks.push((pointer.to_owned(), wanted.trim().to_owned()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_read() {
        let text = "# about\n\n== CRE-001 I18-002  a title, of words\nquirks none\ntoken reader --scope scim:read\n\n> POST /Users?attributes=a b\nX-A: 1\n{\"a\":\n 1}\n< 201/200 $id=/id\nLocation: <present>\n/emails/[type=a b]/value \"x\"\n/gone absent\n> GET /\n< 400 invalidFilter\n";
        let cases = parse("f", text);
        let case = &cases[0];
        assert_eq!((case.ids.len(), case.name().as_str()), (2, "cre_001_i18_002_a_title_of_words"));
        assert_eq!(case.quirks.as_deref(), Some("none"));
        let first = &case.exchanges[0];
        assert_eq!(
            (first.method.as_str(), first.target.as_str()),
            ("POST", "/Users?attributes=a b")
        );
        assert_eq!(
            (first.body.as_str(), first.status.as_slice()),
            ("{\"a\":\n 1}\n", &[201, 200][..])
        );
        assert_eq!(first.checks[1], ("/emails/[type=a b]/value".to_owned(), "\"x\"".to_owned()));
        assert_eq!(case.exchanges[1].scim_type.as_deref(), Some("invalidFilter"));
    }
}
