//! Compressed responses (RFC 9110 §8.4.1.3, §12.5.3).
//!
//! Only large responses to reads are compressed: a page of 1,000 users shrinks to a tenth. The response to a write
//! reflects the request next to stored values, and that of a new token contains a secret; an observer of lengths
//! could guess one from the other (BREACH).

use std::io::Write as _;

use actix_web::http::header::{self, HeaderMap};
use flate2::Compression;
use flate2::write::GzEncoder;

/// Responses below this size are not compressed: they fit into a few packets, and compressing them costs more than
/// sending them.
pub(crate) const MIN_BYTES: usize = 4 * 1024;

/// Returns whether a client prefers gzip to no compression.
pub(crate) fn is_wanted(headers: &HeaderMap) -> bool {
    let (mut gzip, mut identity, mut any) = (None, None, None);
    let values = headers.get_all(header::ACCEPT_ENCODING).filter_map(|value| value.to_str().ok());
    for item in values.flat_map(|value| value.split(',')) {
        let mut parts = item.split(';').map(str::trim);
        let coding = parts.next().unwrap_or_default();
        let weight = Some(parts.find_map(quality).unwrap_or(MAX_QUALITY));
        match coding {
            "*" => any = weight,
            _ if coding.eq_ignore_ascii_case("gzip") => gzip = weight,
            // RFC 9110 §8.4.1.3: the same, by an older name.
            _ if coding.eq_ignore_ascii_case("x-gzip") => gzip = gzip.or(weight),
            _ if coding.eq_ignore_ascii_case("identity") => identity = weight,
            _ => {}
        }
    }
    let gzip = gzip.or(any).unwrap_or(0);
    gzip > 0 && gzip >= identity.unwrap_or(0)
}

/// The weight of a coding without one, in thousandths.
const MAX_QUALITY: u16 = 1_000;

/// Reads a `q` in thousandths. A malformed weight counts as 0; other parameters return `None`.
fn quality(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim_end().eq_ignore_ascii_case("q") {
        return None;
    }
    let (whole, fraction) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    let digits = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let thousandths = format!("{fraction:0<3}").parse().ok().filter(|_| digits);
    Some(match (whole, thousandths) {
        ("0", Some(thousandths)) => thousandths,
        ("1", Some(0)) => MAX_QUALITY,
        _ => 0,
    })
}

/// Compresses a body part by part. It holds 32 KiB of the input, however long the body is.
pub(crate) struct Gzip(GzEncoder<Vec<u8>>);

impl Gzip {
    pub(crate) fn new() -> Self {
        // The cheapest level: higher ones take several times as long for a few percent.
        Self(GzEncoder::new(Vec::new(), Compression::fast()))
    }

    /// Compresses a part. Returns the output so far, which may be empty.
    pub(crate) fn part(&mut self, part: &[u8]) -> std::io::Result<Vec<u8>> {
        self.0.write_all(part)?;
        Ok(std::mem::take(self.0.get_mut()))
    }

    /// Compresses the last part. Returns the rest of the output.
    pub(crate) fn end(mut self, part: &[u8]) -> std::io::Result<Vec<u8>> {
        self.0.write_all(part)?;
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use actix_web::http::header::HeaderValue;

    use super::*;

    fn wants(values: &[&'static str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
        }
        is_wanted(&headers)
    }

    #[test]
    fn a9_weights_decide_whether_an_answer_is_compressed() {
        for wanted in [
            "gzip",
            "GZIP",
            "x-gzip",
            "deflate, gzip;q=0.5",
            "gzip;q=0.001",
            "*",
            "*;q=0.1",
            "br, *",
            "gzip;q=1.000, identity",
            "identity;q=0.5, gzip;q=0.5",
            "identity;q=0, gzip",
            "gzip ; Q = 1",
            "gzip, *;q=0",
            "deflate;q=1.0,gzip;q=0.9",
        ] {
            assert!(wants(&[wanted]), "{wanted}");
        }
        for refused in [
            "",
            "identity",
            "br",
            "gzip;q=0",
            "gzip;q=0.000",
            "x-gzip, gzip;q=0",
            "*, gzip;q=0",
            "*;q=0",
            "gzip;q=0.5, identity",
            "gzip;q=0.4, identity;q=0.5",
            "gzip;q=2",
            "gzip;q=-1",
            "gzip;q=0.1234",
            "gzip;q=.5",
            "gzip;q=x",
            "gzip;q=",
            "gzipped",
            "deflate;q=gzip",
        ] {
            assert!(!wants(&[refused]), "{refused}");
        }
        assert!(!wants(&[]) && wants(&["br", "gzip"]));
    }

    #[test]
    fn a9_parts_are_one_body_and_memory_does_not_grow_with_it() {
        let part = "{\"value\":\"0193f4a0-0000-7000-8000-000000000000\"},".repeat(1_000);
        let (mut gzip, mut sent) = (Gzip::new(), Vec::new());
        for _ in 0..50 {
            let ready = gzip.part(part.as_bytes()).unwrap();
            assert!(gzip.0.get_ref().capacity() == 0 && ready.len() < part.len() / 10);
            sent.extend(ready);
        }
        sent.extend(gzip.end(b"]").unwrap());
        let mut read = String::new();
        flate2::read::GzDecoder::new(&*sent).read_to_string(&mut read).unwrap();
        assert_eq!(read, part.repeat(50) + "]");
    }
}
