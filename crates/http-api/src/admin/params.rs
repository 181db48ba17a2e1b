//! The parameters of a query. Unknown ones are refused: a misspelled filter must not be ignored.

use actix_web::HttpRequest;
use actix_web::web::Query;
use headcount_core::clock::Timestamp;

use crate::error::Fault;

/// The parameters of a request that are not read yet.
pub(super) struct Params(Result<Vec<(String, String)>, Fault>);

impl Params {
    pub(super) fn of(request: &HttpRequest) -> Self {
        let pairs = Query::<Vec<(String, String)>>::from_query(request.query_string());
        Self(pairs.map(Query::into_inner).map_err(|_bad| {
            bad("query", "it cannot be read; write it as name=value&name=value, percent-encoded")
        }))
    }

    /// Takes the value of a parameter.
    pub(super) fn take(&mut self, name: &str) -> Result<Option<String>, Fault> {
        let pairs = match &mut self.0 {
            Ok(pairs) => pairs,
            Err(fault) => return Err(std::mem::replace(fault, bad("query", "it cannot be read"))),
        };
        let Some(at) = pairs.iter().position(|(known, _)| known == name) else {
            return Ok(None);
        };
        let (_, value) = pairs.remove(at);
        if pairs.iter().any(|(known, _)| known == name) {
            return Err(bad(name, "it is in the query twice; send it once"));
        }
        Ok(Some(value))
    }

    /// Takes a whole number within bounds.
    pub(super) fn number(&mut self, name: &str, min: u64, max: u64) -> Result<Option<u64>, Fault> {
        let Some(text) = self.take(name)? else { return Ok(None) };
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number| plain && (min..=max).contains(number));
        number
            .map(Some)
            .ok_or_else(|| bad(name, &format!("it must be a whole number from {min} to {max}")))
    }

    /// Takes one of several words.
    pub(super) fn word<T: Copy>(
        &mut self,
        name: &str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, Fault> {
        let Some(text) = self.take(name)? else { return Ok(None) };
        let known = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        known.map(Some).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            bad(name, &format!("it must be one of {}", words.join(", ")))
        })
    }

    /// Takes a time (RFC 3339).
    pub(super) fn time(&mut self, name: &str) -> Result<Option<Timestamp>, Fault> {
        let Some(text) = self.take(name)? else { return Ok(None) };
        parse_time(&text).map(Some).ok_or_else(|| {
            bad(name, "it must be a time such as 2026-01-31T00:00:00Z; write + as %2B")
        })
    }

    /// Refuses the parameters that were not taken.
    pub(super) fn end(self) -> Result<(), Fault> {
        match self.0?.first() {
            None => Ok(()),
            Some((name, _)) => Err(bad(name, "there is no such parameter here; leave it out")),
        }
    }
}

pub(super) fn bad(name: &str, reason: &str) -> Fault {
    Fault::Parameter { name: name.to_owned(), reason: reason.to_owned() }
}

/// Reads a time with any zone of RFC 3339, which allows more than SCIM's `dateTime`.
fn parse_time(text: &str) -> Option<Timestamp> {
    let upper = text.to_ascii_uppercase();
    if upper.ends_with('Z') {
        return Timestamp::parse(&upper);
    }
    let (local, zone) = upper.split_at_checked(upper.len().checked_sub(6)?)?;
    let (sign, zone) = zone.split_at_checked(1)?;
    let (hours, minutes) = zone.split_once(':')?;
    let offset = parse_two_digits(hours, 23)? * 3_600 + parse_two_digits(minutes, 59)? * 60;
    let local = Timestamp::parse(&format!("{local}Z"))?;
    match sign {
        "+" => Some(local.plus_seconds(-offset)),
        "-" => Some(local.plus_seconds(offset)),
        _ => None,
    }
}

fn parse_two_digits(text: &str, max: i64) -> Option<i64> {
    let is_plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_plain && *number <= max)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn params(query: &str) -> Params {
        Params::of(&TestRequest::with_uri(&format!("/x?{query}")).to_http_request())
    }

    #[test]
    fn what_is_not_known_or_given_twice_is_refused() {
        assert!(params("").end().is_ok());
        assert!(params("limt=1").end().is_err());
        assert!(params("limit=1&limit=2").number("limit", 1, 10).is_err());
        let mut both = params("limit=7&payload=full");
        assert_eq!(both.number("limit", 1, 10).unwrap(), Some(7));
        assert_eq!(both.word("payload", &[("thin", 1), ("full", 2)]).unwrap(), Some(2));
        assert_eq!(both.take("after").unwrap(), None);
        assert!(both.end().is_ok());
        for wrong in ["0", "11", "-1", "+1", "1.0", "", "x", "99999999999999999999"] {
            assert!(params(&format!("limit={wrong}")).number("limit", 1, 10).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_moment_has_any_zone() {
        let noon = Timestamp::parse("2026-01-31T12:00:00Z");
        assert!(noon.is_some());
        for same in [
            "2026-01-31T12:00:00Z",
            "2026-01-31t12:00:00z",
            "2026-02-01T11:59:00+23:59",
            "2026-01-31T10:30:00-01:30",
        ] {
            assert_eq!(parse_time(same), noon, "{same}");
        }
        for wrong in ["", "2026-01-31", "2026-01-31T12:00:00", "2026-01-31T12:00:00+24:00", "é"] {
            assert_eq!(parse_time(wrong), None, "{wrong}");
        }
    }
}
